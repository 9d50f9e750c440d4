"""One object, one per day, one per channel: which rows go where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING

from airflow_provider_apns.exceptions import ApnsInvalidRequestError
from airflow_provider_apns.exports import Dataset, Window
from airflow_provider_apns.reports import Column, Row, write_report
from airflow_provider_apns.storage import check_free, object_path, publishing

if TYPE_CHECKING:
    from airflow_provider_apns.spool import Spool

DATE, CHANNEL = "{date}", "{channel_id}"

_KEYS = {DATE: "date", CHANNEL: "channel_id"}
_AT_ONCE = 16


@dataclass(frozen=True)
class Written:
    """
    An object that was written.

    :param path: where it is.
    :param rows: how many rows it has, where they were counted.
    :param size: bytes.
    :param sha256: of its content, in hexadecimal.
    """

    path: str
    rows: int | None
    size: int
    sha256: str


def file_name_of(channel_id: str) -> str:
    """Return a channel id that is safe in object names: base64 of the URL alphabet, without padding."""
    return channel_id.replace("+", "-").replace("/", "_").rstrip("=")


@dataclass(frozen=True)
class Layout:
    """
    Where rows are written.

    :param template: the path, with ``{date}`` for one object per day, ``{channel_id}`` for one per channel, both,
        or neither for a single object.
    :param conn_id: the object store's connection, if the path does not name it.
    """

    template: str
    conn_id: str | None = None

    @classmethod
    def read(cls, template: str, conn_id: str | None, dataset: Dataset) -> Layout:
        """
        Read a path as a DAG author gives it.

        :raises ApnsInvalidRequestError: if it asks for an object per channel where there are no channels.
        """
        layout = cls(str(template), conn_id)
        if CHANNEL in layout._placeholders and dataset is not Dataset.CHANNEL:
            raise ApnsInvalidRequestError(f"path has {CHANNEL}, but the {dataset.short_name} dataset has no channels.")
        object_path(template, conn_id)
        return layout

    @property
    def _placeholders(self) -> tuple[str, ...]:
        return tuple(placeholder for placeholder in (DATE, CHANNEL) if placeholder in self.template)

    @property
    def partition(self) -> tuple[str, ...]:
        """The columns that tell the objects apart."""
        return tuple(_KEYS[placeholder] for placeholder in self._placeholders)

    def keys(self, window: Window, channel_ids: Sequence[str]) -> Iterator[tuple[object, ...]]:
        """Give the key of every object, in the order of its rows; a day or channel without rows has one, too."""
        values: dict[str, Sequence[object]] = {DATE: window.days(), CHANNEL: sorted(channel_ids)}
        return iter(product(*(values[placeholder] for placeholder in self._placeholders)))

    def path_of(self, key: tuple[object, ...]) -> str:
        """Return an object's path."""
        path = self.template
        for placeholder, value in zip(self._placeholders, key, strict=True):
            path = path.replace(placeholder, file_name_of(value) if placeholder == CHANNEL else str(value))  # type: ignore[arg-type]
        return path


def check_destination(layout: Layout, window: Window, channel_ids: Sequence[str], overwrite: bool) -> None:
    """
    Check that nothing is there, unless it may be overwritten.

    :raises ApnsStorageError: naming the first object that is in the way.
    """
    if overwrite:
        return

    def check(key: tuple[object, ...]) -> None:
        check_free(object_path(layout.path_of(key), layout.conn_id), overwrite)

    keys = layout.keys(window, channel_ids)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        while some := list(islice(keys, 4 * _AT_ONCE)):
            list(threads.map(check, some))


def write_objects(
    spool: Spool, layout: Layout, window: Window, channel_ids: Sequence[str], output_format: str
) -> Iterator[Written]:
    """
    Write all rows of a spool, each object whole or not at all.

    :param spool: the rows.
    :param layout: where they go.
    :param window: the days that were asked for.
    :param channel_ids: the channels that were exported.
    :param output_format: see :func:`~airflow_provider_apns.reports.write_report`.
    :return: what was written, object by object.
    """

    def write(key: tuple[object, ...], rows: Iterator[Row] | list[Row]) -> Written:
        with publishing(object_path(layout.path_of(key), layout.conn_id)) as file:
            count = write_report(rows, spool.columns, file, output_format)  # type: ignore[arg-type]
        result = file.result()
        return Written(result.path, count, result.size, result.sha256)

    rows = spool.read(layout.partition)
    if not layout.partition:
        yield write((), rows)
        return
    parts = _parts(rows, spool.columns, layout, window, channel_ids)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        while some := list(islice(parts, 4 * _AT_ONCE)):
            yield from threads.map(lambda part: write(*part), some)


def _parts(
    rows: Iterator[Row], columns: Sequence[Column], layout: Layout, window: Window, channel_ids: Sequence[str]
) -> Iterator[tuple[tuple[object, ...], list[Row]]]:
    """Give each object's rows; they come sorted in the order of the keys."""
    names = [column.name for column in columns]
    indexes = [names.index(name) for name in layout.partition]
    waiting: Row | None = next(rows, None)
    for key in layout.keys(window, channel_ids):
        part = []
        while waiting is not None and tuple(waiting[index] for index in indexes) == key:
            part.append(waiting)
            waiting = next(rows, None)
        yield key, part
