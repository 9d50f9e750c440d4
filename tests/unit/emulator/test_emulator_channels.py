"""Apple's second service, as the emulator is it: asked over HTTP/2 by a client that knows nothing of the package."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from airflow_provider_apns.emulator import Emulator
from tests.unit.emulator.conftest import Client, Clock

Start = Callable[..., Client]


class Lister:
    """Asks for the channels, with a token that a test may change."""

    def __init__(self, apple: Emulator, clock: Clock) -> None:
        self.extra: dict[str, str] = json.loads(apple.connection_json)["extra"]
        self.apple, self.clock = apple, clock
        self.headers = {"alg": "ES256", "kid": self.extra["key_id"]}
        self.claims: dict[str, Any] = {"iss": apple.team_id, "iat": int(clock().timestamp())}
        self.http = httpx.Client(http1=False, http2=True, verify=ssl.create_default_context(cafile=apple.ca_path))

    def token(self) -> str:
        return jwt.encode(self.claims, self.extra["private_key"], self.headers["alg"], headers=self.headers)

    def ask(self, method: str = "GET", path: str = "/1/apps/{}/all-channels", **headers: str) -> tuple[int, Any]:
        headers = headers or {"authorization": f"bearer {self.token()}"}
        url = self.extra["channels_host"] + path.format(self.apple.app_id)
        answer = self.http.request(method, url, headers=headers)
        assert answer.http_version == "HTTP/2"
        return answer.status_code, answer.json().get("reason", answer.json())


@pytest.fixture
def lister(start: Start, clock: Clock) -> Iterator[Lister]:
    lister = Lister(start(channels_port=0, channels=3).apple, clock)
    with lister.http:
        yield lister


def control(apple: Emulator, method: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{apple.url}/_emulator/channels", data, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def test_it_lists_all_channels(lister: Lister) -> None:
    assert lister.ask() == (200, {"channels": list(lister.apple.channel_ids)})
    assert lister.apple.ledger.listings == 1
    assert lister.apple.ledger.records[-1].had_token


def test_ten_thousand_channels(start: Start, clock: Clock) -> None:
    lister = Lister(start(channels_port=0, channels=10_000).apple, clock)
    assert len(lister.ask()[1]["channels"]) == 10_000


def test_channels_come_and_go(lister: Lister) -> None:
    apple = lister.apple
    first, *_ = apple.channel_ids
    new = apple.create_channel()
    apple.delete_channel(first)
    assert lister.ask()[1]["channels"] == [*apple.channel_ids]
    assert new in apple.channel_ids
    assert first not in apple.channel_ids
    assert len({new, apple.create_channel(), *apple.channel_ids}) == len(apple.channel_ids)
    apple.create_channel(first)
    assert first in apple.channel_ids
    with pytest.raises(ValueError, match="there is no channel"):
        apple.delete_channel("AAAA")


def test_channels_come_and_go_from_another_process(lister: Lister) -> None:
    new = control(lister.apple, "POST")["channel_id"]
    assert control(lister.apple, "POST", {"channel_id": new}) == {"channel_id": new}
    assert control(lister.apple, "GET")[-1] == new
    assert control(lister.apple, "DELETE", {"channel_id": new}) == {}
    assert new not in lister.ask()[1]["channels"]


@pytest.mark.parametrize(("forget", "status"), [(False, 200), (True, 404)])
def test_the_metrics_of_a_deleted_channel(start: Start, forget: bool, status: int) -> None:
    client = start(forget_deleted=forget)
    deleted = client.apple.create_channel()
    assert client.request("channel", channelId=deleted).status == 200
    client.apple.delete_channel(deleted)
    assert client.request("channel", channelId=deleted).status == status
    assert client.request("channel", channelId="AAAA").status == 404


WRONG_TOKENS: dict[str, Callable[[Lister], Any]] = {
    "of another key": lambda lister: lister.headers.update(kid="OTHERKEY12"),
    "of another team": lambda lister: lister.claims.update(iss="OTHERTEAM1"),
    "without iat": lambda lister: lister.claims.pop("iat"),
    "signed otherwise": lambda lister: (
        lister.extra.update(private_key="a secret of any length " * 3) or lister.headers.update(alg="HS256")
    ),
}


@pytest.mark.parametrize("change", WRONG_TOKENS.values(), ids=WRONG_TOKENS)
def test_a_token_that_is_wrong(lister: Lister, change: Callable[[Lister], Any]) -> None:
    change(lister)
    assert lister.ask() == (403, "InvalidProviderToken")


@pytest.mark.parametrize(
    ("header", "reason"),
    [("", "MissingProviderToken"), ("basic x", "MissingProviderToken"), ("bearer x.y.z", "InvalidProviderToken")],
)
def test_a_header_that_is_wrong(lister: Lister, header: str, reason: str) -> None:
    assert lister.ask(authorization=header) == (403, reason)


def test_the_life_of_a_token(lister: Lister, clock: Clock) -> None:
    assert lister.ask()[0] == 200
    clock.move(minutes=10)
    lister.claims["iat"] += 600
    assert lister.ask() == (429, "TooManyProviderTokenUpdates")
    lister.claims["iat"] += 600
    assert lister.ask()[0] == 200
    clock.move(minutes=71)
    assert lister.ask() == (403, "ExpiredProviderToken")


def test_a_request_that_is_wrong(lister: Lister) -> None:
    assert lister.ask(path="/1/apps/com.example.other/all-channels") == (400, "TopicDisallowed")
    assert lister.ask(path="/1/apps/{}/channels") == (404, "BadPath")
    assert lister.ask(method="POST") == (405, "MethodNotAllowed")


def test_faults(lister: Lister) -> None:
    lister.apple.inject("channels:BadEnvironmentKeyInToken", "channels:503:times=2")
    answers = [lister.ask() for _ in range(4)]
    assert answers[0] == (403, "BadEnvironmentKeyInToken")
    assert [status for status, _ in answers] == [403, 503, 503, 200]
    assert [record.fault for record in lister.apple.ledger.records] == ["BadEnvironmentKeyInToken", "503", "503", None]
    with pytest.raises(ValueError, match="unknown kind 'truncate' at channels"):
        lister.apple.inject("channels:truncate")


def test_it_speaks_nothing_but_http2(lister: Lister) -> None:
    context = ssl.create_default_context(cafile=lister.apple.ca_path)
    with httpx.Client(verify=context) as client:
        assert client.get(lister.extra["channels_host"]).status_code == 505


def test_it_survives_its_process(start: Start, tmp_path: Path) -> None:
    options = {"state": tmp_path / "journal", "channels_port": 0, "tls_dir": tmp_path / "tls"}
    apple = start(**options).apple
    created, (deleted, *_) = apple.create_channel(), apple.channel_ids
    apple.delete_channel(deleted)
    again = start(**options).apple
    assert again.channel_ids == apple.channel_ids
    assert created in again.channel_ids
    ours, theirs = (json.loads(each.connection_json)["extra"] for each in (apple, again))
    assert ours["private_key"] == theirs["private_key"]


def test_it_restarts_on_its_port(lister: Lister) -> None:
    port = lister.apple.channels_port
    lister.apple.restart()
    assert lister.apple.channels_port == port
    lister.http.close()
    assert Lister(lister.apple, lister.clock).ask()[0] == 200


def test_without_the_port_there_is_no_key(client: Client) -> None:
    assert set(json.loads(client.apple.connection_json)["extra"]) == {"app_id"}
    assert client.apple.ca_path is None


def test_the_program_shows_its_key() -> None:
    command = [sys.executable, "-m", "airflow_provider_apns.emulator", "--port", "0", "--channels-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        process.terminate()
    extra = json.loads(line.partition("='")[2].partition("'")[0])["extra"]
    assert extra["private_key"].startswith("-----BEGIN PRIVATE KEY-----\n")
    assert extra["channels_host"].startswith("https://127.0.0.1:")
    assert " - trust: " in line


@pytest.mark.apns_emulator(conn_id="apns_tv", app_id="com.example.tv", channels=1, channels_port=0)
@pytest.mark.apns_emulator(channels=2, channels_port=0)
def test_the_fixture_stands_for_several_apps(apns_emulator: Emulator, apns_emulators: dict[str, Emulator]) -> None:
    from airflow_provider_apns.hooks.apns import ApnsHook

    assert apns_emulator is apns_emulators["apns_default"]
    assert len(ApnsHook().list_channels()) == 2
    assert ApnsHook("apns_tv").list_channels() == list(apns_emulators["apns_tv"].channel_ids)
    assert apns_emulators["apns_tv"].app_id == "com.example.tv"
