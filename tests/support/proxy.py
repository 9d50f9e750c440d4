"""A TCP proxy that can die in the middle: what is behind it lives on, and can be asked what has become of it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Proxy:
    """Leads to a port of this machine.

    :param port: where it leads
    :param dies_after: bytes from clients after which it drops every connection and takes no new one
    """

    def __init__(self, port: int, *, dies_after: int) -> None:
        self._target = port
        self._left = dies_after
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.dead = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.dead.set()
        # Not closed alone: accept() in the other thread would hold the port open.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for each in [self._listener, *self._sockets]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self._sockets += [client, server]
            threading.Thread(target=self._copy, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._copy, args=(server, client, False), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if counted:
                    with self._lock:
                        self._left -= len(data)
                    if self._left <= 0:
                        self.close()
                        return
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
