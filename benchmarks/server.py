"""As much of Apple's API as the benchmarks need, answered from constants with as little work as Python allows.

The emulator checks every request, so it would itself be the bottleneck where the client's work is to decide. The same
exports can be watched as runs of dbt Cloud. Prints one line of JSON when it listens; ends when its standard input
does, and then prints what it has seen.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import ssl
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import UUID

import trustme

TEAM_ID, APP_ID = "A1B2C3D4E5", "com.example.app"
REQUEST_PATH = f"/v1/dataExports/apns/teams/{TEAM_ID}/appId/{APP_ID}/datasetName/broadcastchannelmetrics/request"
DBT_RUNNING, DBT_SUCCESS = 3, 10


@dataclass(frozen=True)
class Options:
    """
    What is served.

    :param channels: how many channels the app has.
    :param days: how many days each report has.
    :param looks: how often an export is looked at in vain.
    :param seconds: how long an export takes after its request.
    :param tls: whether to talk TLS.
    """

    channels: int = 1
    days: int = 7
    looks: int = 1
    seconds: float = 0
    tls: bool = False


class Apple:
    """The exports, and what has been asked about them."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.origin = ""
        self.seen: Counter[str] = Counter()
        self._looks: Counter[str] = Counter()
        self._requested: dict[str, float] = {}
        yesterday = datetime.now(timezone.utc).date() - timedelta(days=1)
        rows = [f"{yesterday - timedelta(days=ago)},{ago},{ago * 30_000},12345\n" for ago in range(options.days)]
        header = "Date (UTC),Broadcasts Published,Broadcasts Delivered,Total Subscriptions\n"
        self._csv = gzip.compress((header + "".join(reversed(rows))).encode(), mtime=0)

    def answer(self, method: bytes, path: str, body: bytes) -> bytes:
        if method == b"POST":
            self.seen["posts"] += 1
            export = str(UUID(bytes=blake2b(body, digest_size=16).digest()))
            self._requested.setdefault(export, time.monotonic())
            return _json({"statusUrl": self.status_url(export), "requestedAt": "2026-01-02T06:00:00.123456789Z"})
        if path.startswith("/data/"):
            self.seen["downloads"] += 1
            return _http(b"text/csv", self._csv, b"Content-Encoding: gzip\r\n")
        self.seen["looks"] += 1
        export = path.rstrip("/").rpartition("/")[2]
        self._looks[export] += 1
        ready = self._looks[export] > self.options.looks and (
            time.monotonic() >= self._requested.get(export, 0) + self.options.seconds
        )
        if path.startswith("/api/v2/"):
            return _json({"data": {"status": DBT_SUCCESS if ready else DBT_RUNNING}})
        return _json(self._status(export, ready))

    def _status(self, export: str, ready: bool) -> dict[str, object]:
        status = {"status": "SUCCESS" if ready else "PROCESSING", "requestedAt": "2026-01-02T06:00:00.123456789Z"}
        if not ready:
            return {**status}
        url = f"{self.origin}/data/{export}.csv?Expires=1790000000&Signature={'x' * 86}"
        return {**status, "downloadDetails": {"dataUrl": url, "expiresAt": "2026-01-02T07:00:00.123456Z"}}

    def status_url(self, export: str) -> str:
        return f"{self.origin}{REQUEST_PATH.removesuffix('request')}status/{export}"

    def announcement(self) -> dict[str, Any]:
        numbers = [blake2b(b"%d" % number, digest_size=16).digest() for number in range(self.options.channels)]
        return {
            "url": self.origin,
            "connection": {
                "conn_type": "apns",
                "host": self.origin,
                "login": TEAM_ID,
                "password": "a-data-export-token",
                "extra": {"app_id": APP_ID},
            },
            "request_path": REQUEST_PATH,
            "channel_ids": [base64.b64encode(number).decode() for number in numbers],
            "status_urls": [self.status_url(str(UUID(bytes=number))) for number in numbers],
        }


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request at a time, as the measured clients send them."""

    def __init__(self, apple: Apple) -> None:
        self._apple = apple
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._apple.seen["connections"] += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._buffer) < end + 4 + length:
                return
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
            method, path, _ = head.split(b" ", 2)
            self._transport.write(self._apple.answer(method, path.decode(), body))  # type: ignore[attr-defined]


def _json(document: object) -> bytes:
    return _http(b"application/json", json.dumps(document).encode())


def _http(kind: bytes, body: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n%b" % (kind, headers, len(body), body)


def tls_context(ca_file: Path) -> ssl.SSLContext:
    """Make a certificate for loopback; whoever trusts the file trusts it."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(str(ca_file))
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def serve(apple: Apple, ca_file: Path) -> None:
    context = tls_context(ca_file) if apple.options.tls else None
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(apple), "127.0.0.1", 0, backlog=1024, ssl=context)
    apple.origin = f"{'https' if context else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(json.dumps({**apple.announcement(), "ca": str(ca_file) if context else ""}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(apple.seen), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(Apple(Options(**json.loads(sys.argv[1]))), Path("ca.pem").absolute()))
