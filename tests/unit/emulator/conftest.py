"""A hand-written client for the emulator, and a clock that tests can move."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest

from airflow_provider_apns.emulator import Emulator

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

TOKEN_HEADER = "X-Apple-CloudKit-Management-Token"
SEGMENTS = {
    "application": "broadcastapplicationmetric",
    "channel": "broadcastchannelmetrics",
    "delivery": "deliverymetrics",
}


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 10, 18, 1, 0, 947_123, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **delta: float) -> None:
        self.now += timedelta(**delta)

    def day(self, offset: int) -> date:
        return self.now.date() + timedelta(days=offset)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        return str(self.json["reason"])


class Client:
    """Does what a client of Apple's has to do, or whatever else a test wants it to do."""

    def __init__(self, apple: Emulator, clock: Callable[[], datetime], timeout: float = 5) -> None:
        self.apple = apple
        self.clock = clock
        self.timeout = timeout
        self.trust: ssl.SSLContext | None = None

    def send(self, method: str, url: str, headers: dict[str, str] | None = None, body: Any = None) -> Reply:
        parts = urlsplit(url)
        if parts.scheme == "https":
            wire = http.client.HTTPSConnection(parts.netloc, timeout=self.timeout, context=self.trust)
        else:
            wire = http.client.HTTPConnection(parts.netloc, timeout=self.timeout)
        try:
            wire.request(method, parts.path + ("?" + parts.query if parts.query else ""), body, headers or {})
            answer = wire.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            wire.close()

    @property
    def authorised(self) -> dict[str, str]:
        return {TOKEN_HEADER: self.apple.token, "Content-Type": "application/json"}

    def request_url(self, dataset: str = "application", team: str | None = None, app: str | None = None) -> str:
        apple, segment = self.apple, SEGMENTS.get(dataset, dataset)
        team, app = quote(team or apple.team_id, safe=""), quote(app or apple.app_id, safe="")
        return f"{apple.url}/v1/dataExports/apns/teams/{team}/appId/{app}/datasetName/{segment}/request"

    def body(self, **changes: Any) -> dict[str, Any]:
        """Build a valid body for the last complete week; a change to None takes the key out."""
        today = self.clock().date()
        body = {
            "startDate": str(today - timedelta(days=7)),
            "endDate": str(today - timedelta(days=1)),
            "dataDownloadUrlExpiresInMinutes": 60,
        } | changes
        return {key: value for key, value in body.items() if value is not None}

    def request(self, dataset: str = "application", **changes: Any) -> Reply:
        if dataset == "channel":
            changes = {"channelId": self.apple.channel_ids[0]} | changes
        return self.send("POST", self.request_url(dataset), self.authorised, json.dumps(self.body(**changes)))

    def status(self, status_url: str) -> Reply:
        return self.send("GET", status_url, {TOKEN_HEADER: self.apple.token})

    def download(self, data_url: str, **headers: str) -> Reply:
        return self.send("GET", data_url, headers)

    def data_url(self, dataset: str = "application", **changes: Any) -> str:
        """Go all the way to a download URL."""
        status = self.status(self.request(dataset, **changes).json["statusUrl"])
        return str(status.json["downloadDetails"]["dataUrl"])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(clock: Clock) -> Iterator[Callable[..., Client]]:
    """Start emulators with the options that a test wants."""
    running: list[Emulator] = []

    def _start(**options: Any) -> Client:
        apple = Emulator(**{"clock": clock, **options}).start()
        running.append(apple)
        return Client(apple, clock)

    yield _start
    for apple in running:
        apple.close()


@pytest.fixture
def client(start: Callable[..., Client]) -> Client:
    """A client of an emulator whose exports are ready at once."""
    return start()


@pytest.fixture
def apple(client: Client) -> Emulator:
    """The emulator that ``client`` talks to."""
    return client.apple
