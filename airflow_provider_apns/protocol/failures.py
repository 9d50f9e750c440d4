"""What an unsuccessful answer means, and what caused a failure below HTTP."""

from __future__ import annotations

import json
import os
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from airflow_provider_apns.exceptions import (
    ApnsError,
    ApnsNetworkError,
    ApnsNotFoundError,
    ApnsRefusedError,
    ApnsServiceError,
    ApnsTokenError,
)
from airflow_provider_apns.protocol.bodies import read_answer
from airflow_provider_apns.protocol.retries import retry_after_of
from airflow_provider_apns.protocol.texts import shorten, without_secrets
from airflow_provider_apns.protocol.tokens import RENEWAL_HINT

if TYPE_CHECKING:
    from airflow_provider_apns.protocol.account import Account
    from airflow_provider_apns.protocol.messages import HttpAnswer, HttpRequest


_TOKENS_ARE_LIMITED = "A token is for one app and one dataset, and valid for six months at most."


def failure(
    answer: HttpAnswer, account: Account, what: str, *, app_id: str | None = None, dataset: str | None = None
) -> ApnsError:
    """
    Return the error for an unsuccessful answer; its ``retryable`` says whether time can fix it.

    ``app_id`` and ``dataset`` (Apple's path segment) are those that the request named, if it did.
    """
    reason = quoted_reason(answer, hide=account.token)
    if answer.status == HTTPStatus.BAD_REQUEST:
        return ApnsRefusedError(f"Apple refused the request for the {what} as badly formed (400){reason}.")
    if answer.status == HTTPStatus.UNAUTHORIZED:
        claims = account.claims
        explained = claims.scope_mismatch(app_id, dataset) or claims.flaw or f"{_TOKENS_ARE_LIMITED} {RENEWAL_HINT}"
        return ApnsTokenError(
            f"Apple does not accept the data export token of connection '{account.conn_id}' for the {what} (401)"
            f"{reason}. {explained}"
        )
    if answer.status == HTTPStatus.NOT_FOUND:
        return ApnsNotFoundError(
            f"Apple does not know what was requested: {what} (404){reason}. Check the Team ID and the App bundle ID "
            f"of connection '{account.conn_id}'."
        )
    if is_transient(answer.status):
        return busy(answer, what, reason)
    if 300 <= answer.status < 400:
        return ApnsServiceError(
            f"The server redirected the request for the {what} ({answer.status}). Apple's API does not redirect, so "
            "the token was not sent on."
        )
    return ApnsRefusedError(f"Apple answered {answer.status} to the request for the {what}{reason}.")


def is_transient(status: int) -> bool:
    """Whether a status means that the same request can succeed later."""
    return status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS) or status >= 500


def busy(answer: HttpAnswer, what: str, reason: str = "") -> ApnsServiceError:
    """Return the error for an answer that asks the client to come back later."""
    return ApnsServiceError(
        f"The server answered {answer.status} to the request for the {what}{reason}.",
        retry_after=retry_after_of(answer),
        slow_down=answer.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE),
    )


def network_failure(
    request: HttpRequest,
    error: BaseException,
    *,
    proxy: str | None = None,
    trusted: str = "",
    handled: BaseException | None = None,
) -> ApnsNetworkError:
    """
    Describe a failure below HTTP by its root cause, without the URL that a library's own text would quote.

    ``proxy`` is without its password. ``trusted`` says where the trusted certificates are. ``handled`` is an error that
    was being handled when the request began, and so is not the cause.
    """
    root = _root_cause(error, handled)
    cause = _shown(root)
    if trusted and hasattr(root, "verify_message"):
        cause += f" (the trusted certificates are those in {trusted})"
    if proxy and cause.startswith("answered "):
        return ApnsNetworkError(f"The proxy {proxy} {cause} to the request for the {request.what}.")
    through = f" through the proxy {proxy}" if proxy else ""
    return ApnsNetworkError(f"No answer from {request.server}{through} to the request for the {request.what}: {cause}.")


def broken_off(request: HttpRequest, error: BaseException) -> ApnsServiceError:
    """Describe a connection that broke in the middle of an answer."""
    cause = _shown(_root_cause(error, None))
    return ApnsServiceError(f"The connection broke in the middle of the {request.what}: {cause}.")


def _root_cause(error: BaseException, handled: BaseException | None) -> BaseException:
    root = error
    for _ in range(10):
        causes = (root.__cause__, root.__context__, *root.args)
        # A timeout's cause is a CancelledError, which is not an Exception, and says less than the timeout.
        root = next((cause for cause in causes if isinstance(cause, Exception) and cause is not handled), root)
    return root


def _shown(error: BaseException) -> str:
    return shorten(without_secrets(_words_of(error)))


_WORDS = {
    **dict.fromkeys(
        ("RemoteDisconnected", "ServerDisconnectedError", "RemoteProtocolError"),
        "the connection was closed without an answer",
    ),
    **dict.fromkeys(("IncompleteRead", "ClientPayloadError", "ContentLengthError"), "the answer ended early"),
    "TransferEncodingError": "the answer ended early",
}
"""The meaning of those errors of http.client and aiohttp that have no text of their own."""


def _words_of(error: BaseException) -> str:
    """Return the text of an error from ssl, the operating system, http.client, httpx or aiohttp."""
    if status := getattr(error, "status", None):
        return f"answered {status} {getattr(error, 'message', '')}"
    if codes := re.findall(r"\[Errno (\d+)\] Connect call failed", str(error)):  # asyncio's text for each address
        return ", ".join(dict.fromkeys(os.strerror(int(code)) for code in codes))
    if words := getattr(error, "verify_message", None) or getattr(error, "strerror", None):
        return str(words)
    if found := re.fullmatch(r"(?:Tunnel connection failed: )?(\d{3} .*)", str(error)):
        return f"answered {found[1]}"
    if goaway := [event for event in error.args if hasattr(event, "additional_data")]:
        reason = (goaway[0].additional_data or b"").decode("utf-8", "replace")
        return f"the server ended the connection (GOAWAY) {reason}".rstrip()
    name = type(error).__name__
    return "it took too long" if "Timeout" in name else _WORDS.get(name, name)


def quoted_reason(answer: HttpAnswer, hide: str) -> str:
    """
    Return a short, cleaned piece of an answer's body, to show to the user. Apple does not document these bodies.

    ``hide`` is the secret that was in the request. An answer may repeat it.
    """
    text = read_answer(answer)[:4096].decode("utf-8", "replace")
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError):
        payload = None
    if isinstance(payload, dict):
        text = next((payload[k] for k in ("reason", "message", "error") if isinstance(payload.get(k), str)), text)
    cleaned = shorten(without_secrets(re.sub(r"<[^>]*>", " ", text.replace(hide, "***"))))
    return f": {cleaned!r}" if cleaned else ""
