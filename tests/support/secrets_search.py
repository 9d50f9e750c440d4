"""Look for secrets where they must not be: in every file under a folder, in whatever form it may hold them.

    assert find_secrets(airflow_home, {"token": token}, fernet_key=key) == []

A needle counts as found plain, URL-encoded, JSON-escaped, or within base64 of something longer; in a file, a compressed
file, a SQLite value, a compressed value, or a value encrypted with the deployment's own Fernet key.
"""

from __future__ import annotations

import base64
import json
import re
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_plus

from cryptography.fernet import Fernet, InvalidToken

# Deep enough for base64 of gzip of an encrypted value, and an end to a maliciously nested one.
MAX_DEPTH = 4
# Where a secret belongs: in its own connection, encrypted.
AT_HOME = {"connection.password", "connection.extra"}
FERNET = re.compile(rb"gAAAA[\w-]{60,}={0,2}")
BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]|\\/){40,}={0,2}|[\w-]{40,}={0,2}")


class Found(NamedTuple):
    """One needle in one place; never shows the needle itself."""

    needle: str
    form: str
    place: str


def forms(needle: str) -> dict[str, bytes]:
    """Return every way in which text may be written into a file, by name."""
    plain = needle.encode()
    result = {
        "plain": plain,
        "url-encoded": quote(needle, safe="").encode(),
        "url-encoded but for /": quote(needle).encode(),
        "form-encoded": quote_plus(needle).encode(),
        "json": json.dumps(needle)[1:-1].encode(),
        "json in json": json.dumps(json.dumps(needle)[1:-1])[1:-1].encode(),
        "json with \\/": json.dumps(needle)[1:-1].replace("/", "\\/").encode(),
        "json with \\u0026": json.dumps(needle)[1:-1].replace("&", "\\u0026").encode(),
        "html": needle.replace("&", "&amp;").encode(),
        "utf-16": needle.encode("utf-16-le"),
        "hex": plain.hex().encode(),
    }
    for offset in range(3):
        # What stands before the needle shifts its base64 by 0, 1 or 2 bytes. Its outermost characters also depend on
        # its neighbours, so only those wholly its own are looked for.
        bits = base64.b64encode(b"\0" * offset + plain)
        inner = bits[(offset * 8 + 5) // 6 : (offset + len(plain)) * 8 // 6]
        result[f"base64 at {offset}"] = inner
        result[f"urlsafe base64 at {offset}"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
    return {name: form for name, form in result.items() if name == "plain" or form != plain}


def find_secrets(root: Path, needles: Mapping[str, str], *, fernet_key: str | None = None) -> list[Found]:
    """Return every place under ``root`` that holds one of the needles (name -> value).

    :raises ValueError: a needle is so short that chance would find it
    """
    for name, needle in needles.items():
        if len(needle) < 12:
            raise ValueError(f"{name} is too short to be searched for")
    wanted = {(name, form): data for name, needle in needles.items() for form, data in forms(needle).items()}
    fernet = Fernet(fernet_key) if fernet_key else None
    found: dict[Found, None] = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink()):
        if not path.exists():  # the journal of a database, played back and gone since that was read
            continue
        where = str(path.relative_to(root))
        for place, data in [(where, where.encode()), *_values(path, where)]:  # a path can give a secret away, too
            for layer, inner in _layers(data, fernet):
                for (name, form), pattern in wanted.items():
                    if pattern in inner:
                        found[Found(name, form, place + layer)] = None
    return list(found)


def _values(path: Path, where: str) -> Iterator[tuple[str, bytes]]:
    """Yield a file's bytes; of a database every value, then its bytes, for what it has deleted but not overwritten."""
    data = path.read_bytes()
    if not data.startswith(b"SQLite format 3\0"):
        yield where, data
        return
    # Not read-only: a database that was not closed well may need its journal played back to be read.
    with closing(sqlite3.connect(path, timeout=30)) as database:
        database.text_factory = bytes
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            cursor = database.execute('SELECT * FROM "{}"'.format(table.decode().replace('"', '""')))
            columns = [f"{table.decode()}.{column[0]}" for column in cursor.description]
            for row in cursor:
                for column, value in zip(columns, row, strict=True):
                    if not isinstance(value, bytes):
                        continue
                    if column in AT_HOME:
                        data = data.replace(value, b"")
                    else:
                        yield f"{where}:{column}", value
    yield where, data


def _layers(data: bytes, fernet: Fernet | None, layer: str = "", depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield data, then what it holds packed or encrypted, as deep as it goes."""
    yield layer, data
    if depth == MAX_DEPTH:
        return
    inner = [("unpacked", _unpacked(data))]
    if fernet:
        for token in FERNET.findall(data):
            with suppress(InvalidToken):
                inner.append(("fernet", fernet.decrypt(token)))
    for text in BASE64.findall(data):
        # Plain text within base64 is found by the needle's own base64; only packed data must be taken out of it.
        with suppress(ValueError):
            # Padding that is too long does no harm, padding that was left out does.
            text = text.replace(b"\\/", b"/").translate(bytes.maketrans(b"+/", b"-_")) + b"==="
            inner.append(("base64 > unpacked", _unpacked(base64.urlsafe_b64decode(text))))
    for name, found in inner:
        if found:
            yield from _layers(found, fernet, f"{layer} > {name}", depth + 1)


def _unpacked(data: bytes) -> bytes:
    """Return what is in gzip or zlib data, if it is some; of a truncated stream what there is of it."""
    if data.startswith(b"\x1f\x8b") or (data[:1] == b"\x78" and int.from_bytes(data[:2], "big") % 31 == 0):
        with suppress(zlib.error):
            return zlib.decompressobj(wbits=47).decompress(data)  # 47: of either kind
    return b""
