"""
Apple's CSV without I/O: which columns it has, what they mean, and how its rows are written out.

Source: the tables of Apple's articles "Exporting broadcast push notification metrics" and "Exporting delivery
metrics logs".
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from itertools import count, islice
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias

from airflow_provider_apns.exceptions import ApnsInvalidRequestError, ApnsReportError
from airflow_provider_apns.exports import Dataset, read_date, shorten, without_secrets

if TYPE_CHECKING:
    import pyarrow

Value: TypeAlias = "bool | int | str | date | None"
Row: TypeAlias = tuple[Value, ...]
Kind = Literal["date", "string", "count", "boolean"]

OUTPUT_FORMATS = ("csv", "jsonl", "parquet")

WITHHELD = "-1"
"""Apple's count for a channel with too few subscribers to keep people anonymous. It is not a number."""

_MAX_LINE = 1 << 20
_MAX_COLUMNS = 200
_BATCH = 50_000
_CSV_BATCH = 1000
_MAX_COUNT = 2**63 - 1
_MAX_DIGITS = 19


@dataclass(frozen=True)
class Column:
    """
    A column of the normalised output.

    :param name: in snake_case.
    :param kind: the type of its values.
    """

    name: str
    kind: Kind


_COUNTS = ("Broadcasts Published", "Broadcasts Delivered", "Total Subscriptions")

APPLE_COLUMNS: dict[Dataset, tuple[tuple[str, Kind], ...]] = {
    Dataset.APPLICATION: (
        ("Date (UTC)", "date"),
        *((name, "count") for name in (*_COUNTS, "Unique Subscribers")),
    ),
    Dataset.CHANNEL: (("Date (UTC)", "date"), *((name, "count") for name in _COUNTS)),
    Dataset.DELIVERY: (("Date (UTC)", "date"), ("Push Type", "string"), ("Status", "string"), ("Count", "count")),
}

_OWN_NAMES = ("app_id", "channel_id", "withheld")


def snake_case(name: str) -> str:
    """Return a column's normalised name: ``Date (UTC)`` is ``date``, ``Push Type`` is ``push_type``."""
    if name == "Date (UTC)":
        return "date"
    cleaned = re.sub(r"[^0-9a-z]+", "_", name.strip().lower()).strip("_") or "column"
    return f"apple_{cleaned}" if cleaned in _OWN_NAMES else cleaned


def has_withheld(dataset: Dataset) -> bool:
    """Whether a dataset's counts can be withheld: those of the broadcast datasets."""
    return dataset is not Dataset.DELIVERY


@cache
def documented_columns(dataset: Dataset) -> tuple[Column, ...]:
    """Return the normalised columns of a dataset, without those that Apple may add later."""
    return (
        *(Column(snake_case(name), kind) for name, kind in APPLE_COLUMNS[dataset]),
        *((Column("withheld", "boolean"),) if has_withheld(dataset) else ()),
    )


def header_dataset(header: Sequence[str], expected: Dataset | None, what: str, body: bytes) -> Dataset:
    """
    Tell which dataset a CSV header belongs to.

    :param header: the column names as Apple wrote them, in any order; further ones may be there.
    :param expected: the dataset that it must be, or ``None`` for any.
    :param what: what was downloaded, for errors.
    :param body: its beginning, for errors.
    :raises ApnsReportError: naming the documented columns that are missing, or those that come twice.
    """
    if len(header) > _MAX_COLUMNS:
        raise ApnsReportError(f"The {what} is not Apple's CSV: it has {len(header)} columns.")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise ApnsReportError(f"The {what} has columns that come twice: {', '.join(repeated)[:200]}.")
    candidates = (expected,) if expected else tuple(Dataset)
    missing = {dataset: _missing_columns(header, dataset) for dataset in candidates}
    best = min(missing, key=lambda dataset: len(missing[dataset]))
    if missing[best]:
        raise ApnsReportError(
            f"The {what} is not the CSV of the {best.short_name} dataset: it lacks the column"
            f"{'s' if len(missing[best]) > 1 else ''} {', '.join(missing[best])}, and begins with {_begins(body)!r}."
        )
    return best


def _missing_columns(header: Sequence[str], dataset: Dataset) -> list[str]:
    return [name for name, _ in APPLE_COLUMNS[dataset] if name not in header]


class _Lines:
    """Splits bytes into whole text lines, with bounded memory for one line."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._rest = b""
        self._at_start = True

    def feed(self, piece: bytes) -> list[str]:
        whole, newline, self._rest = (self._rest + piece).rpartition(b"\n")
        if len(self._rest) > _MAX_LINE:
            raise ApnsReportError(f"The {self._what} is no CSV: it has a line of more than {_MAX_LINE:,} bytes.")
        return self._decode(whole + newline) if newline else []

    def finish(self) -> list[str]:
        rest, self._rest = self._rest, b""
        return self._decode(rest) if rest else []

    def _decode(self, data: bytes) -> list[str]:
        encoding, self._at_start = ("utf-8-sig" if self._at_start else "utf-8"), False
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError as error:
            raise ApnsReportError(f"The {self._what} is no UTF-8 text.") from error
        return text.removesuffix("\n").split("\n")


def _parse_line(line: str, what: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error as error:
        raise ApnsReportError(f"The {what} has a line that is no CSV: {line.strip()[:80]!r}.") from error


class CsvCheck:
    """
    Checks a CSV that is passed on byte for byte: that it is text, its header, and that its last line is whole.

    The lines between are not looked at; that none of them is missing, the answer's framing tells.

    :param expected: the dataset that it must be, or ``None`` for any.
    :param what: what is downloaded, for errors.
    """

    def __init__(self, expected: Dataset | None, what: str) -> None:
        self._expected = expected
        self._what = what
        self._head: bytes | None = b""
        self._text = codecs.getincrementaldecoder("utf-8")()
        self._columns = 0
        self._last = b""

    def feed(self, piece: bytes) -> None:
        """
        Look at the next bytes.

        :raises ApnsReportError: if they cannot be part of the expected CSV.
        """
        self._check_text(piece)
        if self._head is not None:
            self._head += piece
            if b"\n" in self._head:
                self._check_header()
            elif len(self._head) > _MAX_LINE:
                raise ApnsReportError(f"The {self._what} is no CSV: it begins with {_begins(self._head)!r}.")
        end = piece.rfind(b"\n") + 1
        self._last = piece[end:] if end else (self._last + piece)[-_MAX_LINE:]

    def finish(self) -> None:
        """
        Check the end.

        :raises ApnsReportError: if there was no header, or the last line has too few columns.
        """
        self._check_text(b"", final=True)
        if self._head is not None:
            self._check_header()
            return
        if self._last.strip():
            fields = _parse_line(self._last.decode("utf-8", "replace"), self._what)
            if len(fields) != self._columns:
                raise ApnsReportError(
                    f"The {self._what} was cut short: its last line has {len(fields)} of {self._columns} columns."
                )

    def _check_text(self, piece: bytes, *, final: bool = False) -> None:
        if piece.isascii() and not self._text.getstate()[0]:  # much quicker than to decode it, and nearly always so
            return
        try:
            self._text.decode(piece, final)
        except UnicodeDecodeError as error:
            raise ApnsReportError(f"The {self._what} is no UTF-8 text.") from error

    def _check_header(self) -> None:
        head, self._head = self._head or b"", None
        line = head.decode("utf-8-sig", "replace").partition("\n")[0].rstrip("\r")
        header = _parse_line(line, self._what)
        header_dataset(header, self._expected, self._what, head)
        self._columns = len(header)


def _begins(body: bytes) -> str:
    return shorten(without_secrets(body[:4096].decode("utf-8", "replace")), 80)


@dataclass(frozen=True)
class _Header:
    """
    What the header of a report says.

    :param documented: where the documented columns are, in Apple's order, and the type of their values.
    :param withheld: whether its counts can be withheld.
    :param added: where those are that Apple added later.
    :param width: how many columns there are.
    :param columns: what the values of a row are.
    """

    documented: tuple[tuple[int, Kind], ...]
    withheld: bool
    added: tuple[int, ...]
    width: int
    columns: tuple[Column, ...]

    @classmethod
    @lru_cache(maxsize=8)  # Thousands of reports have the same one.
    def of(cls, names: tuple[str, ...], dataset: Dataset) -> _Header:
        """Read a header that has all documented columns."""
        documented = APPLE_COLUMNS[dataset]
        known = {name for name, _ in documented}
        added = tuple(index for index, name in enumerate(names) if name not in known)
        return cls(
            tuple((names.index(name), kind) for name, kind in documented),
            has_withheld(dataset),
            added,
            len(names),
            (*documented_columns(dataset), *_added_columns([names[index] for index in added], dataset)),
        )


def _added_columns(names: Iterable[str], dataset: Dataset) -> Iterator[Column]:
    """Normalise the names of added columns, numbering those that would be taken twice."""
    taken = {column.name for column in documented_columns(dataset)}
    for base in map(snake_case, names):
        name = next(name for n in count(1) if (name := base if n == 1 else f"{base}_{n}") not in taken)
        taken.add(name)
        yield Column(name, "string")


class ReportReader:
    """
    Reads Apple's CSV piece by piece into typed rows.

    Its ``columns`` are the documented ones in Apple's order, ``withheld`` for the broadcast datasets, then those that
    Apple added later, as text.

    :param dataset: what the CSV must be.
    :param what: what is read, for errors.
    """

    def __init__(self, dataset: Dataset, what: str) -> None:
        self._dataset = dataset
        self._what = what
        self._lines = _Lines(what)
        self._line_number = 0
        self._header: _Header | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the rows' values are; empty until the header is known."""
        return self._header.columns if self._header else ()

    def feed(self, piece: bytes) -> list[Row]:
        """
        Return the rows that are whole with these bytes.

        :raises ApnsReportError: naming the line and column that cannot be read.
        """
        return self._read(self._lines.feed(piece))

    def finish(self) -> list[Row]:
        """
        Return the rows of the last line.

        :raises ApnsReportError: if it cannot be read, or if there was no header at all.
        """
        rows = self._read(self._lines.finish())
        if self._header is None:
            raise ApnsReportError(f"The {self._what} is empty, it has not even a header.")
        return rows

    def _read(self, lines: list[str]) -> list[Row]:
        rows = []
        for fields in self._parse(lines):
            if self._header is None:
                self._header = self._read_header(fields)
            else:
                rows.append(self._read_row(fields, self._header))
        return rows

    def _parse(self, lines: list[str]) -> Iterator[list[str]]:
        reader = csv.reader(lines, strict=True)
        for lines_read in count(1):
            try:
                fields = next(reader, None)
            except csv.Error as error:
                raise ApnsReportError(f"The {self._what} is no CSV near line {self._line_number + 1}.") from error
            if fields is None:
                return
            self._line_number += 1
            if reader.line_num != lines_read:  # a quoted line break, which the end of a piece may cut
                raise ApnsReportError(
                    f"The {self._what} is no CSV near line {self._line_number}: a value has two lines."
                )
            if fields:
                yield fields

    def _read_header(self, header: list[str]) -> _Header:
        names = tuple(name.strip() for name in header)
        header_dataset(names, self._dataset, self._what, ",".join(names).encode())
        return _Header.of(names, self._dataset)

    def _read_row(self, fields: list[str], header: _Header) -> Row:
        if len(fields) != header.width:
            raise ApnsReportError(
                f"Line {self._line_number} of the {self._what} has {len(fields)} columns instead of {header.width}."
            )
        texts = [(fields[index].strip(), kind) for index, kind in header.documented]
        values = [self._read_count(text) if kind == "count" else self._read_other(text, kind) for text, kind in texts]
        if header.withheld:
            values.append((WITHHELD, "count") in texts)
        if header.added:
            values += [fields[index] for index in header.added]
        return tuple(values)

    def _read_count(self, text: str) -> Value:
        if text in (WITHHELD, ""):
            return None
        is_number = text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS
        if not is_number or (value := int(text)) > _MAX_COUNT:
            raise ApnsReportError(f"Line {self._line_number} of the {self._what} has {text[:40]!r} for a count.")
        return value

    def _read_other(self, text: str, kind: Kind) -> Value:
        if kind == "string":
            return text
        try:
            return read_date(text, "Date (UTC)")
        except ApnsInvalidRequestError as error:
            raise ApnsReportError(f"Line {self._line_number} of the {self._what}: {error}") from error


def check_output_format(output_format: str) -> str:
    """
    Check that an output format exists and that what it needs is installed.

    :param output_format: ``csv``, ``jsonl`` or ``parquet``.
    :return: the format.
    :raises ApnsInvalidRequestError: for another format, or naming the extra to install if pyarrow is missing.
    """
    if output_format not in OUTPUT_FORMATS:
        raise ApnsInvalidRequestError(f"output_format must be one of {OUTPUT_FORMATS}, not {output_format!r}.")
    if output_format == "parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise ApnsInvalidRequestError(
                "output_format 'parquet' needs pyarrow: pip install 'airflow-provider-apns[parquet]'."
            ) from error
    return output_format


def write_report(rows: Iterable[Row], columns: Sequence[Column], handle: IO[bytes], output_format: str) -> int:
    """
    Write rows in one of the output formats, in bounded memory.

    :param rows: the rows, in the order to write them.
    :param columns: what their values are.
    :param handle: a binary file-like object to write to.
    :param output_format: ``csv`` (a header, LF line ends, an empty field for null), ``jsonl`` or ``parquet``
        (zstd; date32, int64, string, bool).
    :return: the number of rows.
    """
    writer = {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}[output_format]
    return writer(iter(rows), columns, handle)


def _write_csv(rows: Iterator[Row], columns: Sequence[Column], handle: IO[bytes]) -> int:
    # CRLF, so that it quotes values that hold either; `_CsvLines` writes LF.
    lines = _CsvLines()
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(column.name for column in columns)
    flags = [index for index, column in enumerate(columns) if column.kind == "boolean"]
    written = 0
    while batch := [list(row) for row in islice(rows, _CSV_BATCH)]:
        for row in batch:
            for index in flags:
                row[index] = _CSV_WORDS[row[index]]
        writer.writerows(batch)
        handle.write(lines.take())
        written += len(batch)
    if not written:
        handle.write(lines.take())
    return written


_CSV_WORDS: dict[Value, str | None] = {True: "true", False: "false", None: None}


class _CsvLines:
    """Collects the lines that ``csv.writer`` writes, and ends them with LF."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def write(self, line: str) -> None:
        self._lines.append(line.removesuffix("\r\n"))

    def take(self) -> bytes:
        """Return all lines since the last time, encoded."""
        lines, self._lines = self._lines, []
        return ("\n".join(lines) + "\n").encode()


def _write_jsonl(rows: Iterator[Row], columns: Sequence[Column], handle: IO[bytes]) -> int:
    names = [column.name for column in columns]
    written = 0
    for row in rows:
        record = dict(zip(names, row, strict=True))
        handle.write(json.dumps(record, default=str, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        written += 1
    return written


def _write_parquet(rows: Iterator[Row], columns: Sequence[Column], handle: IO[bytes]) -> int:
    import pyarrow.parquet

    schema = _arrow_schema(columns)
    written = 0
    with pyarrow.parquet.ParquetWriter(handle, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _BATCH)):
            values = zip(*batch, strict=True)
            arrays = [pyarrow.array(column, field.type) for column, field in zip(values, schema, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
            written += len(batch)
    return written


def _arrow_schema(columns: Sequence[Column]) -> pyarrow.Schema:
    import pyarrow

    types: dict[Kind, Any] = {
        "date": pyarrow.date32(),
        "string": pyarrow.string(),
        "count": pyarrow.int64(),
        "boolean": pyarrow.bool_(),
    }
    return pyarrow.schema([(column.name, types[column.kind]) for column in columns])
