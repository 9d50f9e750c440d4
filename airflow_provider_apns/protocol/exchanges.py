"""The three steps of an export: request it, get its status, download its report."""

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

    It is safe to repeat this: the same request within 24 hours returns the same status URL.
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
            f"Apple does not know channel {request.channel_id} of app {app_id} (404). Check the channel identifier: "
            "the channel must belong to this app, and to production, because sandbox channels have no metrics."
        )
    if not answer.is_success:
        raise failure(answer, account, what, app_id=app_id, dataset=request.dataset.value)
    payload = _read_object(answer, account, what)
    status_url = payload.get("statusUrl")
    if not isinstance(status_url, str) or not status_url:
        raise ApnsServiceError(f"Apple's answer to the request for the {what} has no statusUrl.")
    return Export(account.check_status_url(status_url), requested_at=read_timestamp(payload.get("requestedAt")))


def get_export(account: Account, status_url: str) -> Exchange[Export]:
    """Ask for an export's status, if the token may be sent to its URL."""
    what = f"export {account.check_status_url(status_url)}"
    answer = yield HttpRequest(what, "GET", status_url, {TOKEN_HEADER: account.token, **_HEADERS})
    if answer.status == HTTPStatus.NOT_FOUND:
        raise ApnsTokenError(
            f"Apple answered 404 to the status URL {status_url}: it does not know this export, or the export was "
            f"requested with a token other than that of connection '{account.conn_id}'. {RENEWAL_HINT}"
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
    Download a report, and return its body, decompressed and complete.

    Each status has a fresh download URL, so the status comes first: Apple does not document what an expired URL
    answers. The download carries no token, because the signed URL belongs to another service.

    :raises ApnsUntrustedUrlError: if the URL, or one that it redirects to, is not https (or http on loopback).
    :raises ApnsServiceError: if the download failed; a fresh URL may fix it.
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
        f"The download of the {request.what} failed: {request.server} answered {answer.status}. "
        "The download URL may have expired."
    )


def _redirect_target(url: Secret, location: Secret) -> Secret:
    if re.match(r"https?://", location, re.IGNORECASE):
        return location  # urljoin would change its bytes.
    try:
        return Secret(urljoin(url, location))
    except ValueError:  # Brackets without an address in them. An empty URL is refused later.
        return Secret()


def _read_status(value: object) -> str:
    status = value.upper() if isinstance(value, str) else ""
    return status if status in _STATUSES else shorten(status, 40)


def _read_download(details: object, status_url: str) -> tuple[Secret, datetime | None]:
    """Read ``downloadDetails``. Apple spells the URL's key ``dataUrl`` in its example and ``dataURL`` in its table."""
    details = details if isinstance(details, dict) else {}
    url = details.get("dataUrl") or details.get("dataURL")
    if not isinstance(url, str) or not url:
        raise ApnsServiceError(f"Apple reports SUCCESS for the export {status_url}, but gives no download URL.")
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
    """Mask what may be a signed URL, because tracebacks may show local variables."""
    return {key: Secret(value) if isinstance(value, str) and "?" in value else value for key, value in payload.items()}


_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:?00)", re.ASCII)


def read_timestamp(value: object) -> datetime | None:
    """
    Read one of Apple's timestamps: with a space or a ``T``, and with no, three, six or nine decimals.

    Return ``None`` for anything else, since nothing depends on these times.
    """
    match = _TIMESTAMP.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    try:
        return datetime.fromisoformat(f"{match[1]}T{match[2]}.{(match[3] or '0')[:6]:0<6}+00:00")
    except ValueError:
        return None
