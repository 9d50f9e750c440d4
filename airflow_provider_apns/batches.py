"""Many exports at once: bounded concurrency, steady progress, and a compact form for the metadata database."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import tempfile
import zlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import IO, TYPE_CHECKING, TypeVar

from airflow_provider_apns.exceptions import ApnsInvalidRequestError, ApnsNotFoundError, ApnsServiceError
from airflow_provider_apns.exports import (
    Dataset,
    ExportRequest,
    Window,
    poll_delay,
    read_channel_ids,
    retry_delay,
    should_retry,
    spread,
)
from airflow_provider_apns.reports import Column, ReportReader, Row, documented_columns
from airflow_provider_apns.spool import Spool

if TYPE_CHECKING:
    from airflow_provider_apns.hooks.apns import ApnsAsyncHook

log = logging.getLogger(__name__)

T = TypeVar("T")

PROGRESS_INTERVAL = 5.0
REMINDER_INTERVAL = 300.0
"""Seconds after which a wait tells again of what has not changed."""

_IN_MEMORY = 1 << 20
_SMALL = 1 << 16
_READ_TOGETHER = 200


@dataclass(frozen=True)
class Batch:
    """
    The exports that one task asked for.

    :param window: the days to keep; Apple may have been asked for more. A task that is resumed must not read its
        arguments for them once more: Airflow has rendered these anew, maybe on the day after.
    :param exports: pairs of channel id (``None`` for datasets without channels) and status URL.
    :param missing: the channels that Apple does not know.
    """

    window: Window
    exports: tuple[tuple[str | None, str], ...]
    missing: tuple[str, ...] = ()

    def pack(self) -> str:
        """Return a compact text: 10,000 exports take some hundred kilobytes in the metadata database."""
        days = str(self.window.start), str(self.window.end)
        content = json.dumps([*days, self.exports, self.missing], separators=(",", ":"))
        return base64.b64encode(zlib.compress(content.encode())).decode()

    @classmethod
    def unpack(cls, packed: str) -> Batch:
        """Read what :meth:`pack` returned."""
        start, end, exports, missing = json.loads(zlib.decompress(base64.b64decode(packed)))
        pairs = tuple((channel_id, status_url) for channel_id, status_url in exports)
        return cls(Window.parse(start, end), pairs, tuple(missing))

    @property
    def status_urls(self) -> list[str]:
        """The status URLs, in the order of the channels."""
        return [status_url for _, status_url in self.exports]


@dataclass(frozen=True)
class Order:
    """
    What a task asks for, checked.

    :param dataset: the dataset.
    :param window: the days to keep; one single day is allowed.
    :param channel_ids: the channels, each once; empty for the other datasets.
    """

    dataset: Dataset
    window: Window
    channel_ids: tuple[str, ...] = ()

    @classmethod
    def read(cls, dataset: str, window: Window, channel_ids: object = None) -> Order:
        """
        Read an order as a DAG author gives it.

        :raises ApnsInvalidRequestError: if dataset or channels are wrong, or do not go together.
        """
        parsed = Dataset.parse(dataset)
        if parsed is Dataset.CHANNEL:
            return cls(parsed, window, tuple(read_channel_ids(channel_ids or [])))
        if channel_ids:
            raise ApnsInvalidRequestError(f"channel_ids go with the channel dataset, not with '{parsed.short_name}'.")
        return cls(parsed, window)


class Progress:
    """
    Logs how far a batch is: every few seconds, not for every export.

    :param text: what to say, with ``%s`` for the numbers done and in all.
    :param total: how many there are.
    """

    def __init__(self, text: str, total: int) -> None:
        self._text = text
        self._total = total
        self._done = 0
        self._last = asyncio.get_running_loop().time()

    def step(self) -> None:
        """Count one more as done."""
        self._done += 1
        now = asyncio.get_running_loop().time()
        if self._done == self._total or now - self._last >= PROGRESS_INTERVAL:
            self._last = now
            log.info(self._text, f"{self._done:,}", f"{self._total:,}")


async def for_each(items: Sequence[T], work: Callable[[T], Awaitable[None]], max_concurrency: int) -> None:
    """
    Do something for every item, so many at once; the first failure ends all.

    :param items: the items.
    :param work: what to do.
    :param max_concurrency: how many at once.
    """
    if len(items) < 2:
        for item in items:
            await work(item)  # A task would cost more than a poll's own code.
        return
    left = iter(items)

    async def take() -> None:
        for item in left:
            await work(item)

    workers = [asyncio.ensure_future(take()) for _ in range(min(max_concurrency, len(items)))]
    try:
        # Not gather: if a worker fails at the moment when all are to end, it tells of the failure, and they go on.
        ended, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    for worker in ended:
        worker.result()


async def request_exports(
    hook: ApnsAsyncHook, order: Order, *, app_id: str, today: date, max_concurrency: int
) -> Batch:
    """
    Ask Apple for the reports of an order.

    :param hook: the transport.
    :param order: what to ask for.
    :param app_id: the bundle identifier.
    :param today: the current day in UTC.
    :param max_concurrency: how many requests at once.
    :return: the exports, in the order of the channels, and the channels that Apple does not know.
    """
    window = order.window.for_apple(today)
    channel_ids: Sequence[str | None] = order.channel_ids or (None,)
    status_urls: dict[str | None, str] = {}
    missing: set[str | None] = set()
    progress = Progress("%s of %s exports requested.", len(channel_ids))

    async def ask(channel_id: str | None) -> None:
        request = ExportRequest(order.dataset, window, channel_id)
        try:
            status_urls[channel_id] = (await hook.request_export(request, app_id)).status_url
        except ApnsNotFoundError:
            if channel_id is None:
                raise
            missing.add(channel_id)
        progress.step()

    await for_each(channel_ids, ask, max_concurrency)
    return Batch(
        order.window,
        tuple((channel_id, status_urls[channel_id]) for channel_id in channel_ids if channel_id in status_urls),
        tuple(channel_id for channel_id in channel_ids if channel_id is not None and channel_id in missing),
    )


def check_missing(batch: Batch, on_missing_channel: str) -> None:
    """
    Decide about channels that Apple does not know.

    :param on_missing_channel: ``fail`` or ``skip``.
    :raises ApnsNotFoundError: naming all of them, on ``fail`` or if no channel is left.
    """
    if batch.missing and (on_missing_channel == "fail" or not batch.exports):
        raise ApnsNotFoundError(
            f"Apple does not know {len(batch.missing)} of {len(batch.missing) + len(batch.exports)} channels "
            f"(404): {', '.join(batch.missing)}. Nothing was written. Check that they belong to this app and "
            "environment, or set on_missing_channel='skip'."
        )
    if batch.missing:
        log.warning("Skipping channels that Apple does not know: %s", ", ".join(batch.missing))


async def wait_for_exports(
    hook: ApnsAsyncHook,
    status_urls: Sequence[str],
    *,
    poke_interval: float,
    max_concurrency: int,
    first_delay: float | None = None,
) -> None:
    """
    Wait until all exports can be downloaded: looking soon at first, then more rarely, and as late as Apple asks.

    :param hook: the transport.
    :param status_urls: the exports.
    :param poke_interval: the longest time between two looks at an export, in seconds.
    :param max_concurrency: how many status requests at once.
    :param first_delay: seconds until the first look, at the least; without it, those that a new export needs.
    :raises ApnsExportFailedError: as soon as one of them has failed or expired.
    :raises ApnsServiceError: if a look has failed as often as it may be tried.
    """
    news = _News(len(status_urls))
    looks, pending = 0, status_urls
    loop = asyncio.get_running_loop()
    delay = poll_delay(0, poke_interval, loop.time()) if first_delay is None else spread(first_delay)
    while True:
        await asyncio.sleep(delay)
        try:
            states = await _look(hook, pending, max_concurrency)
        except ApnsServiceError as error:
            if should_retry(error):  # and has been tried again, in vain
                raise
            delay = retry_delay(error, 1)
            log.warning("%s Looking again in %.0f s, as it asks.", error, delay)
            continue
        looks += 1
        if not states:
            return
        pending = [status_url for status_url in pending if status_url in states]
        delay = poll_delay(looks, poke_interval, loop.time())
        news.tell(states, delay)
        del states  # thousands of triggers may be here


async def _look(hook: ApnsAsyncHook, status_urls: Sequence[str], max_concurrency: int) -> dict[str, str]:
    """Return the states of those exports that are not ready yet."""
    states: dict[str, str] = {}

    async def look(status_url: str) -> None:
        export = (await hook.get_export(status_url)).check()
        if not export.is_ready:
            states[status_url] = export.status

    await for_each(status_urls, look, max_concurrency)
    return states


class _News:
    """
    Logs what has changed since the last look, and from time to time what has not.

    :param total: how many exports there are.
    """

    __slots__ = ("_started", "_told", "_told_at", "_total")

    def __init__(self, total: int) -> None:
        self._total = total
        self._started = asyncio.get_running_loop().time()
        self._told: object = None
        self._told_at = 0.0

    def tell(self, states: dict[str, str], delay: float) -> None:
        """
        Log how far it is.

        :param states: those of the exports that are not ready.
        :param delay: seconds until the next look.
        """
        now = asyncio.get_running_loop().time()
        news = len(states) if self._total > 1 else next(iter(states.values()))
        if news != self._told or now - self._told_at >= REMINDER_INTERVAL:
            self._told, self._told_at = news, now
            waited = now - self._started
            log.info("%s after %.0f s; looking again in %.0f s.", self._describe(states), waited, delay)

    def _describe(self, states: dict[str, str]) -> str:
        if self._total == 1:
            ((status_url, status),) = states.items()
            return f"Export {status_url} is {status}"
        return f"{self._total - len(states):,} of {self._total:,} exports are ready"


async def download_exports(
    hook: ApnsAsyncHook,
    batch: Batch,
    spool: Spool,
    *,
    dataset: Dataset,
    app_id: str,
    max_concurrency: int,
) -> None:
    """
    Download many reports and keep their rows of the batch's window.

    :param hook: the transport.
    :param batch: the exports.
    :param spool: where the rows go.
    :param dataset: the dataset of all of them.
    :param app_id: the bundle identifier to write into each row.
    :param max_concurrency: how many at once.
    """
    progress = Progress("%s of %s reports downloaded.", len(batch.exports))

    pile = _Pile(lambda file, channel_id: read_into(spool, file, dataset, batch.window, app_id, channel_id))

    async def fetch(export: tuple[str | None, str]) -> None:
        channel_id, status_url = export
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, prefix="apns-") as file:
            await hook.download_export(status_url, file, dataset)
            pile.add(file, channel_id)
        progress.step()

    await for_each(batch.exports, fetch, max_concurrency)
    pile.read()


class _Pile:
    """
    Small reports that wait to be read, many in a row.

    Between two requests each, when the processor's caches are full of other things, they take about twice the time.

    :param read: reads one.
    """

    def __init__(self, read: Callable[[IO[bytes], str | None], None]) -> None:
        self._read = read
        self._reports: list[tuple[bytes, str | None]] = []

    def add(self, file: IO[bytes], channel_id: str | None) -> None:
        """Take a report, and read all that wait once there are enough; a large one does not wait."""
        if file.tell() > _SMALL:
            self._read(file, channel_id)
            return
        file.seek(0)
        self._reports.append((file.read(), channel_id))
        if len(self._reports) == _READ_TOGETHER:
            self.read()

    def read(self) -> None:
        """Read all that wait."""
        reports, self._reports = self._reports, []
        for report, channel_id in reports:
            self._read(io.BytesIO(report), channel_id)


def read_into(
    spool: Spool, file: IO[bytes], dataset: Dataset, window: Window, app_id: str, channel_id: str | None
) -> None:
    """Read one report's rows of the window into the spool, piece by piece."""
    what = f"report of channel {channel_id}" if channel_id else f"report of the {dataset.short_name} dataset"
    reader = ReportReader(dataset, what)
    file.seek(0)
    while piece := file.read(_IN_MEMORY):
        rows = reader.feed(piece)
        if reader.columns:
            spool.add(_labelled(rows, window, app_id, channel_id), labelled_columns(reader.columns, dataset))
    spool.add(_labelled(reader.finish(), window, app_id, channel_id), labelled_columns(reader.columns, dataset))


@lru_cache(maxsize=8)  # Thousands of reports have the same ones.
def labelled_columns(columns: tuple[Column, ...], dataset: Dataset) -> tuple[Column, ...]:
    """Return a report's columns with those that say whose rows they are, behind the date."""
    labels = ("app_id", "channel_id") if dataset is Dataset.CHANNEL else ("app_id",)
    return (columns[0], *(Column(label, "string") for label in labels), *columns[1:])


def _labelled(rows: Iterable[Row], window: Window, app_id: str, channel_id: str | None) -> Iterable[Row]:
    labels = (app_id,) if channel_id is None else (app_id, channel_id)
    for row in rows:
        day = row[0]
        if isinstance(day, date) and day in window:
            yield (day, *labels, *row[1:])


def new_spool(dataset: Dataset) -> Spool:
    """Return a spool with the columns that every report of a dataset has."""
    return Spool(labelled_columns(documented_columns(dataset), dataset))
