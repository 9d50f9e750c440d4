"""Apple's rules: which request is answered how. No input or output, no clock but the one that is given."""

from __future__ import annotations

import base64
import hmac
import json
import re
import secrets
import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qs, quote

from airflow_provider_apns.emulator.data import Numbers, Query, channel_ids
from airflow_provider_apns.emulator.settings import (
    DATASETS,
    DELIVERY,
    DEMO_TOKEN,
    Dataset,
    Settings,
    find_dataset,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_apns.emulator.body import Body

TOKEN_HEADER = "X-Apple-CloudKit-Management-Token"  # noqa: S105 - a name, no secret

REPEAT_WINDOW = timedelta(hours=24)
LIFETIME = timedelta(days=180)
OLDEST_START = timedelta(days=30)
DAY = timedelta(days=1)

_NONCE = 12 + 16
"""Bytes of a signature before its proof: the mark that all of them share, and what makes each unique."""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EXPIRY_KEY = "dataDownloadUrlExpiresInMinutes"
_COMMON_KEYS = frozenset(("startDate", "endDate", _EXPIRY_KEY))


class Refusal(Exception):
    """Apple says no.

    :param status: the HTTP status
    :param reason: why, in a sentence
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Order:
    """What a valid request asks for. Two equal orders within a day are one export.

    :param query: dataset, days and channel
    :param minutes: how long its download URLs shall live
    """

    query: Query
    minutes: int

    @property
    def names(self) -> tuple[str | None, ...]:
        """What faults and fates can single this order out by."""
        return (self.query.channel_id, self.query.dataset.name, self.query.dataset.segment)


@dataclass
class Export:
    """One export, which Apple keeps for six months.

    :param id: the opaque identifier in its status URL
    :param order: what was asked for
    :param requested_at: when it was asked for first
    :param ready_at: until when it is PROCESSING
    :param outcome: what it is afterwards: ``SUCCESS``, ``FAILED`` or ``EXPIRED``
    :param polls: how often its status was asked for
    """

    id: str
    order: Order
    requested_at: datetime
    ready_at: datetime
    outcome: str
    polls: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the export for the journal."""
        query = self.order.query
        return {
            "id": self.id,
            "dataset": query.dataset.name,
            "start": query.start.isoformat(),
            "end": query.end.isoformat(),
            "channel_id": query.channel_id,
            "minutes": self.order.minutes,
            "requested_at": self.requested_at.isoformat(),
            "ready_at": self.ready_at.isoformat(),
            "outcome": self.outcome,
        }

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Export:
        """Read an export from the journal.

        :param saved: what :meth:`to_json` returned
        """
        days = date.fromisoformat(saved["start"]), date.fromisoformat(saved["end"])
        query = Query(find_dataset(saved["dataset"]), *days, saved["channel_id"])
        times = datetime.fromisoformat(saved["requested_at"]), datetime.fromisoformat(saved["ready_at"])
        return cls(saved["id"], Order(query, saved["minutes"]), *times, saved["outcome"])


class Apple:
    """The service without its network.

    :param settings: how it is set up
    :param clock: gives the time, in UTC and aware of it
    :param on_export: called with each export that is created, before anybody is told of it
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], datetime],
        on_export: Callable[[Export], None] = lambda export: None,
    ) -> None:
        self.clock = clock
        self.on_export = on_export
        self.settings = settings
        self.token = settings.token or (_jwt(settings, clock()) if settings.jwt else DEMO_TOKEN)
        self.status_origin = self.download_origin = ""
        self._key = sha256(f"emulator signing key {settings.seed}".encode()).digest()
        self._mark = b"\xfb\xff" + sha256(b"mark" + self._key).digest()[:10]
        self._exports: dict[str, Export] = {}
        self._latest: dict[Order, Export] = {}

    @property
    def settings(self) -> Settings:
        """How the service is set up; may be replaced while it runs."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._settings = settings
        self._numbers = Numbers(settings.seed, settings.app_id, settings.days, settings.rows, settings.csv)
        self.channel_ids = channel_ids(settings.seed, settings.app_id, settings.channels)
        self._known_channels = frozenset(self.channel_ids)

    @property
    def signature_mark(self) -> str:
        """
        How the signature of every signed URL begins: what to search for where no signed URL may be.

        Within a URL it is percent-encoded, since it has a ``+`` and a ``/``.
        """
        return base64.b64encode(self._mark).decode()

    # -- 1. request an export ------------------------------------------------------------------------------

    def request(
        self, token: str | None, team_id: str, app_id: str, segment: str, content_type: str, body: bytes
    ) -> Export:
        """Answer a request for an export: with a new one, or with that of the same request of the last day.

        :param token: the token header
        :param team_id: from the path
        :param app_id: from the path
        :param segment: the dataset's segment of the path
        :param content_type: the header
        :param body: the JSON body
        """
        self._check_token(token)
        dataset = _dataset_of(segment)
        granted = self.settings
        if (team_id, app_id) != (granted.team_id, granted.app_id) or dataset not in granted.datasets:
            raise Refusal(401, "the token is not valid for this team, app and dataset")
        if content_type.partition(";")[0].strip().lower() != "application/json":
            raise Refusal(400, "Content-Type must be application/json")
        return self._exported(self._read_order(dataset, body))

    def _check_token(self, token: str | None, status: int = 401) -> None:
        if token is None or not _same(token, self.token):
            raise Refusal(status, "the data export token is missing or not valid")
        if (expiry := _expiry(self.token)) is not None and self.clock().timestamp() >= expiry:
            raise Refusal(status, "the data export token has expired")

    def _read_order(self, dataset: Dataset, body: bytes) -> Order:
        fields = _json_object(body)
        expected = _COMMON_KEYS | ({"channelId"} if dataset.per_channel else frozenset())
        if missing := expected - fields.keys():
            raise Refusal(400, f"missing {', '.join(sorted(missing))}")
        if unknown := fields.keys() - expected:
            raise Refusal(400, f"unexpected {', '.join(sorted(unknown))} for {dataset.segment}")
        start, end = self._days(_day(fields, "startDate"), _day(fields, "endDate"))
        minutes = fields[_EXPIRY_KEY]
        if type(minutes) is not int or not 20 <= minutes <= 60:
            raise Refusal(400, f"{_EXPIRY_KEY} must be an integer from 20 to 60")
        channel_id = self._channel(fields["channelId"]) if dataset.per_channel else None
        return Order(Query(dataset, start, end, channel_id), minutes)

    def _days(self, start: date, end: date) -> tuple[date, date]:
        today = self.clock().date()
        oldest, newest = today - OLDEST_START, today - DAY
        if start < oldest or end > newest:
            raise Refusal(400, f"the supported date range is {oldest} to {newest}, got {start} to {end}")
        if end <= start:
            raise Refusal(
                400, f"endDate must be later than startDate; the supported date range is {oldest} to {newest}"
            )
        return start, end

    def _channel(self, channel_id: object) -> str:
        if not isinstance(channel_id, str) or not channel_id or not _BASE64.fullmatch(channel_id):
            raise Refusal(400, "channelId must be base64")
        if channel_id not in self._known_channels:
            raise Refusal(404, "channel identifier not found")
        return channel_id

    def _exported(self, order: Order) -> Export:
        now = self.clock()
        latest = self._latest.get(order)
        if latest is not None and now - latest.requested_at < REPEAT_WINDOW:
            return latest
        ready_at = now + timedelta(seconds=self.settings.processing_seconds)
        export = Export(str(uuid.uuid4()), order, now, ready_at, self._fate(order, now))
        self.on_export(export)
        self.restore(export)
        return export

    def _fate(self, order: Order, now: datetime) -> str:
        # The day is part of the chance: what failed today may succeed when it is asked for again tomorrow.
        digest = blake2b(repr((self.settings.seed, order, now.date())).encode(), digest_size=8).digest()
        ticket = int.from_bytes(digest, "big") / 2**64
        if self.settings.fail.holds(order.names, ticket):
            return "FAILED"
        return "EXPIRED" if self.settings.expire.holds(order.names, 1 - ticket) else "SUCCESS"

    def restore(self, export: Export) -> None:
        """Take in an export, a new one or one that an earlier process made.

        :param export: the export
        """
        self._exports[export.id] = export
        self._latest[export.order] = export

    def accepted(self, export: Export) -> dict[str, Any]:
        """Return the answer to a request for an export.

        :param export: the export that the request led to
        """
        return {
            "statusUrl": f"{self.status_origin}/v1/dataExports/apns/status/{export.id}",
            # A space here, a T in the status answer; Apple calls both of them ISO 8601.
            "requestedAt": f"{export.requested_at:%Y-%m-%d %H:%M:%SZ}",
        }

    # -- 2. ask for the status -----------------------------------------------------------------------------

    def status(self, token: str | None, export_id: str) -> Export:
        """Answer a request for the status of an export.

        :param token: the token header
        :param export_id: from the path
        """
        if not _UUID.fullmatch(export_id):
            raise Refusal(400, "badly formed status URL")
        export = self.find(export_id)
        # Apple's article on delivery metrics says 404 where the one on broadcasts says 401.
        self._check_token(token, 404 if export and export.order.query.dataset is DELIVERY else 401)
        if export is None:
            raise Refusal(404, "no such export")
        export.polls += 1
        return export

    def find(self, export_id: str | None) -> Export | None:
        """Find an export.

        :param export_id: its identifier
        """
        return self._exports.get(export_id or "")

    def described(self, export: Export) -> dict[str, Any]:
        """Return the answer to a request for the status.

        :param export: the export
        """
        word = self._word(export)
        answer: dict[str, Any] = {
            "status": word,
            "requestedAt": _timestamp(export.requested_at, "milliseconds"),
        }
        if word == "SUCCESS":
            answer["downloadDetails"] = self.details(export)
        return answer

    def _word(self, export: Export) -> str:
        now = self.clock()
        if now - export.requested_at >= LIFETIME:
            return "EXPIRED"
        if now < export.ready_at or export.polls <= self.settings.processing_polls:
            return "PROCESSING"
        return export.outcome

    def details(self, export: Export, seconds: float | None = None) -> dict[str, str]:
        """Sign a new download URL.

        :param export: the export
        :param seconds: how long it lives, in place of what was asked for
        """
        override = self.settings.url_expires_seconds if seconds is None else seconds
        life = timedelta(minutes=export.order.minutes) if override is None else timedelta(seconds=override)
        expires_at = self.clock() + life
        path = f"/exports/{export.id}/data.csv"
        expires, nonce = f"{expires_at.timestamp():.6f}", self._mark + secrets.token_bytes(16)
        signature = base64.b64encode(nonce + self._signature(path, expires, nonce)).decode()
        url = f"{self.download_origin}{path}?Expires={expires}&Signature={quote(signature, safe='')}"
        return {self.settings.data_url_key: url, "expiresAt": _timestamp(expires_at, "microseconds")}

    def _signature(self, path: str, expires: str, nonce: bytes) -> bytes:
        return hmac.digest(self._key, nonce + f"{path}\n{expires}".encode(), "sha256")

    # -- 3. download ---------------------------------------------------------------------------------------

    def download(self, path: str, query: str) -> Export:
        """Answer a request for the data, which only the signature in the URL can open.

        :param path: the path of the URL
        :param query: its query, as it was sent
        """
        fields = parse_qs(query)
        expires, signature = (fields.get(name, [""])[-1] for name in ("Expires", "Signature"))
        export = self.find(path.split("/")[-2])
        try:
            signed = base64.b64decode(signature, validate=True)
        except ValueError:
            signed = b""
        nonce, proof = signed[:_NONCE], signed[_NONCE:]
        if export is None or not hmac.compare_digest(proof, self._signature(path, expires, nonce)):
            raise Refusal(403, "The request signature we calculated does not match the signature you provided.")
        if self.clock().timestamp() >= float(expires):
            raise Refusal(403, "Request has expired")
        return export

    def report(self, export: Export) -> Body:
        """Return the CSV of an export.

        :param export: the export
        """
        return self._numbers.csv(export.order.query, export.requested_at.date())

    def expected(self, query: Query) -> Body:
        """Return the CSV that is served for a query: that of its latest export, or of one made now.

        :param query: dataset, days and channel
        """
        made = [export for order, export in list(self._latest.items()) if order.query == query]
        if made:
            return self.report(max(made, key=lambda export: export.requested_at))
        return self._numbers.csv(query, self.clock().date())


def _dataset_of(segment: str) -> Dataset:
    for dataset in DATASETS:
        if segment == dataset.segment:
            return dataset
    raise Refusal(400, "unknown dataset name")


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is not JSON") from None
    if not isinstance(fields, dict):
        raise Refusal(400, "the body is not a JSON object")
    return fields


def _no_constant(word: str) -> NoReturn:
    raise ValueError(word)


def _day(fields: dict[str, Any], key: str) -> date:
    value = fields[key]
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise Refusal(400, f"{key} must be a date in the form yyyy-MM-dd")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise Refusal(400, f"{key} is not a date of the calendar") from None


def _timestamp(moment: datetime, precision: str) -> str:
    return moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def _jwt(settings: Settings, now: datetime) -> str:
    prefix = f"/v1/dataExports/apns/teams/{settings.team_id}/appId/{settings.app_id}/datasetName"
    scope = [f"POST {prefix}/{dataset.segment}/request" for dataset in settings.datasets]
    claims = {
        "iss": settings.team_id,
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(days=settings.token_expires_in_days)).timestamp()),
        "scope": [*scope, "GET /v1/dataExports/apns/status"],
    }
    header = {"alg": "ES256", "kid": "EMULATOR00", "typ": "JWT"}
    signature = blake2b(f"emulator token {settings.seed}".encode()).digest()
    parts = [json.dumps(part, separators=(",", ":")).encode() for part in (header, claims)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (*parts, signature))


def _same(given: str, valid: str) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogateescape"), valid.encode())


@lru_cache(maxsize=8)
def _expiry(token: str) -> float | None:
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError):
        return None
