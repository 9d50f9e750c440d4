"""What goes wrong with one channel, and what concerns the whole task."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_apns.batches.batch import Failure
from airflow_provider_apns.exceptions import (
    ApnsChannelsError,
    ApnsConfigurationError,
    ApnsConnectionError,
    ApnsError,
    ApnsNetworkError,
    ApnsTokenError,
    ApnsUntrustedUrlError,
)

_WHOLE_TASK = (
    ApnsConfigurationError,
    ApnsConnectionError,
    ApnsNetworkError,
    ApnsTokenError,
    ApnsUntrustedUrlError,
)

CHANNELS_NAMED = 100

_FAILURES_IN_A_ROW = 20
"""Failures without a success between them, after which the service is what has failed."""


class Failures:
    """Collects the channels that fail; raises what concerns the whole task."""

    def __init__(self) -> None:
        self.channels: dict[str, Failure] = {}
        self._in_a_row = 0

    def add(self, channel_id: str | None, error: ApnsError) -> None:
        """
        Take a failure.

        :raises ApnsError: the error, if it concerns the whole task, or nothing but failures has come for a while.
        """
        self._in_a_row += 1
        if channel_id is None or isinstance(error, _WHOLE_TASK):
            raise error
        if error.retryable and self._in_a_row >= _FAILURES_IN_A_ROW:
            raise error
        self.channels[channel_id] = Failure(str(error), error.retryable)

    def succeeded(self) -> None:
        """Take a success."""
        self._in_a_row = 0


def check_failures(
    missing: tuple[str, ...], failed: Mapping[str, Failure], requested: int, on_channel_error: str
) -> None:
    """
    Decide about channels that could not be exported.

    :param missing: those that Apple does not know.
    :param failed: the others, and why.
    :param requested: how many there were.
    :param on_channel_error: ``fail`` or ``skip``.
    :raises ApnsChannelsError: naming them, on ``fail`` or if no channel is left.
    """
    count = len(missing) + len(failed)
    if count and (on_channel_error == "fail" or count == requested):
        raise ApnsChannelsError(
            f"{count} of {requested} channels could not be exported. Nothing was written.\n"
            f"{describe(missing, failed)}\n"
            "Fix what each reason says, or set on_channel_error='skip' to write all others.",
            retryable=not missing and all(failure.retryable for failure in failed.values()),
        )


def describe(missing: tuple[str, ...], failed: Mapping[str, Failure]) -> str:
    """Return a line for each channel that could not be exported: the first hundred."""
    lines = [f"{channel_id}: Apple does not know it (404)." for channel_id in missing]
    lines += [f"{channel_id}: {failure.reason}" for channel_id, failure in failed.items()]
    more = len(lines) - CHANNELS_NAMED
    return "\n".join([*lines[:CHANNELS_NAMED], *([f"and {more:,} more"] if more > 0 else [])])
