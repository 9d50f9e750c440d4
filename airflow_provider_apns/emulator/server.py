"""The emulator on the network: Apple's endpoints, and the trap for tokens that are led astray."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import tempfile
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from aiohttp import web

from airflow_provider_apns.emulator.apple import TOKEN_HEADER, Apple, Export, Refusal
from airflow_provider_apns.emulator.control import control
from airflow_provider_apns.emulator.faults import FaultBook
from airflow_provider_apns.emulator.journal import Journal
from airflow_provider_apns.emulator.ledger import Ledger, Record
from airflow_provider_apns.emulator.mischief import play, xml_error
from airflow_provider_apns.emulator.settings import Settings, find_dataset
from airflow_provider_apns.emulator.tls import CA_FILE, server_context
from airflow_provider_apns.emulator.wire import Answer, Scene, send

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

_REQUEST = re.compile(r"/v1/dataExports/apns/teams/([^/]+)/appId/([^/]+)/datasetName/([^/]+)/request")
_STATUS = re.compile(r"/v1/dataExports/apns/status/([^/]+)")
_DOWNLOAD = re.compile(r"/exports/([^/]+)/data\.csv")

_ROUTES = (
    ("request", "POST", _REQUEST),
    ("status", "GET", _STATUS),
    ("download", "GET", _DOWNLOAD),
)


def utc_now() -> datetime:
    """Return the time, in UTC and aware of it."""
    return datetime.now(timezone.utc)


class Service:
    """One emulator that an event loop serves.

    :param settings: how it is set up
    :param clock: gives the time; tests move it
    """

    def __init__(self, settings: Settings, clock: Callable[[], datetime] = utc_now) -> None:
        self._journal = Journal(settings.state) if settings.state else None
        self.apple = Apple(settings, clock, self._created)
        self.faults = FaultBook()
        self.ledger = Ledger(self._journal)
        self.port = settings.port
        self.ca_path: Path | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._listener: asyncio.Server | None = None
        self._http: web.Server | None = None
        self._restore()

    # -- life ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        settings = self.apple.settings
        self._http = http = web.Server(self._handle, access_log=None, handler_cancellation=True, tcp_keepalive=False)

        def connected() -> asyncio.Protocol:
            self.ledger.connected()
            return http()

        tls = self._tls() if settings.tls else None
        self._listener = await asyncio.get_running_loop().create_server(
            connected, settings.host, self.port, ssl=tls, backlog=1024, reuse_address=True
        )
        self.port = self._listener.sockets[0].getsockname()[1]
        self.apple.status_origin = self._origin(settings.status_host)
        self.apple.download_origin = self._origin(settings.download_host)

    async def stop(self) -> None:
        """Refuse new connections and drop those that are open, whatever is going on."""
        if self._listener is not None:
            self._listener.close()
        if self._http is not None:
            # Not 0, which old releases of aiohttp take for ever.
            await self._http.shutdown(timeout=0.01)

    def close(self) -> None:
        """Give back what is held: the journal, and certificates in a temporary directory."""
        if self._journal is not None:
            self._journal.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _tls(self) -> ssl.SSLContext:
        directory = self.apple.settings.tls_dir
        if directory is None:
            self._scratch = self._scratch or tempfile.TemporaryDirectory(prefix="apns-emulator-")
            directory = Path(self._scratch.name)
        self.ca_path = directory / CA_FILE
        return server_context(directory)

    def _origin(self, host: str | None) -> str:
        settings = self.apple.settings
        name = host or settings.host
        return f"{'https' if settings.tls else 'http'}://{f'[{name}]' if ':' in name else name}:{self.port}"

    # -- state ---------------------------------------------------------------------------------------------

    def _created(self, export: Export) -> None:
        self.ledger.exports_created += 1
        if self._journal is not None:
            self._journal({"export": export.to_json()})

    def _restore(self) -> None:
        for entry in self._journal.entries() if self._journal else ():
            self.ledger.restore(entry)
            if "export" in entry:
                self.apple.restore(Export.from_json(entry["export"]))
                self.ledger.exports_created += 1
            elif "token" in entry:
                self.apple.token = entry["token"]
            elif "record" in entry:
                self._count_poll(Record(*entry["record"]))

    def _count_poll(self, record: Record) -> None:
        export = self.apple.find(record.export_id)
        if export is not None and record.endpoint == "status":
            export.polls += 1

    def rotate_token(self, token: str) -> None:
        """Replace the token; the old one is refused from now on, after a restart too.

        :param token: the new one
        """
        self.apple.token = token
        if self._journal is not None:
            self._journal({"token": token})

    # -- connection ----------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The base URL, which an Airflow connection has as its host."""
        return self._origin(None)

    @property
    def connection(self) -> dict[str, Any]:
        """The Airflow connection that leads here."""
        settings = self.apple.settings
        return {
            "conn_type": "apns",
            "host": self.url,
            "login": settings.team_id,
            "password": self.apple.token,
            "extra": {"app_id": settings.app_id},
        }

    @property
    def connection_uri(self) -> str:
        """The same connection in Airflow's URI form."""
        settings = self.apple.settings
        login, password, host, app_id = (
            quote(part, safe="") for part in (settings.team_id, self.apple.token, self.url, settings.app_id)
        )
        return f"apns://{login}:{password}@{host}/?app_id={app_id}"

    # -- requests ------------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/_emulator/"):
            return await control(self, request)
        with self.ledger.serving() as in_flight:
            return await self._serve(request, in_flight)

    async def _serve(self, request: web.BaseRequest, in_flight: int) -> web.StreamResponse:
        endpoint, matched = _route(request)
        body = await request.read()
        note = partial(self._note, request, endpoint, in_flight)
        act = partial(self._act, request, endpoint, matched, body)
        self._watch(request, endpoint)
        await self._wait(note)
        if self.faults and (fault := self.faults.due(endpoint, self._names(endpoint, matched, body))):
            return await play(Scene(request, fault, self.apple, act, partial(note, fault=fault.kind)))
        answer, export = act()
        note(answer.status, export)
        return await send(request, answer)

    async def _wait(self, note: Callable[[int, Export | None], None]) -> None:
        try:
            # Even without latency: requests that came in together shall count as being in flight together.
            await asyncio.sleep(self.apple.settings.latency)
        except asyncio.CancelledError:  # the client has gone
            note(0, None)
            raise

    def _note(
        self,
        request: web.BaseRequest,
        endpoint: str,
        in_flight: int,
        status: int,
        export: Export | None,
        fault: str | None = None,
    ) -> None:
        self.ledger.add(
            Record(
                time=self.apple.clock().timestamp(),
                method=request.method,
                endpoint=endpoint,
                path=request.path,
                had_token=TOKEN_HEADER in request.headers,
                status=status,
                export_id=export.id if export else None,
                in_flight=in_flight,
                fault=fault,
            )
        )

    def _watch(self, request: web.BaseRequest, endpoint: str) -> None:
        if endpoint in ("download", "trap") and TOKEN_HEADER in request.headers:
            self.ledger.violated(f"the token header came to the {endpoint} URL {request.path}")
        if self.apple.token in request.path_qs:
            self.ledger.violated(f"the token stands in a URL (endpoint: {endpoint})")

    def _names(self, endpoint: str, matched: re.Match[str] | None, body: bytes) -> tuple[str | None, ...]:
        """Say what a request is about, for faults that single it out; it may well be a bad request."""
        if endpoint == "request" and matched:
            return (_channel_in(body), matched[3], _short_name(matched[3]))
        export = self.apple.find(matched[1]) if matched else None
        return (export.id, *export.order.names) if export else (None,)

    def _act(
        self, request: web.BaseRequest, endpoint: str, matched: re.Match[str] | None, body: bytes
    ) -> tuple[Answer, Export | None]:
        try:
            if matched is None:
                return _elsewhere(request, endpoint), None
            return _ACTIONS[endpoint](self, request, matched, body)
        except Refusal as refusal:
            if endpoint == "download":
                return xml_error(refusal.status, refusal.reason), None
            return Answer.of_json({"reason": refusal.reason}, refusal.status), None

    def _request(self, request: web.BaseRequest, matched: re.Match[str], body: bytes) -> tuple[Answer, Export]:
        team_id, app_id, segment = (unquote(part) for part in matched.groups())
        headers = request.headers
        content_type = headers.get("Content-Type", "")
        export = self.apple.request(headers.get(TOKEN_HEADER), team_id, app_id, segment, content_type, body)
        return Answer.of_json(self.apple.accepted(export)), export

    def _status(self, request: web.BaseRequest, matched: re.Match[str], body: bytes) -> tuple[Answer, Export]:
        export = self.apple.status(request.headers.get(TOKEN_HEADER), matched[1])
        return Answer.of_json(self.apple.described(export)), export

    def _download(self, request: web.BaseRequest, matched: re.Match[str], body: bytes) -> tuple[Answer, Export]:
        if TOKEN_HEADER in request.headers:
            raise Refusal(400, "a signed URL takes no token header")
        export = self.apple.download(request.path, request.rel_url.raw_query_string)
        return Answer(200, self.apple.report(export), "text/csv", compressible=True), export


_ACTIONS: dict[str, Callable[..., tuple[Answer, Export | None]]] = {
    "request": Service._request,
    "status": Service._status,
    "download": Service._download,
}


def _route(request: web.BaseRequest) -> tuple[str, re.Match[str] | None]:
    # The raw path: an encoded slash in an app id is no separator.
    path = request.rel_url.raw_path
    for endpoint, method, pattern in _ROUTES:
        if matched := pattern.fullmatch(path):
            return (endpoint, matched) if request.method == method else ("other", None)
    return ("trap" if path.startswith("/trap") else "other"), None


def _elsewhere(request: web.BaseRequest, endpoint: str) -> Answer:
    if endpoint == "trap":
        looping = request.path == "/trap/loop"
        here = f"{request.scheme}://{request.host}{request.path}"
        return Answer.of_json({}, 302, {"Location": here}) if looping else Answer.of_json({})
    if any(pattern.fullmatch(request.rel_url.raw_path) for _, _, pattern in _ROUTES):
        return Answer.of_json({"reason": "method not allowed"}, 405)
    return Answer.of_json({"reason": "no such resource"}, 404)


def _channel_in(body: bytes) -> str | None:
    with contextlib.suppress(ValueError, RecursionError, AttributeError):
        channel_id = json.loads(body).get("channelId")
        return channel_id if isinstance(channel_id, str) else None
    return None


def _short_name(segment: str) -> str | None:
    with contextlib.suppress(ValueError):
        return find_dataset(segment).name
    return None
