"""Keeping a register of channels in the store, even when several tasks write it at once."""

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
"""Seconds in which a task that read the register before a write has written its own version."""

TRIES = 5


def load(path: ObjectStoragePath) -> dict[str, Seen] | None:
    """
    Read a register.

    :return: its content, or ``None`` if there is no object.
    :raises ApnsStorageError: if it cannot be read, or is not a register.
    """
    try:
        data = fetch(path)
    except PermissionError as error:
        raise ApnsStorageError(
            f"The register {path} cannot be read ({error}): give its store's connection the right to read it. (Without "
            "the right to list, some stores say the same if there is no register yet.)"
        ) from error
    return None if data is None else read_register(data, str(path))


def keep(path: ObjectStoragePath, seen: Register) -> None:
    """
    Add a listing to the register, and make sure that it stays there.

    If two tasks read, merge and write at once, what one of them saw is lost. Conditional writes do not help: a local
    disk has none, and S3, Google and Azure each have their own kind. So each task waits until a task that read the old
    register must have written it. Then it looks again, and adds what is missing.

    :param path: the register.
    :param seen: the listing.
    :raises ApnsWriteError: if other tasks keep overwriting it.
    """
    for _ in range(TRIES):
        stored = load(path)
        if includes(stored, seen):
            return
        data = write_register(merged(stored or {}, seen), str(path))
        publish(path, data, CONTENT_TYPES[read_format(str(path), None)])
        time.sleep(SETTLING)
    if not includes(load(path), seen):
        raise ApnsWriteError(f"Other tasks keep overwriting the register {path}: let fewer tasks write it at once.")


def tell(path: ObjectStoragePath, before: Register, seen: Register) -> None:
    """Log how many channels are new and how many are gone since the previous listing."""
    new, gone = len(seen.keys() - before.keys()), len(latest(before) - seen.keys())
    log.info("The app has %s channels: %s are new, %s are gone. The register is %s", f"{len(seen):,}", new, gone, path)
