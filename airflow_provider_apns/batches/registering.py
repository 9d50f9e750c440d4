"""Keeping a register of channels in the store, beside others who may do so, too."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from airflow_provider_apns.exceptions import ApnsStorageError, ApnsWriteError
from airflow_provider_apns.reports.formats import CONTENT_TYPES, read_format
from airflow_provider_apns.reports.register import (
    Register,
    Seen,
    includes,
    latest,
    merged,
    read_register,
    write_register,
)
from airflow_provider_apns.storage import fetch, publish

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

log = logging.getLogger(__name__)

SETTLING = 2.0
"""Seconds after a write, in which another task that read the register before it has written its own."""

TRIES = 5


def load(path: ObjectStoragePath) -> dict[str, Seen] | None:
    """
    Read a register.

    :return: its content, or ``None`` where there is none.
    :raises ApnsStorageError: if it may not be read, or is no register.
    """
    try:
        data = fetch(path)
    except PermissionError as error:
        raise ApnsStorageError(
            f"The register {path} may not be read ({error}): give its store's connection the right to read it. (Some "
            "stores say so where there is no register yet, to those who may not list.)"
        ) from error
    return None if data is None else read_register(data, str(path))


def keep(path: ObjectStoragePath, seen: Register) -> None:
    """
    Add what was seen to the register, and see that it stays there.

    Two tasks that read, merge and write at once would lose what one of them saw, and not all stores that fsspec knows
    can write on a condition (a local disk cannot, and S3, Google and Azure each in a way of their own). So each task
    looks again, once whoever read the register before has written it, too; and adds what has got lost.

    :param path: the register.
    :param seen: what was seen.
    :raises ApnsWriteError: if others overwrite it again and again.
    """
    for _ in range(TRIES):
        stored = load(path)
        if includes(stored, seen):
            return
        data = write_register(merged(stored or {}, seen), str(path))
        publish(path, data, CONTENT_TYPES[read_format(str(path), None)])
        time.sleep(SETTLING)
    if not includes(load(path), seen):
        raise ApnsWriteError(f"Other tasks overwrite the register {path} again and again: let one DAG keep it.")


def tell(path: ObjectStoragePath, before: Register, seen: Register) -> None:
    """Log how many channels are new, and how many have gone since the listing before."""
    new, gone = len(seen.keys() - before.keys()), len(latest(before) - seen.keys())
    log.info("%s channels are there now: %s are new, %s have gone. All are in %s", f"{len(seen):,}", new, gone, path)
