"""
Apple's data export protocol without I/O: what to send, what an answer means, whom to trust, when to try again.

Everything here is a function or a frozen value over (status, headers, body); the two transports in
``hooks/apns.py`` only carry bytes. Sources: Apple's articles "Exporting broadcast push notification metrics" and
"Exporting delivery metrics logs" (developer.apple.com/documentation/pushkit).
"""

from __future__ import annotations

import ast
import json
import math
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from enum import Enum
from functools import cached_property, lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urljoin

import pendulum

from airflow_provider_apns import __version__
from airflow_provider_apns.exceptions import (
    ApnsConnectionError,
    ApnsError,
    ApnsExportFailedError,
    ApnsInvalidRequestError,
    ApnsNotFoundError,
    ApnsRefusedError,
    ApnsServiceError,
    ApnsTokenError,
    ApnsUntrustedUrlError,
)
from airflow_provider_apns.tokens import RENEWAL_HINT, Secret, TokenClaims

APPLE_API_URL = "https://api.icloud.apple.com"
APPLE_DOMAINS = (".apple.com", ".icloud.com")
TOKEN_HEADER = "X-Apple-CloudKit-Management-Token"  # noqa: S105 - the header's name, not a token

OLDEST_DAY = 30
"""Apple delivers a report from this many days ago until yesterday (UTC)."""

URL_EXPIRY_MINUTES = range(20, 61)

MAX_ANSWER_BYTES = 1 << 20
"""An answer of the API is a few hundred bytes; one larger than this is not read to its end."""

MAX_TRIES = 7
MAX_BACKOFF = 32.0
MAX_RETRY_AFTER = 300.0
"""
Seconds that are waited within one call at Apple's wish. Who waits for an export waits longer, too; all else is left to
Airflow's retries.
"""

POOL_SIZE = 100
"""The most connections that one event loop holds open, and so the most requests at once."""

FIRST_POLL_DELAY = 2.0
POLL_GROWTH = 1.5
POLL_MOMENTS = 64
"""A delay has at least so many moments at which a poll can be due, and less than twice as many."""


class Dataset(str, Enum):
    """A dataset that Apple exports. The value is Apple's path segment, its odd spelling included."""

    APPLICATION = "broadcastapplicationmetric"
    CHANNEL = "broadcastchannelmetrics"
    DELIVERY = "deliverymetrics"

    @classmethod
    def parse(cls, value: str) -> Dataset:
        """
        Read a dataset's name.

        :param value: ``application``, ``channel`` or ``delivery``, or Apple's path segment.
        :raises ApnsInvalidRequestError: for any other name.
        """
        for dataset in cls:
            if value in (dataset, dataset.value, dataset.short_name):
                return dataset
        known = ", ".join(f"'{dataset.short_name}'" for dataset in cls)
        raise ApnsInvalidRequestError(f"Unknown dataset {str(value)[:80]!r}. Apple exports {known}.")

    @property
    def short_name(self) -> str:
        """The name that users write: ``application``, ``channel`` or ``delivery``."""
        return self.name.lower()


def read_date(value: str | date, name: str) -> date:
    """
    Read a day as a DAG author gives it.

    :param value: a ``date``; a ``datetime`` (its day in UTC; a naive one is taken as UTC); or the text of
        either in ISO 8601, such as ``2026-11-23`` or a rendered ``{{ data_interval_start }}``.
    :param name: the argument's name, for the error.
    :raises ApnsInvalidRequestError: if it is no day.
    """
    if isinstance(value, str):
        value = _parse_date(value.strip(), name)
    if isinstance(value, datetime):
        return _utc_day(value, name)
    if isinstance(value, date):
        return value
    raise ApnsInvalidRequestError(f"{name} must be a date, not {type(value).__name__}.")


def _utc_day(moment: datetime, name: str) -> date:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    try:
        return aware.astimezone(timezone.utc).date()
    except OverflowError:
        raise ApnsInvalidRequestError(f"{name} must be a day of the calendar, not {moment}.") from None


@lru_cache(maxsize=64)  # A report has a row for each of the same few days, and there may be 10,000 reports.
def _parse_date(text: str, name: str) -> date:
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            return date.fromisoformat(text)
        if re.match(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}", text, re.ASCII):
            parsed: object = pendulum.parse(text)
            if isinstance(parsed, datetime):
                return parsed
    except (ValueError, OverflowError):
        pass
    raise ApnsInvalidRequestError(f"{name} must be a day such as 2026-11-23, not {text[:40]!r}.")


@dataclass(frozen=True)
class Window:
    """
    The days of a report, both ends included, in UTC.

    :param start: the first day.
    :param end: the last day.
    """

    start: date
    end: date

    @classmethod
    def parse(cls, start: str | date, end: str | date) -> Window:
        """Read a window without asking whether Apple can still deliver it."""
        return cls(read_date(start, "start_date"), read_date(end, "end_date"))

    @classmethod
    def read(cls, start: str | date, end: str | date, today: date) -> Window:
        """
        Read a window that Apple can still deliver; one single day is allowed here.

        :param start: the first day; see :func:`read_date`.
        :param end: the last day, included.
        :param today: the current day in UTC.
        :raises ApnsInvalidRequestError: if a day is not over yet, too long ago, or the end is before the start.
        """
        window = cls.parse(start, end)
        oldest, newest = today - timedelta(days=OLDEST_DAY), today - timedelta(days=1)
        if window.end < window.start:
            raise ApnsInvalidRequestError(
                f"end_date {window.end} is before start_date {window.start}: give the first day, then the last."
            )
        if window.end > newest:
            raise ApnsInvalidRequestError(
                f"end_date {window.end} is not over yet: Apple reports complete days in UTC, the newest is {newest}. "
                "In Airflow 3 a cron schedule has no data interval, so {{ ds }} is the day of the run; "
                "use CronDataIntervalTimetable or {{ macros.ds_add(ds, -1) }}."
            )
        if window.start < oldest:
            raise ApnsInvalidRequestError(
                f"start_date {window.start} is more than {OLDEST_DAY} days ago: Apple cannot deliver it any more. "
                f"The oldest day that can be asked for is {oldest}."
            )
        return window

    def for_apple(self, today: date) -> Window:
        """
        Widen a single day by a neighbouring day, since Apple's ``endDate`` must be later than its ``startDate``.

        :param today: the current day in UTC.
        :return: the window to ask for; it always contains this one.
        """
        if self.start < self.end:
            return self
        day_before = self.start - timedelta(days=1)
        if day_before >= today - timedelta(days=OLDEST_DAY):
            return Window(day_before, self.end)
        return Window(self.start, self.end + timedelta(days=1))

    def days(self) -> list[date]:
        """Return all days, in order."""
        return [self.start + timedelta(days=offset) for offset in range((self.end - self.start).days + 1)]

    def __contains__(self, day: date) -> bool:
        return self.start <= day <= self.end

    def __str__(self) -> str:
        return f"{self.start} to {self.end}"


def read_channel_ids(value: object) -> list[str]:
    """
    Read a list of channels as a DAG author gives it.

    :param value: a list; or a text, as a template renders to: a JSON or Python list, or names separated by commas
        or white space.
    :return: the channel ids, each once, in their order.
    :raises ApnsInvalidRequestError: if it is no list, is empty, or holds what is no channel id.
    """
    if isinstance(value, str):
        value = _split_list(value)
    if not isinstance(value, Iterable) or isinstance(value, (Mapping, bytes)):
        raise ApnsInvalidRequestError(f"channel_ids must be a list of channel ids, not {type(value).__name__}.")
    channel_ids = list(dict.fromkeys(check_channel_id(channel_id) for channel_id in value))
    if not channel_ids:
        raise ApnsInvalidRequestError("channel_ids is empty: the channel dataset is exported per channel.")
    return channel_ids


def _split_list(text: str) -> object:
    if not text.lstrip().startswith(("[", "(")):
        return [name for name in re.split(r"[\s,]+", text) if name]
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


# Not b64decode, which takes superfluous padding: two such names would be one channel.
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})")


def check_channel_id(channel_id: str) -> str:
    """
    Check that a channel identifier is base64 in the standard alphabet, as Apple gives it out.

    :return: the identifier.
    :raises ApnsInvalidRequestError: if it is not.
    """
    if not isinstance(channel_id, str) or not _BASE64.fullmatch(channel_id):
        raise ApnsInvalidRequestError(
            f"channel_id {str(channel_id)[:80]!r} is not base64 (standard alphabet, with padding), "
            "as Apple gives out channel identifiers."
        )
    return channel_id


@dataclass(frozen=True)
class ExportRequest:
    """
    One report to ask Apple for.

    :param dataset: what is counted.
    :param window: the days, at least two.
    :param channel_id: base64, for the channel dataset alone.
    :param url_expires_in_minutes: how long a download URL shall live, 20 to 60.
    """

    dataset: Dataset
    window: Window
    channel_id: str | None = None
    url_expires_in_minutes: int = 60

    def __post_init__(self) -> None:
        if self.window.end <= self.window.start:
            raise ApnsInvalidRequestError(
                f"end_date {self.window.end} must be later than start_date {self.window.start}: Apple exports no "
                "single day. Ask for two days, or use ApnsToObjectStorageOperator, which keeps the one day you mean."
            )
        if self.dataset is Dataset.CHANNEL:
            if not self.channel_id:
                raise ApnsInvalidRequestError("channel_id is missing: the channel dataset is exported per channel.")
            check_channel_id(self.channel_id)
        elif self.channel_id:
            raise ApnsInvalidRequestError(
                f"channel_id goes with the channel dataset only, not with '{self.dataset.short_name}'."
            )
        if not _is_int(self.url_expires_in_minutes) or self.url_expires_in_minutes not in URL_EXPIRY_MINUTES:
            raise ApnsInvalidRequestError(
                f"url_expires_in_minutes must be a whole number from 20 to 60, not {self.url_expires_in_minutes!r}."
            )

    def __str__(self) -> str:
        channel = f" of channel {self.channel_id}" if self.channel_id else ""
        return f"export of the {self.dataset.short_name} dataset{channel}, {self.window}"

    def body(self) -> bytes:
        """Return the JSON that Apple expects."""
        body: dict[str, Any] = {
            "startDate": self.window.start.isoformat(),
            "endDate": self.window.end.isoformat(),
            "dataDownloadUrlExpiresInMinutes": self.url_expires_in_minutes,
        }
        if self.channel_id:
            body["channelId"] = self.channel_id
        return json.dumps(body).encode()


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True)
class Origin:
    """Scheme, host and port of a URL, read so strictly that no two URL parsers can disagree about it."""

    scheme: str
    host: str
    port: int

    _LABEL = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
    _SERVER = re.compile(
        rf"(?P<scheme>https?)://(?P<host>{_LABEL}(?:\.{_LABEL})*|\[::1\])(?::(?P<port>[0-9]{{1,5}}))?",
        re.ASCII | re.IGNORECASE,
    )
    _PATH = re.compile(r"[\x21-\x5b\x5d-\x7e]*")

    @classmethod
    def of(cls, url: str) -> Origin | None:
        """
        Read a URL's origin.

        :return: ``None`` for anything but a plain absolute http or https URL: user names, backslashes, control
            characters, percent-encoded or non-ASCII host names, trailing dots and names too long for the DNS are all
            refused.
        """
        scheme, _, rest = url.partition("://")
        server, _, path = rest.partition("/")
        return cls._of_server(f"{scheme}://{server}") if len(url) < 8192 and cls._PATH.fullmatch(path) else None

    @classmethod
    @lru_cache(maxsize=128)  # It is asked at every poll, and always about the same few servers.
    def _of_server(cls, server: str) -> Origin | None:
        match = cls._SERVER.fullmatch(server)
        if match is None or len(match["host"]) > 253:
            return None
        scheme = match["scheme"].lower()
        port = int(match["port"]) if match["port"] else {"https": 443, "http": 80}[scheme]
        return cls(scheme, match["host"].lower(), port) if 0 < port < 65536 else None

    @cached_property
    def is_loopback(self) -> bool:
        """Whether the host is this machine, the only one that may be spoken to over plain http."""
        return self.host in ("localhost", "[::1]") or bool(
            re.fullmatch(r"127(\.(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}", self.host, re.ASCII)
        )

    @property
    def is_private_enough(self) -> bool:
        """Whether nobody can listen in: https, or this machine."""
        return self.scheme == "https" or self.is_loopback

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


@dataclass(frozen=True)
class Account:
    """
    What an Airflow connection of type ``apns`` says: one data export token, so one app and one dataset.

    :param conn_id: the connection's id, for errors.
    :param team_id: Apple Developer team identifier.
    :param token: the data export token.
    :param app_id: the app's bundle identifier, if the connection names it.
    :param api_url: base URL of the API.
    :param trusted_hosts: further hosts, each ``host`` or ``host:port``, that status URLs may have.
    :param claims: what the token says of itself.
    """

    conn_id: str
    team_id: str
    token: Secret
    app_id: str | None = None
    api_url: str = APPLE_API_URL
    trusted_hosts: frozenset[str] = frozenset()
    claims: TokenClaims = field(default_factory=TokenClaims)

    @classmethod
    def read(
        cls,
        conn_id: str,
        *,
        login: str | None,
        password: str | None,
        host: str | None = None,
        port: int | None = None,
        schema: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Account:
        """
        Read the fields of an Airflow connection.

        :param conn_id: the connection's id.
        :param login: the Team ID.
        :param password: the data export token.
        :param host: the API's base URL, or a host name; empty means Apple's.
        :param port: the API's port, where the host does not name it.
        :param schema: ``http`` or ``https`` where the host is a bare name; empty means https.
        :param extra: ``app_id`` and ``trusted_hosts`` (a list, or names separated by commas).
        :raises ApnsConnectionError: naming the field that is missing or wrong.
        """
        extra = extra or {}
        token = (password or "").strip()
        if not (login or "").strip():
            raise ApnsConnectionError(
                f"Connection '{conn_id}' has no Team ID: put your Apple Developer Team ID into its login field."
            )
        if not token:
            raise ApnsConnectionError(
                f"Connection '{conn_id}' has no data export token: put it into the field Data export token "
                f"(password). {RENEWAL_HINT}"
            )
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise ApnsConnectionError(
                f"The data export token of connection '{conn_id}' has spaces, line breaks or other characters "
                "that no token has: copy it again, in one piece."
            )
        return cls(
            conn_id=conn_id,
            team_id=(login or "").strip(),
            token=Secret(token),
            app_id=str(extra.get("app_id") or "").strip() or None,
            api_url=_read_api_url(conn_id, host, port, schema),
            trusted_hosts=_read_trusted_hosts(conn_id, extra.get("trusted_hosts")),
            claims=TokenClaims.read(token),
        )

    def resolve_app_id(self, app_id: str | None) -> str:
        """
        Return the bundle identifier to use.

        :param app_id: the one a task names; the connection's own is used without it.
        :raises ApnsConnectionError: if neither names one.
        """
        resolved = app_id or self.app_id
        if not resolved:
            raise ApnsConnectionError(
                f"Connection '{self.conn_id}' has no App bundle ID: put the app's bundle identifier into the "
                'extra field app_id, such as {"app_id": "com.example.app"}, or give the task an app_id.'
            )
        return resolved

    @cached_property
    def _api_origin(self) -> Origin | None:
        return Origin.of(self.api_url)

    def trusts(self, origin: Origin) -> bool:
        """Whether the token may be sent to this origin."""
        if not origin.is_private_enough:
            return False
        return (
            origin == self._api_origin
            or (origin.host.endswith(APPLE_DOMAINS) and origin.port == 443)
            or origin.host in self.trusted_hosts
            or f"{origin.host}:{origin.port}" in self.trusted_hosts
        )


def _read_api_url(conn_id: str, host: str | None, port: int | None, schema: str | None) -> str:
    url = (host or "").strip().rstrip("/")
    if not url:
        return APPLE_API_URL
    if "://" not in url:
        url = f"{schema or 'https'}://{url}"
    scheme, _, rest = url.partition("://")
    server, slash, path = rest.partition("/")
    if port and not re.search(r":\d+$", server):
        url = f"{scheme}://{server}:{port}{slash}{path}"
    origin = Origin.of(url)
    if origin is None or "?" in url or "#" in url:
        raise ApnsConnectionError(
            f"The host of connection '{conn_id}' is no API base URL. Leave it empty for Apple's own API, "
            f"or give one such as {APPLE_API_URL}."
        )
    if not origin.is_private_enough:
        raise ApnsConnectionError(
            f"The host of connection '{conn_id}' uses plain http: the token is sent over https only "
            "(plain http is allowed on this machine's loopback addresses, for the emulator)."
        )
    return url


def _read_trusted_hosts(conn_id: str, value: object) -> frozenset[str]:
    entries = value.split(",") if isinstance(value, str) else value or []
    if not isinstance(entries, (list, tuple)) or not all(map(_is_host_or_blank, entries)):
        raise ApnsConnectionError(
            f"The extra field trusted_hosts of connection '{conn_id}' must be a list of host names, such as "
            '["metrics.example.com"].'
        )
    return frozenset(entry.strip().lower() for entry in entries if entry.strip())


def _is_host_or_blank(entry: object) -> bool:
    if not isinstance(entry, str) or "/" in entry:
        return False
    return not entry.strip() or Origin.of(f"https://{entry.strip()}") is not None


class ExportStatus(str, Enum):
    """The states that Apple documents."""

    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True)
class Export:
    """
    An export as Apple describes it.

    :param status_url: where its status is asked for; lives for six months. No secret.
    :param status: one of :class:`ExportStatus`, or a word that Apple does not document, which means: wait on.
    :param requested_at: when Apple took the request.
    :param data_url: the signed download URL of an export that is ready: a secret, and short-lived. Never log it.
    :param expires_at: when ``data_url`` stops working.
    """

    status_url: str
    status: str = ExportStatus.PROCESSING.value
    requested_at: datetime | None = None
    data_url: Secret | None = field(default=None, repr=False)
    expires_at: datetime | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the report can be downloaded."""
        return self.status == ExportStatus.SUCCESS

    def check(self) -> Export:
        """
        Return the export unless it has ended without a report.

        :raises ApnsExportFailedError: on ``FAILED`` and ``EXPIRED``, with what Apple's 24-hour rule means.
        """
        if self.status == ExportStatus.FAILED:
            raise ApnsExportFailedError(
                f"Apple could not build the export {self.status_url} (status FAILED). The same request within 24 hours "
                "of the first one returns this same failed export: wait until then and run the task again, "
                "or ask for other days now."
            )
        if self.status == ExportStatus.EXPIRED:
            raise ApnsExportFailedError(
                f"Apple keeps the data of the export {self.status_url} no longer (status EXPIRED). "
                "Request the export again: run the task that requests it, not only the one that waits. "
                "Within 24 hours of the first request, the same request returns this same export."
            )
        return self


@dataclass(frozen=True)
class HttpRequest:
    """
    A request for a transport to send as it is.

    :param what: what it is about, for errors.
    :param method: ``GET`` or ``POST``.
    :param url: where to; masked in the repr when it is a signed URL.
    :param headers: all headers but the transport's own.
    :param body: what to send.
    """

    what: str
    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None

    @property
    def server(self) -> str:
        """The server's origin, which may be shown where the URL may not."""
        return _shown_server("/".join(self.url.split("/", 3)[:3]))


@lru_cache(maxsize=128)  # It is asked for at every poll, and always about the same few.
def _shown_server(server: str) -> str:
    return str(Origin.of(server) or "the server")


@dataclass(frozen=True)
class HttpAnswer:
    """
    What came back, with the body decompressed.

    :param status: the HTTP status.
    :param headers: the headers, names in any case.
    :param received_at: when it came.
    :param body: the first bytes of the body, :data:`MAX_ANSWER_BYTES` at most.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    received_at: datetime
    body: bytes = field(default=b"", repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """Return a header by its lower-case name."""
        return next((value for key, value in self.headers.items() if key.lower() == name), None)


_HEADERS = {"Accept-Encoding": "gzip", "User-Agent": f"airflow-provider-apns/{__version__}"}
_REDIRECTS = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 5


@lru_cache(maxsize=8)  # A task asks for thousands of channels of one app.
def _request_url(api_url: str, team_id: str, app_id: str, dataset: Dataset) -> str:
    path = "/".join(quote(part, safe="") for part in (team_id, "appId", app_id, "datasetName", dataset.value))
    return f"{api_url}/v1/dataExports/apns/teams/{path}/request"


def request_export(account: Account, request: ExportRequest, app_id: str) -> HttpRequest:
    """
    Build the POST that asks for an export.

    It is safe to repeat: the same request within 24 hours answers with the same status URL.
    """
    return HttpRequest(
        what=str(request),
        method="POST",
        url=_request_url(account.api_url, account.team_id, app_id, request.dataset),
        headers={TOKEN_HEADER: account.token, "Content-Type": "application/json", **_HEADERS},
        body=request.body(),
    )


def request_status(account: Account, status_url: str) -> HttpRequest:
    """
    Build the GET that asks for an export's status.

    :raises ApnsUntrustedUrlError: if the token must not be sent to that URL, wherever it came from.
    """
    return HttpRequest(
        what=f"export {check_status_url(account, status_url)}",
        method="GET",
        url=status_url,
        headers={TOKEN_HEADER: account.token, **_HEADERS},
    )


def read_status_url(value: str) -> str:
    """
    Read a status URL as it comes from an XCom.

    :param value: the URL; or the URL in quotation marks, as Airflow 3 keeps an XCom of a task that ended in the
        triggerer (it encodes the value twice).
    """
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and text.startswith('"') and re.fullmatch(r'"[^"\\]*"', text):
        return text[1:-1]
    return text


def check_status_url(account: Account, status_url: str) -> str:
    """
    Check that the token may be sent to a status URL.

    :return: the URL.
    :raises ApnsUntrustedUrlError: if it may not.
    """
    origin = Origin.of(status_url) if isinstance(status_url, str) else None
    if origin is None:
        raise ApnsUntrustedUrlError(
            f"{shorten(str(status_url))!r} is no status URL; give what ApnsRequestExportOperator returned."
        )
    if not account.trusts(origin):
        raise ApnsUntrustedUrlError(
            f"The token was not sent to {origin}, which is neither Apple's nor named in connection "
            f"'{account.conn_id}'. If Apple's status URLs really have this host, add it to the connection's extra "
            f'field trusted_hosts: {{"trusted_hosts": ["{origin.host}"]}}.'
        )
    return status_url


def request_download(data_url: Secret, what: str) -> HttpRequest:
    """
    Build the GET that downloads a report; it carries no token, since the signed URL is another service's.

    :param data_url: the signed URL, or the target of a redirect from it.
    :param what: what is downloaded, for errors.
    :raises ApnsUntrustedUrlError: if the URL is not https (plain http is allowed on loopback).
    """
    origin = Origin.of(data_url)
    if origin is None or not origin.is_private_enough:
        raise ApnsUntrustedUrlError(
            f"The download URL of the {what} is not an https URL{f' ({origin})' if origin else ''}; nothing was sent."
        )
    return HttpRequest(what=what, method="GET", url=data_url, headers=dict(_HEADERS))


def follow_download(answer: HttpAnswer, request: HttpRequest) -> HttpRequest | None:
    """
    Tell what an answer to a download means.

    :param answer: the answer; its body is not looked at.
    :param request: what was sent.
    :return: the request to send next when the answer is a redirect, or ``None`` when the report follows.
    :raises ApnsUntrustedUrlError: if it redirects to anything but https.
    :raises ApnsServiceError: in all other cases: the cure of an expired URL, whose answer Apple does not document,
        is a new GET of the status URL, and so each try begins with one.
    """
    if answer.status == HTTPStatus.OK:
        return None
    if answer.status in _REDIRECTS and (location := Secret(answer.header("location") or "")):
        return request_download(_redirect_target(request.url, location), request.what)
    if is_transient(answer.status):
        raise busy(answer, request.what)
    raise ApnsServiceError(
        f"The download of the {request.what} was answered with {answer.status} by {request.server}, "
        "as happens when its URL has expired."
    )


def _redirect_target(url: str, location: str) -> Secret:
    try:
        return Secret(urljoin(url, location))
    except ValueError:  # Brackets that hold no address: no URL at all, which is refused as one that is not https.
        return Secret()


def read_export_requested(answer: HttpAnswer, account: Account, request: ExportRequest, app_id: str) -> Export:
    """
    Read the answer to :func:`request_export`.

    :raises ApnsError: of the class that fits; see :func:`failure`.
    """
    what = str(request)
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
    return Export(check_status_url(account, status_url), requested_at=read_timestamp(payload.get("requestedAt")))


def read_export_status(answer: HttpAnswer, account: Account, status_url: str) -> Export:
    """
    Read the answer to :func:`request_status`.

    :raises ApnsError: of the class that fits; see :func:`failure`.
    """
    what = f"export {status_url}"
    if answer.status == HTTPStatus.NOT_FOUND:
        raise ApnsTokenError(
            f"Apple answers 404 to the status URL {status_url}: it does not know this export, or the token of "
            f"connection '{account.conn_id}' is not the one it was requested with. {RENEWAL_HINT}"
        )
    if not answer.is_success:
        raise failure(answer, account, what)
    payload = _read_object(answer, account, what)
    status = payload.get("status")
    if not isinstance(status, str) or not (status := _read_status(status[:100])):
        raise ApnsServiceError(f"Apple's answer about the {what} has no status.")
    requested_at = read_timestamp(payload.get("requestedAt"))
    if status != ExportStatus.SUCCESS:
        return Export(status_url, status, requested_at)
    return Export(status_url, status, requested_at, *_read_download(payload.get("downloadDetails"), status_url))


@lru_cache(maxsize=32)  # There are four, and perhaps a few that Apple does not document.
def _read_status(status: str) -> str:
    return shorten(status.upper(), 40)


def _read_download(details: object, status_url: str) -> tuple[Secret, datetime | None]:
    """Read ``downloadDetails``, whose URL Apple spells ``dataUrl`` in its example and ``dataURL`` in its table."""
    details = details if isinstance(details, dict) else {}
    url = details.get("dataUrl") or details.get("dataURL")
    if not isinstance(url, str) or not url:
        raise ApnsServiceError(f"Apple calls the export {status_url} a SUCCESS but gives no download URL.")
    return Secret(url), read_timestamp(details.get("expiresAt"))


def _read_object(answer: HttpAnswer, account: Account, what: str) -> dict[str, Any]:
    try:
        payload = json.loads(_text(answer.body))
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        reason = _quoted(answer, hide=account.token)
        raise ApnsServiceError(f"The answer about the {what} is not the JSON that Apple documents{reason}.")
    return payload


def _text(body: bytes) -> str | bytes:
    """Decode UTF-8, which ``json`` would find out by itself in more time than it takes to read so short a text."""
    is_utf8 = body.startswith(b"{") and not body.startswith(b"{\0")
    return body.decode("utf-8", "surrogatepass") if is_utf8 else body


_TIMESTAMP = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:?00)", re.ASCII)


def read_timestamp(value: object) -> datetime | None:
    """
    Read a timestamp of Apple's: with a space or a ``T`` in the middle, with no, three or six decimals.

    :return: the time in UTC, or ``None`` for anything else; nothing depends on these times.
    """
    if not isinstance(value, str):
        return None
    match = _TIMESTAMP.fullmatch(value.strip())
    if match is None:
        return None
    try:
        return datetime.fromisoformat(f"{match[1]}T{match[2]}.{(match[3] or '0')[:6]:0<6}+00:00")
    except ValueError:
        return None


def failure(
    answer: HttpAnswer, account: Account, what: str, *, app_id: str | None = None, dataset: str | None = None
) -> ApnsError:
    """
    Tell what an answer that is no success means.

    :param answer: the answer.
    :param account: who asked.
    :param what: what was asked for.
    :param app_id: the bundle identifier that was asked for, if the request named one.
    :param dataset: Apple's path segment of the dataset, if the request named one.
    :return: the error to raise; its ``retryable`` says whether time can mend it.
    """
    reason = _quoted(answer, hide=account.token)
    if answer.status == HTTPStatus.BAD_REQUEST:
        return ApnsRefusedError(f"Apple refuses the request for the {what} as badly formed (400){reason}.")
    if answer.status == HTTPStatus.UNAUTHORIZED:
        explained = account.claims.scope_mismatch(app_id, dataset)
        return ApnsTokenError(
            f"Apple does not accept the data export token of connection '{account.conn_id}' for the {what} (401)"
            f"{reason}. {explained or 'A token is for one app and one dataset, and valid for six months at most.'} "
            f"{RENEWAL_HINT}"
        )
    if answer.status == HTTPStatus.NOT_FOUND:
        return ApnsNotFoundError(
            f"Apple does not know what was asked for: {what} (404){reason}. Check the Team ID and the app's "
            f"bundle identifier of connection '{account.conn_id}'."
        )
    if is_transient(answer.status):
        return busy(answer, what, reason)
    if 300 <= answer.status < 400:
        return ApnsServiceError(
            f"The server redirects the request for the {what} ({answer.status}), which Apple's API does not do; "
            "the token was not sent on."
        )
    return ApnsRefusedError(f"Apple answers {answer.status} to the request for the {what}{reason}.")


def is_transient(status: int) -> bool:
    """Whether a status says that the same request can succeed later."""
    return status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS) or status >= 500


def busy(answer: HttpAnswer, what: str, reason: str = "") -> ApnsServiceError:
    """Return the error of an answer that asks to come back later."""
    server_time = _http_date(answer.header("date")) or answer.received_at
    retry_after = read_retry_after(answer.header("retry-after"), server_time)
    return ApnsServiceError(
        f"The server answers {answer.status} about the {what}{reason}.",
        retry_after=retry_after,
        slow_down=answer.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE),
    )


def read_retry_after(value: str | None, now: datetime) -> float | None:
    """
    Read a ``Retry-After`` header.

    :param value: seconds or an HTTP date.
    :param now: the current time by the server's clock.
    :return: seconds to wait, or ``None`` where the header says nothing sensible: unreadable, in the past, or more
        than a day ahead.
    """
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text, re.ASCII):
        seconds = float(text)
    else:
        moment = _http_date(text)
        if moment is None:
            return None
        seconds = (moment - now).total_seconds()
    return seconds if 0 <= seconds <= 86_400 else None


def _http_date(text: str | None) -> datetime | None:
    if text is None or len(text) > 64:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def should_retry(error: BaseException | None) -> bool:
    """Whether to try again within the same call: a transient failure whose wished wait is not too long."""
    return isinstance(error, ApnsServiceError) and (error.retry_after or 0) <= MAX_RETRY_AFTER


def retry_delay(error: BaseException | None, tries: int) -> float:
    """
    Return the seconds to wait before the next try.

    :param error: why the last try failed.
    :param tries: how many tries there were.
    :return: what the server asked for, else capped exponential backoff; with jitter on top, so that many clients
        do not come back in step.
    """
    asked = error.retry_after if isinstance(error, ApnsServiceError) else None
    if asked is not None:
        return asked + random.uniform(0, 1)  # noqa: S311 - jitter
    return min(MAX_BACKOFF, 2.0 ** (tries - 1)) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter


def spread(delay: float) -> float:
    """Return a delay that is longer by up to a quarter, so that what begins at the same moment does not go on so."""
    return delay * random.uniform(1.0, 1.25)  # noqa: S311 - jitter


def poll_delay(polls: int, ceiling: float, now: float) -> float:
    """
    Return the seconds until the next status poll: soon at first, then slower, with jitter.

    It ends at one of a few moments that all exports have in common, so that a turn of the event loop serves several
    of them: waking up for each one by itself takes more CPU time than all of the provider's own code.

    :param polls: how many polls there were, none included.
    :param ceiling: the longest delay, in seconds.
    :param now: the time of the event loop that all of them wait in, in seconds.
    """
    # No poll comes sooner than after 0.8 of the delay, although the way back to a moment can be a part of it.
    jitter = random.uniform(0.8 + 1 / POLL_MOMENTS, 1.0)  # noqa: S311
    delay = min(ceiling, FIRST_POLL_DELAY * POLL_GROWTH ** min(polls, 64)) * jitter
    # A power of two, so that the moments for a long delay are among those for a short one.
    step = math.ldexp(1.0, math.frexp(delay)[1] - 1) / POLL_MOMENTS
    return delay - (now + delay) % step


def network_failure(
    request: HttpRequest, error: BaseException, handled: BaseException | None = None
) -> ApnsServiceError:
    """
    Describe a failure below HTTP by its root cause, without the URL that a library's own text would quote.

    :param request: what was being sent.
    :param error: the library's error.
    :param handled: what was being handled when the request was begun, and so is not its cause.
    """
    root = error
    for _ in range(10):
        causes = (root.__cause__, root.__context__, _first_exception(root.args))
        # A timeout comes of a CancelledError, which is no Exception, and says less than the timeout.
        root = next((cause for cause in causes if isinstance(cause, Exception) and cause is not handled), root)
    detail = getattr(root, "verify_message", None) or getattr(root, "strerror", None) or type(root).__name__
    return ApnsServiceError(f"No answer from {request.server} about the {request.what}: {shorten(str(detail))}.")


def _first_exception(args: tuple[object, ...]) -> BaseException | None:
    return next((arg for arg in args if isinstance(arg, BaseException)), None)


def _quoted(answer: HttpAnswer, hide: str) -> str:
    """Return a short, cleaned piece of an answer's body, which Apple does not document, to show to the user."""
    text = answer.body[:4096].decode("utf-8", "replace")
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError):
        payload = None
    if isinstance(payload, dict):
        text = next((payload[k] for k in ("reason", "message", "error") if isinstance(payload.get(k), str)), text)
    cleaned = shorten(without_secrets(re.sub(r"<[^>]*>", " ", text.replace(hide, "***"))))
    return f": {cleaned!r}" if cleaned else ""


def without_secrets(text: str) -> str:
    """Return what a server sent with all that looks like a token or like a signature of a URL as ``***``."""
    text = re.sub(r"[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}", "***", text)
    # JSON may write each slash with a backslash before it.
    return re.sub(r"(https?:(?:\\?/){2}[^\s?\"']*)\?[^\s\"']*", r"\1?***", text)


def shorten(text: str, limit: int = 200) -> str:
    """Return a text in one line of printable characters."""
    cleaned = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return cleaned if len(cleaned) <= limit else f"{cleaned[: limit - 1]}…"
