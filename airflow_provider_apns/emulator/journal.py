"""An append-only file of JSON lines, which keeps the emulator's state when its process ends."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Journal:
    """Appends entries to a file, and creates it if it is missing.

    Each entry is one unbuffered write. It survives a SIGKILL of the process, but not a power cut, which would need a
    wait for the disk. Ten thousand entries take a fraction of a second.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        _end_torn_line(self._file)

    def __call__(self, entry: dict[str, Any]) -> None:
        """Append an entry."""
        if self._file is not None:
            os.write(self._file, json.dumps(entry, separators=(",", ":")).encode() + b"\n")

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield the entries of this and all earlier processes, without lines that a kill has torn."""
        with self._path.open("rb") as lines:
            for line in lines:
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                yield entry

    def close(self) -> None:
        """Close the file. Later entries are lost."""
        if self._file is not None:
            os.close(self._file)
        self._file = None


def _end_torn_line(file: int) -> None:
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        os.write(file, b"\n")
