"""One family of errors. Each says what happened, to which export, what to do next, and whether a retry can fix it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ApnsError(Exception):
    """
    Base class of all errors that this provider raises.

    The text of an error never contains a token or a signed download URL.
    """

    retryable: bool = False
    """Whether the same call can succeed later without any change."""

    def to_event(self) -> dict[str, str]:
        """Return the error as the payload of a trigger event, for :meth:`from_event` to read."""
        return {"error": type(self).__name__, "message": str(self)}

    @staticmethod
    def from_event(event: dict[str, str]) -> ApnsError:
        """
        Rebuild the error that a trigger reported, with the same class and text.

        During an upgrade, this version of the provider may not know the class. The error is then an
        :class:`ApnsServiceError`, which Airflow may retry.
        """
        return _FAMILY.get(event["error"], ApnsServiceError)(event["message"])


class ApnsConnectionError(ApnsError):
    """A field of the Airflow connection is missing, or its value cannot be used."""


class ApnsConfigurationError(ApnsError):
    """The task's environment does not work: a proxy setting, a certificate bundle, a missing extra."""


class ApnsInvalidRequestError(ApnsError):
    """The arguments break one of Apple's rules. Nothing was sent."""


class ApnsRefusedError(ApnsError):
    """Apple answered that the request is badly formed (400) or not allowed."""


class ApnsTokenError(ApnsError):
    """Apple does not accept the data export token or the authentication key, or the token has expired."""


class ApnsNotFoundError(ApnsError):
    """Apple does not know the channel or export (404)."""


class ApnsUntrustedUrlError(ApnsError):
    """The token must not be sent to this URL, or data must not be read from it."""


class ApnsExportFailedError(ApnsError):
    """Apple could not build the export (``FAILED``), or no longer has its data (``EXPIRED``)."""


class ApnsReportTooLargeError(ApnsError):
    """The report is larger than ``max_bytes``, the limit that guards against a decompression bomb."""


class ApnsStorageError(ApnsError):
    """The destination already exists and must not be overwritten, or it cannot be used."""


class ApnsServiceError(ApnsError):
    """
    A failure that time can fix: no connection, 408, 429, 5xx, or an answer that Apple does not document.

    :param message: what happened.
    :param retry_after: seconds that the service asked to wait, if it did.
    :param slow_down: whether the service is up but wants fewer requests (429 or 503).
    """

    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None, slow_down: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.slow_down = slow_down


class ApnsNetworkError(ApnsServiceError):
    """No answer came, because of DNS, a refused connection, a certificate, a proxy or a timeout."""


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
    """The downloaded body is not the complete CSV of the expected dataset."""


class ApnsWriteError(ApnsServiceError):
    """The object store or file system did not accept an object. No part of it is visible."""


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

    Use it in a ``with`` statement, or as a decorator of an operator's method.
    """
    try:
        yield
    except ApnsError as error:
        if error.retryable:
            raise
        from airflow.providers.common.compat.sdk import AirflowFailException

        raise AirflowFailException(str(error)) from error
