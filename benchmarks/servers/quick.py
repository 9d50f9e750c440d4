"""As much of Apple's API as 10,000 channels need, answered from constants with as little work as Python allows.

The emulator checks every request and would itself be the bottleneck of a race that asks who is near the limit; here
the client's own work decides. Prints one line of JSON when it listens, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import sys
from datetime import datetime, timedelta, timezone
from hashlib import blake2b

TOKEN = "a-data-export-token"
APP_ID = "com.example.app"
_LOOKS_BEFORE_SUCCESS = 1


class Quick(asyncio.Protocol):
    """One connection: HTTP/1.1 with keep-alive, one request at a time, as aiohttp's client sends them."""

    connections = 0
    requests = 0
    looks: dict[bytes, int] = {}  # noqa: RUF012 - shared by all connections on purpose
    origin = ""
    csv = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._buffer = b""
        Quick.connections += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            length = 0
            if head.startswith(b"POST"):
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                if len(self._buffer) < end + 4 + length:
                    return
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
            Quick.requests += 1
            self._transport.write(self._answer(head, body))  # type: ignore[attr-defined]

    def _answer(self, head: bytes, body: bytes) -> bytes:
        path = head.split(b" ", 2)[1]
        if head.startswith(b"POST"):
            export = blake2b(body, digest_size=16).hexdigest()
            document = {"statusUrl": f"{self.origin}/status/{export}", "requestedAt": "2026-01-02 06:00:00Z"}
            return _http(b"application/json", json.dumps(document).encode())
        if path.startswith(b"/status/"):
            seen = self.looks[path] = self.looks.get(path, 0) + 1
            return _http(b"application/json", self._status(path[8:].decode(), seen > _LOOKS_BEFORE_SUCCESS))
        return _http(b"text/csv", self.csv, b"Content-Encoding: gzip\r\n")

    def _status(self, export: str, ready: bool) -> bytes:
        document: dict[str, object] = {
            "status": "SUCCESS" if ready else "PROCESSING",
            "requestedAt": "2026-01-02T06:00:00.123Z",
        }
        if ready:
            url = f"{self.origin}/data/{export}.csv?Expires=1790000000.123456&Signature={'x' * 86}"
            document["downloadDetails"] = {"dataUrl": url, "expiresAt": "2026-01-02T07:00:00.123456Z"}
        return json.dumps(document).encode()


def _http(kind: bytes, body: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n%b" % (kind, headers, len(body), body)


async def serve(channels: int) -> None:
    today = datetime.now(timezone.utc).date()
    rows = [f"{today - timedelta(days=day)},{day * 3},{day * 30_000},12345\n" for day in range(7, 0, -1)]
    header = "Date (UTC),Broadcasts Published,Broadcasts Delivered,Total Subscriptions\n"
    Quick.csv = gzip.compress((header + "".join(rows)).encode(), mtime=0)
    server = await asyncio.get_running_loop().create_server(Quick, "127.0.0.1", 0, backlog=1024)
    Quick.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    connection = {"conn_type": "apns", "host": Quick.origin, "login": "A1B2C3D4E5", "password": TOKEN}
    channel_ids = [base64.b64encode(blake2b(b"%d" % n, digest_size=16).digest()).decode() for n in range(channels)]
    announcement = {
        "url": Quick.origin,
        "ca": "",
        "connection": {**connection, "extra": {"app_id": APP_ID}},
        "channel_ids": channel_ids,
    }
    print(json.dumps(announcement), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps({"connections": Quick.connections, "requests": Quick.requests}), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(**json.loads(sys.argv[1])))
