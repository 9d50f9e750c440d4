"""Where the fields of the matrix are played: Apple, a network that can lead astray, and waits that are short."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp

from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.protocol import retries
from tests.faults.certificates import make_certificates
from tests.faults.plan import CHANNELS, ENDPOINTS, TIMES, Cell

TOKEN = "matrix-token+that/must-not-be-seen"
MAX_CONCURRENCY = 64

# What is waited, scaled down; the rules that decide how long stay as they are, and what they decide is added up.
WAIT = 0.002
READ_TIMEOUT, READ_TIMEOUT_OF_BATCH = 0.5, 2.0


class World:
    """Apple, once with plain http and once, for faults of the network, with TLS and a host name for each endpoint."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        hosts = {endpoint: f"{endpoint}.test" for endpoint in ENDPOINTS}
        places = make_certificates(folder, list(hosts.values()))
        os.environ |= {"REQUESTS_CA_BUNDLE": str(folder / "trusted.pem"), "no_proxy": ".test"}
        options: dict[str, Any] = {"channels": CHANNELS, "token": TOKEN}
        self._plain = stack.enter_context(Emulator(**options))
        named = {"status_host": hosts["status"], "download_host": hosts["download"]}
        self._secure = stack.enter_context(Emulator(**options, **named, tls=True, tls_dir=places["good"]))
        self._hosts = hosts
        self._wrong_ports = {
            f"certificate {kind}": stack.enter_context(Emulator(tls=True, tls_dir=place)).port
            for kind, place in places.items()
        }
        self._wrong_ports["TLS with plain http"] = self._plain.port
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self._wrong_ports["connection refused"] = unused.getsockname()[1]
        self._getaddrinfo = socket.getaddrinfo
        self._cell: Cell | None = None
        self._left = 0
        self.waited = 0.0
        self._scale(stack)

    def apple(self, cell: Cell) -> Emulator:
        return self._secure if cell.is_network else self._plain

    def connection(self, cell: Cell) -> str:
        connection = json.loads(self.apple(cell).connection_json)
        if cell.is_network:
            connection["host"] = f"https://{self._hosts['request']}:{self._secure.port}"
            connection["extra"]["trusted_hosts"] = list(self._hosts.values())
        return json.dumps(connection)

    @contextmanager
    def broken(self, cell: Cell) -> Iterator[None]:
        """Let the fault of a field happen."""
        apple, times = self.apple(cell), TIMES[cell.times]
        apple.ledger.clear()
        self._cell, self.waited = cell, 0.0
        if cell.is_network:
            self._left = sys.maxsize if times is None else times * (MAX_CONCURRENCY if cell.is_batch else 1)
        else:
            apple.inject(cell.spec)
        timeout = READ_TIMEOUT_OF_BATCH if cell.is_batch else READ_TIMEOUT
        with (
            mock.patch("airflow_provider_apns.hooks.apns.READ_TIMEOUT", timeout),
            mock.patch("airflow_provider_apns.hooks.sessions.READ_TIMEOUT", timeout),
        ):
            yield
        self._left = 0
        apple.clear_faults()

    def _scale(self, stack: ExitStack) -> None:
        """Make all waits short, and let names be looked up here."""

        def connector(*args: Any, **options: Any) -> Any:
            # Seconds of a cached address are ages on this scale.
            return tcp_connector(*args, **{**options, "use_dns_cache": False})

        tcp_connector, self._retry_delay = aiohttp.TCPConnector, retries.retry_delay
        for target, replacement in {
            "socket.getaddrinfo": self._look_up,
            "aiohttp.TCPConnector": connector,
            "airflow_provider_apns.protocol.retries.retry_delay": self._short_delay,
            "airflow_provider_apns.batches.waiting.retry_delay": self._short_delay,
            "airflow_provider_apns.batches.waiting.poll_delay": lambda polls, ceiling: WAIT,
        }.items():
            stack.enter_context(mock.patch(target, replacement))

    def _short_delay(self, error: Any, tries: int) -> float:
        delay = self._retry_delay(error, tries)
        self.waited += delay
        # Here tries follow each other at once, so that one request of a batch could meet most of the failures meant
        # for all: the network heals before it has used up its tries.
        if tries == retries.MAX_TRIES - 2 and self._left < sys.maxsize // 2:
            self._left = 0
        return min(delay, WAIT)

    def _look_up(self, host: Any, port: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in self._hosts.values():
            return self._getaddrinfo(host, port, *args, **options)
        if self._cell and name == self._hosts[self._cell.endpoint] and self._left > 0:
            self._left -= 1
            if self._cell.fault == "unknown host name":
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            port = self._wrong_ports[self._cell.fault]
        return self._getaddrinfo("127.0.0.1", port, *args, **options)
