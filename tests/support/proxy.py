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
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        self.port = self._listener.getsockname()[1]
        self.dead = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.dead.set()
        for each in self._sockets:
            with suppress(OSError):  # not closed alone: another thread's accept() would hold the port open
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                threading.Thread(target=self._copy, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._copy, args=(server, client, False), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket, is_counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if is_counted:
                    self._left -= len(data)
                    if self._left <= 0:
                        self.close()
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
