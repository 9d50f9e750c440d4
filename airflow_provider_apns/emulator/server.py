"""The emulator on the network, served by its own thread."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from airflow_provider_apns.emulator.channels import ChannelService
from airflow_provider_apns.emulator.control import control
from airflow_provider_apns.emulator.service import utc_now
from airflow_provider_apns.emulator.tls import CA_FILE, ensure_certificate, server_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


class Emulator(ChannelService):
    """Apple's service on a free port of this machine, as a context manager.

    :param clock: returns the current time in UTC, as an aware ``datetime``; tests can move it
    :param options: fields of :class:`~.settings.Settings`, in any spelling that ``Settings.of`` accepts
    """

    def __init__(self, clock: Callable[[], datetime] = utc_now, **options: Any) -> None:
        super().__init__(clock, **options)
        self.ca_path: Path | None = None
        """The certificate to trust, if ``tls`` or ``channels_port`` is set."""
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._thread: threading.Thread | None = None
        self._end: Callable[[], object] = lambda: None

    def __enter__(self) -> Emulator:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> Emulator:
        """Start serving, and return when connections are accepted."""
        started: Future[None] = Future()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="apns-emulator", daemon=True)
        thread.start()
        started.result()
        self._thread = thread
        return self

    def stop(self) -> None:
        """Drop all connections and refuse new ones. Exports and ledger are kept."""
        if self._thread is not None:
            self._end()
            self._thread.join()
            self._thread = None

    def restart(self) -> None:
        """Serve again on the same port."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop serving for good."""
        self.stop()
        super().close()
        if self._scratch is not None:
            self._scratch.cleanup()

    async def _serve(self, started: Future[None]) -> None:
        loop, ending = asyncio.get_running_loop(), asyncio.Event()
        self._end = partial(loop.call_soon_threadsafe, ending.set)
        application = self._application()
        application.add_subapp("/_emulator", control(self))
        # Not 0, which means forever to old releases of aiohttp.
        options: dict[str, Any] = {"shutdown_timeout": 0.01, "tcp_keepalive": False, "access_log": None}
        runner = web.AppRunner(application, handler_cancellation=True, **options)
        await runner.setup()
        channels: asyncio.Task[None] | None = None
        try:
            directory = self._certificate()
            listener = await self._listen(runner, directory)
            if directory and self.apple.settings.channels_port is not None:
                channels = await self._serve_channels(directory, ending)
        except Exception as error:  # start() raises it
            started.set_exception(error)
            return
        started.set_result(None)
        await ending.wait()
        listener.close()
        await runner.cleanup()
        if channels and not (await asyncio.wait({channels}, timeout=0.5))[0]:
            # Before Python 3.11, asyncio waits forever for TLS clients that do not close their side.
            channels.cancel()
            await asyncio.gather(channels, return_exceptions=True)

    async def _listen(self, runner: web.AppRunner, directory: Path | None) -> asyncio.Server:
        def connected() -> asyncio.Protocol:
            self.ledger.enter({"connection": True})
            return cast("web.Server", runner.server)()

        settings = self.apple.settings
        tls = server_context(directory) if directory and settings.tls else None
        listener = await asyncio.get_running_loop().create_server(
            connected, settings.host, self.port, ssl=tls, backlog=1024, reuse_address=True
        )
        self.port = listener.sockets[0].getsockname()[1]
        self.apple.status_origin = self._origin(settings.status_host)
        self.apple.download_origin = self._origin(settings.download_host)
        return listener

    def _certificate(self) -> Path | None:
        settings = self.apple.settings
        if not settings.tls and settings.channels_port is None:
            return None
        directory = settings.tls_dir
        if directory is None:
            self._scratch = self._scratch or tempfile.TemporaryDirectory(prefix="apns-emulator-")
            directory = Path(self._scratch.name)
        ensure_certificate(directory)
        self.ca_path = directory / CA_FILE
        return directory
