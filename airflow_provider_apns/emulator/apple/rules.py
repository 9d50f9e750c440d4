"""Apple's service without its network."""

from __future__ import annotations

import re
import uuid
from datetime import datetime, timedelta, timezone
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider_apns.emulator.apple.app import App
from airflow_provider_apns.emulator.apple.exports import Export
from airflow_provider_apns.emulator.apple.orders import Order, Query, Refusal, read_order
from airflow_provider_apns.emulator.apple.signatures import Signer
from airflow_provider_apns.emulator.apple.tokens import make_token
from airflow_provider_apns.emulator.datasets import DATASETS, DELIVERY, Dataset
from airflow_provider_apns.emulator.settings import DEMO_TOKEN, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

_REPEAT_WINDOW = timedelta(hours=24)
_LIFETIME = timedelta(days=180)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Apple:
    """The service: one app, its token and its exports.

    ``on_export`` is called with each new export before anybody learns of it.
    """

    def __init__(self, settings: Settings, clock: Callable[[], datetime], on_export: Callable[[Export], None]) -> None:
        self.clock = clock
        self.on_export = on_export
        self.settings = settings
        self.rotate_token(settings.token or DEMO_TOKEN)
        if settings.jwt and not settings.token:
            self.token, self._token_expires_at = make_token(settings, clock())
        self.status_origin = self.download_origin = ""
        self._changed: dict[str, bool] = {}
        self.signer = Signer(settings.seed)
        self._exports: dict[str, Export] = {}
        self._latest: dict[Order, Export] = {}

    @property
    def settings(self) -> Settings:
        """How the service is set up. The settings can be replaced while it runs."""
        return self._settings

    @settings.setter
    def settings(self, settings: Settings) -> None:
        self._settings = settings
        self.app = App(settings.seed, settings.app_id, settings.channels, settings.days, settings.csv)

    @property
    def channel_ids(self) -> tuple[str, ...]:
        """The identifiers of all channels that the app has now."""
        if not self._changed:
            return self.app.channel_ids
        there = dict.fromkeys(self.app.channel_ids, True) | self._changed
        return tuple(channel_id for channel_id in there if there[channel_id])

    def _knows_channel(self, channel_id: str) -> bool:
        if channel_id in self._changed:
            return self._changed[channel_id] or not self.settings.forget_deleted
        return channel_id in self.app.first_channels

    def new_channel_id(self) -> str:
        """Make up the identifier of a new channel."""
        return self.app.channel_id(("created", len(self._changed)))

    def change_channel(self, channel_id: str, *, there: bool) -> None:
        """Create or delete a channel."""
        self._changed[channel_id] = there

    def rotate_token(self, token: str) -> None:
        """Replace the token with one that never expires."""
        self.token, self._token_expires_at = token, datetime.max.replace(tzinfo=timezone.utc)

    # -- 1. request an export ------------------------------------------------------------------------------

    def request(
        self, token: str | None, team_id: str, app_id: str, segment: str, content_type: str, body: bytes
    ) -> Export:
        """Return a new export, or the export of the same request within the last 24 hours."""
        dataset = self._authorized(401, token, team_id, app_id, segment)
        if content_type.partition(";")[0].strip().lower() != "application/json":
            raise Refusal(400, "Content-Type must be application/json")
        order = read_order(dataset, body, self.clock().date())
        if dataset.per_channel and not self._knows_channel(str(order.query.channel_id)):
            raise Refusal(404, "channel identifier not found")
        return self._exported(order)

    def _authorized(self, refused: int, token: str | None, team_id: str, app_id: str, segment: str) -> Dataset:
        """Return the dataset that a request is about, if the token is valid for it."""
        if token != self.token:
            raise Refusal(refused, "the data export token is missing or not valid")
        if self.clock() >= self._token_expires_at:
            raise Refusal(refused, "the data export token has expired")
        dataset = next((each for each in DATASETS if each.segment == segment), None)
        if dataset is None:
            raise Refusal(400, "unknown dataset name")
        granted = self.settings
        if (team_id, app_id) != (granted.team_id, granted.app_id) or dataset not in granted.datasets:
            raise Refusal(refused, "the token is not valid for this team, app and dataset")
        return dataset

    def _exported(self, order: Order) -> Export:
        now = self.clock()
        latest = self._latest.get(order)
        if latest is not None and now - latest.requested_at < _REPEAT_WINDOW:
            return latest
        ready_at = now + timedelta(seconds=self.settings.processing_seconds)
        export = Export(str(uuid.uuid4()), order, now, ready_at, self._fate(order, now), len(self._exports))
        self.on_export(export)
        self.restore(export)
        return export

    def _fate(self, order: Order, now: datetime) -> str:
        # The day is part of the chance, so what fails today can succeed tomorrow.
        digest = blake2b(repr((self.settings.seed, order, now.date())).encode(), digest_size=8).digest()
        ticket = int.from_bytes(digest, "big") / 2**64
        if _is_picked(self.settings.fail, order.names, ticket):
            return "FAILED"
        return "EXPIRED" if _is_picked(self.settings.expire, order.names, 1 - ticket) else "SUCCESS"

    def restore(self, export: Export) -> None:
        """Add an export: a new one, or one that an earlier process made."""
        self._exports[export.id] = export
        self._latest[export.order] = export

    def accepted(self, export: Export) -> dict[str, Any]:
        """Return the JSON that answers a request for an export."""
        form = self.settings.requested_at
        with_space = export.number % 2 == 1 if form == "turns" else form == "space"
        moment = export.requested_at.astimezone(timezone.utc)
        nanoseconds = f"{moment:%Y-%m-%dT%H:%M:%S.%f}{export.number % 1000:03}Z"
        return {
            "statusUrl": self.status_url(export),
            # Apple's documentation has a space. A real answer had a T and nine decimals.
            "requestedAt": f"{moment:%Y-%m-%d %H:%M:%SZ}" if with_space else nanoseconds,
        }

    def status_url(self, export: Export) -> str:
        """Return the status URL of an export."""
        team_id, app_id = (quote(part, safe="") for part in (self.settings.team_id, self.settings.app_id))
        path = f"teams/{team_id}/appId/{app_id}/datasetName/{export.order.query.dataset.segment}/status/{export.id}"
        return f"{self.status_origin}/v1/dataExports/apns/{path}"

    # -- 2. ask for the status -----------------------------------------------------------------------------

    def status(self, token: str | None, team_id: str, app_id: str, segment: str, export_id: str) -> Export:
        """Return the export of a status URL, and count the poll."""
        if not _UUID.fullmatch(export_id):
            raise Refusal(400, "badly formed status URL")
        # Apple's article on delivery metrics says 404. The one on broadcasts says 401.
        refused = 404 if segment == DELIVERY.segment else 401
        dataset = self._authorized(refused, token, team_id, app_id, segment)
        export = self.find(export_id)
        if export is None or export.order.query.dataset is not dataset:
            raise Refusal(404, "no such export")
        export.polls += 1
        return export

    def find(self, export_id: str | None) -> Export | None:
        """Find an export by its identifier."""
        return self._exports.get(export_id or "")

    def described(self, export: Export) -> dict[str, Any]:
        """Return the JSON that answers a request for a status."""
        word = self._word(export)
        answer: dict[str, Any] = {"status": word, "requestedAt": _timestamp(export.requested_at, "milliseconds")}
        if word == "SUCCESS":
            answer["downloadDetails"] = self.details(export)
        return answer

    def _word(self, export: Export) -> str:
        now = self.clock()
        if now - export.requested_at >= _LIFETIME:
            return "EXPIRED"
        if now < export.ready_at or export.polls <= self.settings.processing_polls:
            return "PROCESSING"
        return export.outcome

    def details(self, export: Export, seconds: float | None = None) -> dict[str, str]:
        """Sign a new download URL. It lives for the given seconds, or else for the requested time."""
        override = self.settings.url_expires_seconds if seconds is None else seconds
        life = timedelta(minutes=export.order.minutes) if override is None else timedelta(seconds=override)
        expires_at = self.clock() + life
        path = f"/exports/{export.id}/data.csv"
        url = f"{self.download_origin}{path}?{self.signer.sign(path, expires_at)}"
        return {self.settings.data_url_key: url, "expiresAt": _timestamp(expires_at, "microseconds")}

    # -- 3. download ---------------------------------------------------------------------------------------

    def download(self, path: str, query: str) -> Export:
        """Return the export of a download URL, if its signature is valid."""
        self.signer.check(path, query, self.clock())
        export = self.find(path.split("/")[-2])
        if export is None:
            raise Refusal(404, "no such export")
        return export

    def report(self, export: Export) -> bytes:
        """Return the CSV of an export."""
        return self.app.csv(export.order.query, export.requested_at.date())

    def expected(self, query: Query) -> bytes:
        """Return the CSV that is served for a query: that of its latest export, or of one made now."""
        made = [export for order, export in list(self._latest.items()) if order.query == query]
        if made:
            return self.report(max(made, key=lambda export: export.requested_at))
        return self.app.csv(query, self.clock().date())


def _is_picked(words: tuple[str, ...], names: tuple[str | None, ...], ticket: float) -> bool:
    return any(word in names or ticket < _share(word) for word in words)


def _share(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return 0.0


def _timestamp(moment: datetime, precision: str) -> str:
    return moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec=precision) + "Z"
