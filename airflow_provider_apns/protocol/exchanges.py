"""The three steps of an export: ask for it, ask for its status, download its report."""

from __future__ import annotations

import json
import re
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

from airflow_provider_apns import __version__
from airflow_provider_apns.exceptions import (
    ApnsNotFoundError,
    ApnsServiceError,
    ApnsTokenError,
    ApnsUntrustedUrlError,
)
from airflow_provider_apns.protocol.bodies import read_answer, read_body
from airflow_provider_apns.protocol.exports import Export, ExportRequest, ExportStatus
from airflow_provider_apns.protocol.failures import busy, failure, is_transient, quoted_reason
from airflow_provider_apns.protocol.messages import Exchange, HttpAnswer, HttpRequest
from airflow_provider_apns.protocol.texts import shorten
from airflow_provider_apns.protocol.tokens import RENEWAL_HINT, Secret
from airflow_provider_apns.protocol.trust import Origin

if TYPE_CHECKING:
    from airflow_provider_apns.protocol.account import Account

TOKEN_HEADER = "X-Apple-CloudKit-Management-Token"  # noqa: S105 - the header's name, not a token

MAX_REDIRECTS = 5

_HEADERS = {"Accept-Encoding": "gzip", "User-Agent": f"airflow-provider-apns/{__version__}"}
_STATUSES = frozenset(status.value for status in ExportStatus)
_REDIRECTS = (301, 302, 303, 307, 308)


def request_export(account: Account, request: ExportRequest, app_id: str) -> Exchange[Export]:
    """
    Ask Apple to build a report.

    It is safe to repeat: the same request within 24 hours answers with the same status URL.

    :raises ApnsError: of the class that fits; see :func:`~airflow_provider_apns.protocol.failures.failure`.
    """
    what = str(request)
    parts = (account.team_id, "appId", app_id, "datasetName", request.dataset.value)
    path = "/".join(quote(part, safe="") for part in parts)
    answer = yield HttpRequest(
        what=what,
        method="POST",
        url=f"{account.api_url}/v1/dataExports/apns/teams/{path}/request",
        headers={TOKEN_HEADER: account.token, "Content-Type": "application/json", **_HEADERS},
        body=request.body(),
    )
    if answer.status == HTTPStatus.NOT_FOUND and request.channel_id:
        raise ApnsNotFoundError(
            f"Apple knows no channel {request.channel_id} of app {app_id} (404). Check the channel identifier, "
            "and that it belongs to this app and to this environment (development or production)."
        )
    if not answer.is_success:
        raise failure(answer, account, what, app_id=app_id, dataset=request.dataset.value)
    payload = _read_object(answer, account, what)
    status_url = payload.get("statusUrl")
    if not isinstance(status_url, str) or not status_url:
        raise ApnsServiceError(f"Apple's answer to the request for the {what} has no statusUrl.")
    return Export(account.check_status_url(status_url), requested_at=read_timestamp(payload.get("requestedAt")))


def get_export(account: Account, status_url: str) -> Exchange[Export]:
    """
    Ask for an export's status.

    :raises ApnsUntrustedUrlError: if the token must not be sent to that URL, wherever it came from.
    :raises ApnsError: of the class that fits; see :func:`~airflow_provider_apns.protocol.failures.failure`.
    """
    what = f"export {account.check_status_url(status_url)}"
    answer = yield HttpRequest(what, "GET", status_url, {TOKEN_HEADER: account.token, **_HEADERS})
    if answer.status == HTTPStatus.NOT_FOUND:
        raise ApnsTokenError(
            f"Apple answers 404 to the status URL {status_url}: it does not know this export, or the token of "
            f"connection '{account.conn_id}' is not the one it was requested with. {RENEWAL_HINT}"
        )
    if not answer.is_success:
        raise failure(answer, account, what)
    payload = _read_object(answer, account, what)
    status = _read_status(payload.get("status"))
    if not status:
        raise ApnsServiceError(f"Apple's answer about the {what} has no status.")
    requested_at = read_timestamp(payload.get("requestedAt"))
    if status != ExportStatus.SUCCESS:
        return Export(status_url, status, requested_at)
    return Export(status_url, status, requested_at, *_read_download(payload.get("downloadDetails"), status_url))


def download_export(account: Account, status_url: str, max_bytes: int) -> Exchange[bytes]:
    """
    Download a report.

    It begins with a look at the status, since each look gives a fresh download URL: the cure of an expired one, whose
    answer Apple does not document. The download carries no token, since the signed URL is another service's.

    :param account: the account.
    :param status_url: the export.
    :param max_bytes: the largest decompressed report.
    :return: the body, decompressed and whole.
    :raises ApnsUntrustedUrlError: if the URL, or one that it redirects to, is not https (or http on loopback).
    :raises ApnsServiceError: if the report could not be downloaded, which a fresh URL may fix.
    """
    export = yield from get_export(account, status_url)
    url, what = export.check_ready(), f"report of export {status_url}"
    for _ in range(MAX_REDIRECTS + 1):
        request = HttpRequest(what, "GET", _check_data_url(url, what), dict(_HEADERS), max_bytes=max_bytes)
        answer = yield request
        if answer.status == HTTPStatus.OK:
            return read_body(answer, max_bytes, what)
        location = Secret(answer.header("location") or "")
        if answer.status not in _REDIRECTS or not location:
            raise _download_failure(answer, request)
        url = _redirect_target(url, location)
    raise ApnsServiceError(f"The download of the {what} was redirected more than {MAX_REDIRECTS} times.")


def _check_data_url(url: Secret, what: str) -> Secret:
    try:
        origin = Origin.of(url)
    except ValueError as error:
        raise ApnsServiceError(f"Nothing was sent to the download URL of the {what}: {error}.") from None
    if not origin.is_private_enough:
        raise ApnsUntrustedUrlError(f"The download URL of the {what} is not https ({origin}); nothing was sent.")
    return url


def _download_failure(answer: HttpAnswer, request: HttpRequest) -> ApnsServiceError:
    if is_transient(answer.status):
        return busy(answer, request.what)
    return ApnsServiceError(
        f"The download of the {request.what} was answered with {answer.status} by {request.server}, "
        "as happens when its URL has expired."
    )


def _redirect_target(url: Secret, location: Secret) -> Secret:
    if re.match(r"https?://", location, re.IGNORECASE):
        return location  # urljoin would change its bytes
    try:
        return Secret(urljoin(url, location))
    except ValueError:  # Brackets that hold no address: no URL at all, which is refused as such.
        return Secret()


def _read_status(value: object) -> str:
    status = value.upper() if isinstance(value, str) else ""
    return status if status in _STATUSES else shorten(status, 40)


def _read_download(details: object, status_url: str) -> tuple[Secret, datetime | None]:
    """Read ``downloadDetails``, whose URL Apple spells ``dataUrl`` in its example and ``dataURL`` in its table."""
    details = details if isinstance(details, dict) else {}
    url = details.get("dataUrl") or details.get("dataURL")
    if not isinstance(url, str) or not url:
        raise ApnsServiceError(f"Apple calls the export {status_url} a SUCCESS but gives no download URL.")
    return Secret(url), read_timestamp(details.get("expiresAt"))


def _read_object(answer: HttpAnswer, account: Account, what: str) -> dict[str, Any]:
    try:
        payload = json.loads(read_answer(answer), object_hook=_with_secrets)
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        reason = quoted_reason(answer, hide=account.token)
        raise ApnsServiceError(f"The answer about the {what} is not the JSON that Apple documents{reason}.")
    return payload


def _with_secrets(payload: dict[str, Any]) -> dict[str, Any]:
    """Mask what may be a signed URL, for tracebacks that show local variables."""
    return {key: Secret(value) if isinstance(value, str) and "?" in value else value for key, value in payload.items()}


_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:?00)", re.ASCII)


def read_timestamp(value: object) -> datetime | None:
    """
    Read a timestamp of Apple's: with a space or a ``T`` in the middle, with no, three, six or nine decimals.

    :return: the time in UTC, or ``None`` for anything else; nothing depends on these times.
    """
    match = _TIMESTAMP.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    try:
        return datetime.fromisoformat(f"{match[1]}T{match[2]}.{(match[3] or '0')[:6]:0<6}+00:00")
    except ValueError:
        return None
