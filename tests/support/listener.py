"""A server of threads on a free port of loopback, for servers that are too odd for a library."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TypeVar

L = TypeVar("L", bound="Listener")


class Listener:
    """Serves each connection in a thread of its own, as a context manager."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self: L) -> L:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # not closed alone: another thread's accept() would hold the port open
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                wire, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(wire,), daemon=True).start()

    def _serve(self, wire: socket.socket) -> None:
        raise NotImplementedError
