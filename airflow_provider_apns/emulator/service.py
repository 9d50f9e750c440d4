"""One emulator as an aiohttp application: Apple's rules, the faults, and a ledger of what has happened."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextvars import ContextVar
from dataclasses import replace
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from aiohttp import web

from airflow_provider_apns.emulator.answers import csv_answer, json_answer, xml_error
from airflow_provider_apns.emulator.apple import TOKEN_HEADER, Apple, Export, Query, Refusal
from airflow_provider_apns.emulator.datasets import Dataset, find_dataset
from airflow_provider_apns.emulator.faults import Fault, FaultBook, Scene, play
from airflow_provider_apns.emulator.journal import Journal
from airflow_provider_apns.emulator.ledger import Ledger, Record
from airflow_provider_apns.emulator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CONCERNS: ContextVar[dict[str, str]] = ContextVar("concerns")
"""What is known about the request that is being served: ``export_id``, ``fault``."""

_EXPORTS = "/v1/dataExports/apns/teams/{team_id}/appId/{app_id}/datasetName/{segment}"


def utc_now() -> datetime:
    """Return the current time in UTC, as an aware ``datetime``."""
    return datetime.now(timezone.utc)


class Service:
    """What all emulators share, however they are served.

    :param clock: returns the current time in UTC, as an aware ``datetime``; tests can move it
    :param options: fields of :class:`~.settings.Settings`, in any spelling that ``Settings.of`` accepts
    """

    def __init__(self, clock: Callable[[], datetime] = utc_now, **options: Any) -> None:
        settings = Settings.of(**options)
        self._journal = Journal(settings.state) if settings.state else None
        self.ledger = Ledger(self._journal)
        """What has happened so far."""
        self.apple = Apple(settings, clock, lambda export: self.ledger.enter({"export": export.to_json()}))
        self.faults = FaultBook()
        self.port = settings.port
        """The port. It stays the same while the emulator is stopped."""
        for entry in self._journal.entries() if self._journal else ():
            self._restore(entry)

    def _restore(self, entry: dict[str, Any]) -> None:
        self.ledger.restore(entry)
        if "export" in entry:
            self.apple.restore(Export.from_json(entry["export"]))
        elif "token" in entry:
            self.apple.rotate_token(entry["token"])
        elif "record" in entry:
            record = Record(*entry["record"])
            if record.endpoint == "status" and (export := self.apple.find(record.export_id)):
                export.polls += 1

    def close(self) -> None:
        """Stop serving for good."""
        if self._journal is not None:
            self._journal.close()

    def _origin(self, host: str | None = None) -> str:
        settings = self.apple.settings
        name = host or settings.host
        return f"{'https' if settings.tls else 'http'}://{f'[{name}]' if ':' in name else name}:{self.port}"

    @property
    def url(self) -> str:
        """The API's base URL."""
        return self._origin()

    @property
    def trap_url(self) -> str:
        """A target for redirects. A token that is sent there is a violation."""
        return f"{self.url}/trap"

    @property
    def token(self) -> str:
        """The data export token that is valid now."""
        return self.apple.token

    @property
    def team_id(self) -> str:
        """The team that the token belongs to."""
        return self.apple.settings.team_id

    @property
    def app_id(self) -> str:
        """The bundle identifier that the token is for."""
        return self.apple.settings.app_id

    @property
    def channel_ids(self) -> tuple[str, ...]:
        """The identifiers of all channels of the app."""
        return self.apple.channel_ids

    @property
    def connection_json(self) -> str:
        """The Airflow connection to this emulator, as JSON."""
        fields = {"conn_type": "apns", "host": self.url, "login": self.team_id, "password": self.token}
        return json.dumps(fields | {"extra": self._extra()})

    def _extra(self) -> dict[str, str]:
        return {"app_id": self.app_id}

    @property
    def connection_uri(self) -> str:
        """The Airflow connection to this emulator, as a URI."""
        login, password, host = (quote(field, safe="") for field in (self.team_id, self.token, self.url))
        return f"apns://{login}:{password}@{host}/?{urlencode(self._extra(), quote_via=quote)}"

    @property
    def signature_mark(self) -> str:
        """How the signature in every signed URL begins. Search for it where no signed URL may be."""
        return self.apple.signer.mark

    def csv(self, dataset: str | Dataset, start: date | str, end: date | str, channel_id: str | None = None) -> bytes:
        """Return the bytes that a download returns.

        :param dataset: its short name or Apple's path segment
        :param start: the first day
        :param end: the last day, included
        :param channel_id: the channel, for the channel dataset
        """
        first, last = (day if isinstance(day, date) else date.fromisoformat(day) for day in (start, end))
        kind = dataset if isinstance(dataset, Dataset) else find_dataset(dataset)
        return self.apple.expected(Query(kind, first, last, channel_id))

    def inject(self, *faults: Fault | str) -> None:
        """Make something go wrong.

        :param faults: faults, or their text form
        """
        for fault in [Fault.parse(fault) if isinstance(fault, str) else fault for fault in faults]:
            self.faults.inject(fault)

    def clear_faults(self) -> None:
        """Remove all faults."""
        self.faults = FaultBook()

    def rotate_token(self, token: str) -> None:
        """Replace the token. From now on, and after a restart, the old one is answered with 401.

        :param token: the new one
        """
        self.apple.rotate_token(token)
        self.ledger.enter({"token": token})

    def configure(self, **options: Any) -> None:
        """Change settings while the emulator runs, except those of its socket, its URLs and its token.

        :param options: fields of :class:`~.settings.Settings`
        """
        changes = {name: getattr(Settings.of(**options), name) for name in options}
        self.apple.settings = replace(self.apple.settings, **changes)

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._record, self._spoil, _refuse])
        application.add_routes(
            [
                web.post(f"{_EXPORTS}/request", self._request, name="request"),
                web.get(f"{_EXPORTS}/status/{{export_id}}", self._status, name="status", allow_head=False),
                web.get("/exports/{export_id}/data.csv", self._download, name="download", allow_head=False),
                web.route("*", "/trap{rest:.*}", _trap, name="trap"),
            ]
        )
        return application

    async def _request(self, request: web.Request) -> web.Response:
        token, content_type = request.headers.get(TOKEN_HEADER), request.headers.get("Content-Type", "")
        body = await request.read()
        export = self.apple.request(token, **request.match_info, content_type=content_type, body=body)
        _CONCERNS.get()["export_id"] = export.id
        return json_answer(self.apple.accepted(export))

    async def _status(self, request: web.Request) -> web.Response:
        export = self.apple.status(request.headers.get(TOKEN_HEADER), **request.match_info)
        _CONCERNS.get()["export_id"] = export.id
        return json_answer(self.apple.described(export))

    async def _download(self, request: web.Request) -> web.Response:
        if TOKEN_HEADER in request.headers:
            raise Refusal(400, "a signed URL takes no token header")
        export = self.apple.download(request.path, request.rel_url.raw_query_string)
        _CONCERNS.get()["export_id"] = export.id
        return csv_answer(request, self.apple.report(export))

    @web.middleware
    async def _record(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/_emulator/"):
            return await handler(request)
        with self.ledger.serving() as in_flight:
            await request.read()
            _CONCERNS.set({})
            self._watch(request)
            status = 0  # if there is no answer
            try:
                # Even without latency, so that requests that come in together count as in flight together.
                await asyncio.sleep(self.apple.settings.latency)
                answer = await handler(request)
                status = answer.status
            except web.HTTPException as error:
                status = error.status
                raise
            finally:
                self._note(
                    method=request.method,
                    endpoint=_endpoint(request),
                    path=request.path,
                    had_token=TOKEN_HEADER in request.headers,
                    status=status,
                    in_flight=in_flight,
                    **_CONCERNS.get(),
                )
            return answer

    def _watch(self, request: web.Request) -> None:
        endpoint = _endpoint(request)
        if endpoint in ("download", "trap") and TOKEN_HEADER in request.headers:
            self.ledger.enter({"violation": f"the token header was sent to the {endpoint} URL {request.path}"})
        if self.token in request.path_qs:
            self.ledger.enter({"violation": f"the token is in a URL (endpoint: {endpoint})"})

    def _note(self, export_id: str | None = None, **seen: Any) -> None:
        self.ledger.enter({"record": Record(time=self.apple.clock().timestamp(), export_id=export_id, **seen)})

    @web.middleware
    async def _spoil(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = self.faults.due(_endpoint(request), self._names(request, await request.read()))
        if fault is None:
            return await handler(request)
        _CONCERNS.get()["fault"] = fault.kind
        return await play(Scene(request, fault, self.apple, handler))

    def _names(self, request: web.Request, body: bytes) -> tuple[str | None, ...]:
        """Return what a request is about, for faults that match it. The request may be a bad one."""
        if _endpoint(request) == "request":
            segment = request.match_info["segment"]
            with contextlib.suppress(ValueError):
                return (_channel_in(body), segment, find_dataset(segment).name)
        export = self.apple.find(request.match_info.get("export_id"))
        return (export.id, *export.order.names) if export else (None,)


@web.middleware
async def _refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        if _endpoint(request) == "download":
            return xml_error(refusal.status, refusal.reason)
        return json_answer({"reason": refusal.reason}, refusal.status)


async def _trap(request: web.Request) -> web.Response:
    here = f"{request.scheme}://{request.host}{request.path}"
    return json_answer({}, 302, {"Location": here}) if request.path == "/trap/loop" else json_answer({})


def _endpoint(request: web.Request) -> str:
    return request.match_info.route.name or "other"


def _channel_in(body: bytes) -> str | None:
    with contextlib.suppress(ValueError, RecursionError, AttributeError):
        channel_id = json.loads(body).get("channelId")
        return channel_id if isinstance(channel_id, str) else None
    return None
