"""Apple's data export service as another team would write it: from the wire facts alone, on the standard library.

    with ForeignServer(channels=300, habits=Habits(compress=False)) as apple:
        ...  # use apple.connection(); then look at apple.seen

It shares no code with the package, its emulator included, so where we have misread the facts, the two disagree. It
enforces what Apple documents, and has habits where Apple documents nothing.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN_HEADER = "x-apple-cloudkit-management-token"
HEADERS = {
    "broadcastapplicationmetric": "Date (UTC),Broadcasts Published,Broadcasts Delivered,"
    "Total Subscriptions,Unique Subscribers",
    "broadcastchannelmetrics": "Date (UTC),Broadcasts Published,Broadcasts Delivered,Total Subscriptions",
    "deliverymetrics": "Push Type,Status,Date (UTC),Count",
}
SIGN_IN_PAGE = b"<!doctype html><title>Sign in</title>"
TROUBLES = (
    "408",
    "429",
    "500",
    "502",
    "503",
    "504",
    "html",
    "empty",
    "wrong",
    "reset",
    "broken off",
    "cut",
    "redirect",
)
REQUEST = re.compile(r"/v1/dataExports/apns/teams/([^/]+)/appId/([^/]+)/datasetName/([^/]+)/request")


@dataclass(frozen=True)
class Habits:
    """What is left to the server: nobody may rely on any of it."""

    status_host: str = "127.0.0.1"
    data_host: str = "127.0.0.1"
    data_url_key: str = "dataUrl"
    compress: bool = True
    chunked: bool = False
    header_names: Callable[[str], str] = str
    line_end: str = "\n"
    mark: bytes = b""


@dataclass
class Seen:
    """One request, as it came in, and the status that it was answered with."""

    time: float
    kind: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    client_port: int
    in_flight: int
    status: int = 0

    @property
    def has_token(self) -> bool:
        return TOKEN_HEADER in self.headers


@dataclass
class Export:
    """One export, made by the first of all equal requests."""

    dataset: str
    channel_id: str | None
    first: date
    last: date
    outcome: str
    number: str = field(default_factory=lambda: secrets.token_hex(8))
    looks: int = 0


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    breaks: str = ""


class ForeignServer:
    """The service on a free port of loopback, for one team, one app and one token.

    :param channels: how many channels the app has; every seventh is too small to be counted (-1)
    :param habits: see there
    :param processing_looks: how often an export is PROCESSING before it is ready
    :param outcome: what exports come to: SUCCESS, FAILED or EXPIRED; ``outcomes`` has those of the next ones
    :param latency: seconds that each answer takes
    """

    team, app = "FOREIGN123", "org.example.foreign"

    def __init__(
        self,
        *,
        channels: int = 3,
        habits: Habits | None = None,
        processing_looks: int = 0,
        outcome: str = "SUCCESS",
        latency: float = 0.0,
    ) -> None:
        self.token = "foreign." + secrets.token_urlsafe(40)
        self.channel_ids = [base64.b64encode(f"\xfb{n:011}".encode("latin-1")).decode() for n in range(channels)]
        self.habits = habits or Habits()
        self.processing_looks = processing_looks
        self.outcome = outcome
        self.latency = latency
        self.outcomes: list[str] = []
        self.seen: list[Seen] = []
        self.served: list[bytes] = []
        self.exports: dict[bytes, Export] = {}
        self.signatures: dict[str, Export] = {}
        self._limits: dict[str, tuple[int, str]] = {}
        self._troubles: dict[str, tuple[str, int]] = {}
        self.elsewhere = ""
        self._in_flight = 0
        self._lock = threading.Lock()
        self._http = _Listener(self)

    def __enter__(self) -> ForeignServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    # -- what tests ask ----------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    def connection(self, **changes: Any) -> str:
        """Return the value of an ``AIRFLOW_CONN_...`` variable."""
        trusted = [self.habits.status_host]
        settings: dict[str, Any] = {
            "conn_type": "apns",
            "host": f"http://127.0.0.1:{self.port}",
            "login": self.team,
            "password": self.token,
            "extra": {"app_id": self.app, "trusted_hosts": trusted},
        }
        return json.dumps(settings | changes)

    def all(self, kind: str) -> list[Seen]:
        """Return the requests of a kind: ``request``, ``status``, ``download`` or ``other``."""
        return [request for request in self.seen if request.kind == kind]

    @property
    def max_in_flight(self) -> int:
        return max(request.in_flight for request in self.seen)

    def limit_rate(self, kind: str, *, after: int, retry_after: str) -> None:
        """Answer one request of a kind with 429, after that many of it."""
        self._limits[kind] = (after, retry_after)

    def trouble(self, kind: str, how: str, times: int) -> None:
        """
        Let requests of a kind fail: one of ``TROUBLES``, so many times in a row.

        ``redirect`` leads to ``elsewhere``; ``broken off`` resets the connection within the body, and ``cut`` ends it
        there in good order.
        """
        assert how in TROUBLES
        self._troubles[kind] = (how, times)

    def csv(self, dataset: str, first: date, last: date, channel_id: str | None = None) -> bytes:
        """Return the report that a download gives."""
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        lines = [HEADERS[dataset], *(line for day in days for line in self._lines(dataset, day, channel_id))]
        return self.habits.mark + "".join(line + self.habits.line_end for line in lines).encode()

    def numbers(self, channel_id: str, day: date) -> tuple[int, int, int]:
        """Return what a channel published, delivered and had subscribed on a day."""
        index = self.channel_ids.index(channel_id)
        published = 1 + (index + day.toordinal()) % 50
        return (published, -1, -1) if index % 7 == 6 else (published, published * (index + 40), index + 50)

    def _lines(self, dataset: str, day: date, channel_id: str | None) -> list[str]:
        n = day.toordinal()
        if channel_id:
            return [",".join(map(str, (day, *self.numbers(channel_id, day))))]
        if dataset == "broadcastapplicationmetric":
            return [f"{day},{n % 40},{n % 40 * 9000},{n},{n // 2}"]
        return [f"alert,delivered,{day},{n * 10}", f"liveactivity,stored,{day},{n % 100 * 10}"]

    # -- what a client asks ------------------------------------------------------------------------------------

    def answer(self, handler: _Handler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        target = urlsplit(handler.path)
        kind = self._kind(handler.command, target.path)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._lock:
            self._in_flight += 1
            seen = Seen(
                *(time.monotonic(), kind, handler.command, target.path, headers, body),
                *(handler.client_address[1], self._in_flight),
            )
            self.seen.append(seen)
            limited = self._limited(kind) or self._troubled(kind)
        time.sleep(self.latency)
        with self._lock:
            answer = limited or self._decide(seen, parse_qs(target.query))
            # Before the answer goes out: the client may well send its next request the moment it has this one.
            self._in_flight -= 1
            seen.status = answer.status
            if kind == "download" and answer.status == 200 and not limited:
                self.served.append(answer.body)
        self._send(handler, answer)

    @staticmethod
    def _kind(method: str, path: str) -> str:
        if method == "POST" and REQUEST.fullmatch(path):
            return "request"
        places = {"exports": "status", "objects": "download"}
        return places.get(path.split("/")[1], "other") if method == "GET" else "other"

    def _limited(self, kind: str) -> Answer | None:
        after, retry_after = self._limits.get(kind, (-1, ""))
        if after < 0 or len(self.all(kind)) <= after:
            return None
        del self._limits[kind]
        return Answer(429, b"slow down", "text/plain", (("Retry-After", retry_after),))

    def _troubled(self, kind: str) -> Answer | None:
        how, times = self._troubles.get(kind, ("", 0))
        if not times:
            return None
        self._troubles[kind] = (how, times - 1)
        if how.isdecimal():
            wait = (("Retry-After", "0"),) if how == "429" else ()
            return Answer(int(how), b"try later", "text/plain", wait)
        if how == "redirect":
            return Answer(302, b"", "text/plain", (("Location", self.elsewhere),))
        bodies = {"html": SIGN_IN_PAGE, "empty": b"", "wrong": b'{"status": ["SUCCESS"], "statusUrl": 7}'}
        return Answer(200, bodies.get(how, b"{" + b" " * 3000), "text/html", (), "" if how in bodies else how)

    def _decide(self, seen: Seen, query: dict[str, list[str]]) -> Answer:
        if seen.kind == "download":
            return self._download(seen, query)
        if seen.kind == "other":
            return Answer(404, b"{}")
        if seen.headers.get(TOKEN_HEADER) != self.token:
            return Answer(401, b"token invalid", "text/plain")
        return self._request(seen) if seen.kind == "request" else self._status(seen)

    def _request(self, seen: Seen) -> Answer:
        match = REQUEST.fullmatch(seen.path)
        assert match
        team, app, dataset = match.groups()
        if (team, app) != (self.team, self.app):
            return Answer(401, b"token invalid", "text/plain")
        if dataset not in HEADERS or seen.headers.get("content-type") != "application/json":
            return Answer(400, b"badly formed", "text/plain")
        try:
            content = json.loads(seen.body)
            first, last = (date.fromisoformat(content.pop(name)) for name in ("startDate", "endDate"))
            minutes, channel_id = content.pop("dataDownloadUrlExpiresInMinutes"), content.pop("channelId", None)
        except (ValueError, KeyError, TypeError):
            return Answer(400, b"badly formed", "text/plain")
        today = datetime.now(timezone.utc).date()
        in_range = today - timedelta(days=30) <= first < last < today
        about_channel = dataset == "broadcastchannelmetrics"
        if content or not in_range or minutes not in range(20, 61) or bool(channel_id) is not about_channel:
            return Answer(400, f"supported: {today - timedelta(days=30)} to {today}".encode(), "text/plain")
        if about_channel and channel_id not in self.channel_ids:
            return Answer(404, b"channel identifier not found", "text/plain")
        # The same request within 24 hours gives the same export.
        key = f"{dataset} {channel_id} {first} {last} {minutes}".encode()
        if (export := self.exports.get(key)) is None:
            outcome = self.outcomes.pop(0) if self.outcomes else self.outcome
            export = self.exports[key] = Export(dataset, channel_id, first, last, outcome)
        url = f"http://{self.habits.status_host}:{self.port}/exports/{export.number}"
        requested_at = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S}Z"
        return Answer(200, json.dumps({"statusUrl": url, "requestedAt": requested_at}).encode())

    def _status(self, seen: Seen) -> Answer:
        number = seen.path.rpartition("/")[2]
        export = next((export for export in self.exports.values() if export.number == number), None)
        if export is None:
            return Answer(400, b"badly formed", "text/plain")
        export.looks += 1
        now = datetime.now(timezone.utc)
        state = export.outcome if export.looks > self.processing_looks else "PROCESSING"
        content: dict[str, Any] = {"status": state, "requestedAt": f"{now:%Y-%m-%dT%H:%M:%S}.947Z"}
        if state == "SUCCESS":
            signature = "Sig-" + secrets.token_urlsafe(30)
            self.signatures[signature] = export
            content["downloadDetails"] = {
                self.habits.data_url_key: f"http://{self.habits.data_host}:{self.port}"
                f"/objects/{number}/data.csv?X-Signature={signature}",
                "expiresAt": f"{now + timedelta(minutes=20):%Y-%m-%dT%H:%M:%S.%f}Z",
            }
        return Answer(200, json.dumps(content).encode())

    def _download(self, seen: Seen, query: dict[str, list[str]]) -> Answer:
        export = self.signatures.get(query.get("X-Signature", [""])[0])
        if export is None or export.number not in seen.path:
            return Answer(403, b"<Error><Code>AccessDenied</Code></Error>", "application/xml")
        report = self.csv(export.dataset, export.first, export.last, export.channel_id)
        return Answer(200, report, "text/csv")

    def _send(self, handler: _Handler, answer: Answer) -> None:
        habits = self.habits
        body = answer.body
        if answer.breaks:
            _break(handler, answer.breaks)
            return
        headers = [("Content-Type", answer.content_type), *answer.headers]
        if habits.compress and "gzip" in handler.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body)
            headers.append(("Content-Encoding", "gzip"))
        if habits.chunked:
            headers.append(("Transfer-Encoding", "chunked"))
            third = len(body) // 3 + 1
            pieces = [body[start : start + third] for start in range(0, len(body), third)]
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])
        else:
            headers.append(("Content-Length", str(len(body))))
        with suppress(ConnectionError):  # the client has been killed
            handler.send_response_only(answer.status)
            for name, value in headers:
                handler.send_header(habits.header_names(name), value)
            handler.end_headers()
            handler.wfile.write(body)


def _break(handler: _Handler, how: str) -> None:
    """End an answer before its end, or before its beginning."""
    if how != "reset":
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nContent-Length: 9000\r\n\r\nDate (UTC),")
        handler.wfile.flush()
        time.sleep(0.05)
    if how != "cut":
        # With nothing left to linger for, closing sends a reset.
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    with suppress(OSError):
        handler.connection.shutdown(socket.SHUT_RDWR) if how == "cut" else handler.connection.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    # Headers and body in one segment: Nagle's algorithm would delay each answer.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.server.service.answer(self)

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, service: ForeignServer) -> None:
        self.service = service
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that are gone."""
