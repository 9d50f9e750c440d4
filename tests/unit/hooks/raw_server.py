"""A server that keeps requests byte for byte, and answers with the bytes that a test gives it."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
from collections.abc import Callable
from typing import Any

HTTP = b"HTTP/1.1 %d Whatever\r\nConnection: close\r\n"


def answer(status: int, body: bytes = b"", *headers: bytes) -> bytes:
    """An answer as a server should write it."""
    return HTTP % status + b"\r\n".join([*headers, b"Content-Length: %d" % len(body), b"", body])


def json_answer(**document: Any) -> bytes:
    return answer(200, json.dumps(document).encode())


class RawServer(socketserver.ThreadingTCPServer):
    """
    Listens on loopback while it is used as a context manager; takes requests without a body.

    To ``CONNECT`` it answers as a proxy does, and then is the server behind itself, if it has a certificate.
    """

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tls = tls
        self.requests: list[str] = []
        self.tunnel_answer = b"HTTP/1.1 200 OK\r\n\r\n"
        self.answer_to: Callable[[str], bytes] = lambda target: json_answer(status="PROCESSING")
        self.address = f"127.0.0.1:{self.server_address[1]}"
        self.url = f"http://{self.address}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()
        super().__exit__(*exc_info)

    def connection(self, **changes: str) -> str:
        """The Airflow connection that leads here."""
        fields = {"conn_type": "apns", "host": self.url, "login": "T", "password": "token", "extra": {"app_id": "app"}}
        return json.dumps(fields | changes)

    @property
    def targets(self) -> list[str]:
        """What all requests so far asked for, as it was written."""
        return [_target(request) for request in self.requests]


def _target(request: str) -> str:
    return request.split("\r\n")[0].partition(" ")[2].removesuffix(" HTTP/1.1")


class _Handler(socketserver.BaseRequestHandler):
    server: RawServer

    def handle(self) -> None:
        request = self._read()
        if request.startswith("CONNECT"):
            self.request.sendall(self.server.tunnel_answer)
            if self.server.tls is None:
                return
            try:
                self.request = self.server.tls.wrap_socket(self.request, server_side=True)
            except ssl.SSLError:  # The client does not trust the certificate.
                return
            request = self._read()
        if request:
            self.request.sendall(self.server.answer_to(_target(request)))

    def _read(self) -> str:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (data := self.request.recv(1 << 16)):
                return ""
            head += data
        self.server.requests.append(head.decode("latin-1"))
        return self.server.requests[-1]
