"""Which failures concern one channel, and which the whole task."""

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
"""After so many failures without a success between them, the service itself has failed."""


class Failures:
    """Collects the failures of single channels, and raises those that concern the whole task."""

    def __init__(self) -> None:
        self.channels: dict[str, Failure] = {}
        self._in_a_row = 0

    def add(self, channel_id: str | None, error: ApnsError) -> None:
        """
        Record a failure.

        :raises ApnsError: the error itself, if it concerns the whole task, or if there have been only failures for a
            while.
        """
        self._in_a_row += 1
        if channel_id is None or isinstance(error, _WHOLE_TASK):
            raise error
        if error.retryable and self._in_a_row >= _FAILURES_IN_A_ROW:
            raise error
        self.channels[channel_id] = Failure(str(error), error.retryable)

    def succeeded(self) -> None:
        """Record a success."""
        self._in_a_row = 0


def check_failures(
    missing: tuple[str, ...], failed: Mapping[str, Failure], requested: int, on_channel_error: str
) -> None:
    """
    Fail the task if it must not skip the channels that could not be exported.

    :param missing: the channels that Apple does not know.
    :param failed: the other channels that failed.
    :param requested: how many channels the task requested.
    :param on_channel_error: ``fail`` or ``skip``.
    :raises ApnsChannelsError: naming the channels, on ``fail`` or if no channel is left.
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
    """Return a line for each of the first hundred channels that could not be exported."""
    lines = [f"{channel_id}: Apple does not know it (404)." for channel_id in missing]
    lines += [f"{channel_id}: {failure.reason}" for channel_id, failure in failed.items()]
    more = len(lines) - CHANNELS_NAMED
    return "\n".join([*lines[:CHANNELS_NAMED], *([f"and {more:,} more"] if more > 0 else [])])
