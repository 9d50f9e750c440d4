"""One family of errors: what happened, to which export, what to do next, and whether a retry can fix it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ApnsError(Exception):
    """
    Base of all errors that this provider raises.

    The text of an error never holds a token or a signed download URL.
    """

    retryable: bool = False
    """Whether the same call can succeed later without anybody changing anything."""

    def to_event(self) -> dict[str, str]:
        """Return the error as a trigger event's payload; :meth:`from_event` reads it."""
        return {"error": type(self).__name__, "message": str(self)}

    @staticmethod
    def from_event(event: dict[str, str]) -> ApnsError:
        """
        Rebuild the error that a trigger reported.

        :param event: what :meth:`to_event` returned, after its way through Airflow's database.
        :return: an error of the same class and text. A class unknown to this version of the provider, as
            in the middle of an upgrade, becomes an :class:`ApnsServiceError`, which Airflow may retry.
        """
        return _FAMILY.get(event["error"], ApnsServiceError)(event["message"])


class ApnsConnectionError(ApnsError):
    """The Airflow connection lacks a field, or holds one that cannot be used."""


class ApnsConfigurationError(ApnsError):
    """The environment that the task runs in cannot work: a proxy setting, a certificate bundle, a missing extra."""


class ApnsInvalidRequestError(ApnsError):
    """The arguments break one of Apple's rules; nothing was sent."""


class ApnsRefusedError(ApnsError):
    """Apple answered that the request is badly formed (400) or not allowed."""


class ApnsTokenError(ApnsError):
    """Apple does not accept the data export token or the authentication key, or the token has expired."""


class ApnsNotFoundError(ApnsError):
    """Apple knows no such channel or export (404)."""


class ApnsUntrustedUrlError(ApnsError):
    """A URL that the token must not be sent to, or that data must not be read from."""


class ApnsExportFailedError(ApnsError):
    """Apple could not build the export, or keeps it no longer (``FAILED`` or ``EXPIRED``)."""


class ApnsReportTooLargeError(ApnsError):
    """The report is larger than the limit that guards against a decompression bomb."""


class ApnsStorageError(ApnsError):
    """The destination exists already and must not be overwritten, or cannot be used."""


class ApnsServiceError(ApnsError):
    """
    A failure that time can fix: no connection, 408, 429, 5xx, or an answer that is not the documented one.

    :param message: what happened.
    :param retry_after: seconds that the service asked to wait, if it did.
    :param slow_down: whether the service is there but wants fewer requests (429 or 503).
    """

    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None, slow_down: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.slow_down = slow_down


class ApnsNetworkError(ApnsServiceError):
    """No answer came: a name that does not resolve, a refused connection, a certificate, a proxy, silence."""


class ApnsChannelsError(ApnsError):
    """
    Some channels could not be exported, each for a reason that the error names.

    :param message: which channels, and why.
    :param retryable: whether a retry can fix all of these reasons.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class ApnsReportError(ApnsServiceError):
    """The downloaded body is not the whole CSV of the expected dataset."""


class ApnsWriteError(ApnsServiceError):
    """The object store or file system did not take an object; nothing of it shows."""


_FAMILY: dict[str, type[ApnsError]] = {
    cls.__name__: cls
    for cls in (
        ApnsConnectionError,
        ApnsConfigurationError,
        ApnsInvalidRequestError,
        ApnsRefusedError,
        ApnsTokenError,
        ApnsNotFoundError,
        ApnsUntrustedUrlError,
        ApnsExportFailedError,
        ApnsReportTooLargeError,
        ApnsStorageError,
        ApnsServiceError,
        ApnsNetworkError,
        ApnsChannelsError,
        ApnsReportError,
        ApnsWriteError,
    )
}


@contextmanager
def failing_at_once() -> Iterator[None]:
    """
    Turn errors that no retry can fix into ``AirflowFailException``, so that Airflow does not retry them.

    Works as a ``with`` block and as a decorator of an operator's method.
    """
    try:
        yield
    except ApnsError as error:
        if error.retryable:
            raise
        from airflow.providers.common.compat.sdk import AirflowFailException

        raise AirflowFailException(str(error)) from error
