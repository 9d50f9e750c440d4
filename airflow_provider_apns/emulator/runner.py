"""The emulator for tests: in this process, in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_apns.emulator.data import Query
from airflow_provider_apns.emulator.faults import Fault
from airflow_provider_apns.emulator.server import Service, utc_now
from airflow_provider_apns.emulator.settings import Dataset, Settings, find_dataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from airflow_provider_apns.emulator.ledger import Ledger


class Emulator:
    """Apple's service on a free port of this machine, as a context manager.

    :param clock: gives the time, in UTC and aware of it; tests move it
    :param options: fields of :class:`~.settings.Settings`, in any spelling that ``Settings.of`` takes
    """

    def __init__(self, clock: Callable[[], datetime] = utc_now, **options: Any) -> None:
        self._service = Service(Settings.of(**options), clock)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._failure: BaseException | None = None

    def __enter__(self) -> Emulator:
        """Start serving."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End serving, for good."""
        self.close()

    def close(self) -> None:
        """End serving, for good."""
        self.stop()
        self._service.close()

    def start(self) -> Emulator:
        """Start serving; returns when connections are accepted."""
        started, self._failure = threading.Event(), None
        self._thread = threading.Thread(target=self._run, args=(started,), name="apns-emulator", daemon=True)
        self._thread.start()
        started.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """Drop all connections and refuse new ones; exports and ledger are kept."""
        if self._loop is None or self._ending is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self._loop = self._ending = self._thread = None

    def restart(self) -> None:
        """Serve again after :meth:`stop`, on the same port."""
        self.stop()
        self.start()

    def _run(self, started: threading.Event) -> None:
        try:
            asyncio.run(self._serve(started))
        except BaseException as error:  # it is raised where start() waits
            self._failure = error
        finally:
            started.set()

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        await self._service.start()
        started.set()
        await self._ending.wait()
        await self._service.stop()

    # -- what it serves ------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The API's base URL."""
        return self._service.url

    @property
    def port(self) -> int:
        """The port it listens on, also while it is stopped."""
        return self._service.port

    @property
    def trap_url(self) -> str:
        """A URL for redirects to lead to: a token that comes there is a violation."""
        return f"{self.url}/trap"

    @property
    def token(self) -> str:
        """The data export token that is valid now."""
        return self._service.apple.token

    @property
    def team_id(self) -> str:
        """The team that the token belongs to."""
        return self._service.apple.settings.team_id

    @property
    def app_id(self) -> str:
        """The bundle identifier that the token is for."""
        return self._service.apple.settings.app_id

    @property
    def channel_ids(self) -> tuple[str, ...]:
        """The identifiers of all channels of the app."""
        return self._service.apple.channel_ids

    @property
    def ca_path(self) -> Path | None:
        """The certificate to trust, with ``tls``."""
        return self._service.ca_path

    @property
    def connection_json(self) -> str:
        """The Airflow connection that leads here, as JSON."""
        return json.dumps(self._service.connection)

    @property
    def connection_uri(self) -> str:
        """The Airflow connection that leads here, as a URI."""
        return self._service.connection_uri

    @property
    def signature_mark(self) -> str:
        """How the signature of every signed URL begins: what to search for where no signed URL may be."""
        return self._service.apple.signature_mark

    @property
    def ledger(self) -> Ledger:
        """What happened so far."""
        return self._service.ledger

    def csv(self, dataset: str | Dataset, start: date | str, end: date | str, channel_id: str | None = None) -> bytes:
        """Return the bytes that a download gives.

        :param dataset: by its short name or Apple's path segment
        :param start: the first day
        :param end: the last day, inclusive
        :param channel_id: for the channel dataset
        """
        first, last = (day if isinstance(day, date) else date.fromisoformat(day) for day in (start, end))
        kind = dataset if isinstance(dataset, Dataset) else find_dataset(dataset)
        return bytes(self._service.apple.expected(Query(kind, first, last, channel_id)))

    # -- what is done to it --------------------------------------------------------------------------------

    def inject(self, *faults: Fault | str) -> None:
        """Let something go wrong.

        :param faults: faults, or their text form
        """
        for fault in faults:
            self._service.faults.inject(Fault.parse(fault) if isinstance(fault, str) else fault)

    def clear_faults(self) -> None:
        """Let everything go well again."""
        self._service.faults.clear()

    def rotate_token(self, token: str) -> None:
        """Replace the token; the old one answers 401 from now on.

        :param token: the new one
        """
        self._service.rotate_token(token)

    def configure(self, **options: Any) -> None:
        """Change settings while it runs; those of its socket, its URLs and its token are fixed from the start.

        :param options: fields of :class:`~.settings.Settings`
        """
        changes = {name: getattr(Settings.of(**options), name) for name in options}
        self._service.apple.settings = replace(self._service.apple.settings, **changes)
