"""A proxy that opens tunnels, or refuses to."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from tests.support.listener import Listener


class HttpProxy(Listener):
    """Opens tunnels to wherever it is asked to, unless ``status`` says otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.status = "200 OK"
        self.heads: list[str] = []
        self.url = f"http://user:its-password@127.0.0.1:{self.port}"

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head = client.recv(1 << 16).decode()
            self.heads.append(head)
            client.sendall(f"HTTP/1.1 {self.status}\r\n\r\n".encode())
            if self.status == "200 OK":
                host, _, port = head.split()[1].rpartition(":")
                with socket.create_connection((host, int(port))) as server:
                    threading.Thread(target=_copy, args=(server, client), daemon=True).start()
                    _copy(client, server)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
