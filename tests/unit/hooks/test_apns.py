"""What only the hook for workers does; what both do is in test_transports.py."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import ApnsError, ApnsInvalidRequestError, ApnsStorageError, ApnsTokenError
from airflow_provider_apns.hooks.apns import ApnsHook
from tests.unit.conftest import Connect, StartApple
from tests.unit.helpers import day
from tests.unit.hooks.conftest import WEEK


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("news", *WEEK), "Unknown dataset 'news'"),
        (("application", day(-1), day(-1)), "Apple does not export a single day"),
        (("channel", *WEEK), "channel_id is missing"),
    ],
)
def test_bad_arguments_reach_no_server(apple: Emulator, arguments: tuple[Any, ...], told: str) -> None:
    with pytest.raises(ApnsInvalidRequestError, match=told):
        ApnsHook().request_export(*arguments)
    assert apple.ledger.connections == 0


def test_the_session_is_kept_and_knows_no_token(apple: Emulator) -> None:
    hook = ApnsHook()
    for _ in range(3):
        hook.request_export("application", *WEEK)
    assert apple.ledger.connections == 1
    assert apple.token not in json.dumps(dict(hook.get_conn().headers))
    assert hook.get_conn().get(f"{apple.url}/v1/anything").status_code == 404


def test_a_replaced_token_is_picked_up(apple: Emulator, connect: Connect) -> None:
    hook = ApnsHook()
    export = hook.request_export("application", *WEEK)
    apple.rotate_token("the-new-token")
    with pytest.raises(ApnsTokenError, match="apns_default"):
        hook.get_export(export.status_url)
    assert apple.ledger.gets == 1
    connect(apple)
    assert hook.get_export(export.status_url).is_ready


class TestDownload:
    @pytest.fixture
    def destination(self, tmp_path: Path) -> Path:
        return tmp_path / "report.csv"

    def test_tells_what_was_written(self, apple: Emulator, destination: Path) -> None:
        hook = ApnsHook()
        download = hook.download_export(hook.request_export("application", *WEEK).status_url, str(destination))
        data = apple.csv("application", *WEEK)
        assert destination.read_bytes() == data
        assert (download.path, download.size) == (str(destination), len(data))
        assert download.sha256 == hashlib.sha256(data).hexdigest()

    def test_what_must_not_be_overwritten_stays_and_nothing_is_asked(self, apple: Emulator, destination: Path) -> None:
        destination.write_text("old")
        with pytest.raises(ApnsStorageError, match="already exists"):
            ApnsHook().download_export(f"{apple.url}/v1/x", str(destination), overwrite=False)
        assert destination.read_text() == "old"
        assert apple.ledger.records == []

    @pytest.mark.parametrize("fault", ["status:401", "status:failed", "download:cut-gzip", "download:bomb"])
    def test_one_that_fails_changes_nothing(
        self, apple: Emulator, destination: Path, short_waits: list[float], fault: str
    ) -> None:
        destination.write_text("old")
        apple.inject(f"{fault}:times=forever")
        hook = ApnsHook(max_bytes=100_000)
        with pytest.raises(ApnsError):
            hook.download_export(hook.request_export("application", *WEEK).status_url, str(destination))
        assert destination.read_text() == "old"
        assert [path.name for path in destination.parent.iterdir()] == ["report.csv"]


class TestTestConnection:
    @pytest.mark.parametrize("dataset", ["application", "channel", "delivery"])
    @pytest.mark.parametrize("token", ["", "an-opaque-token"])
    def test_tells_what_the_token_is_for(self, start_apple: StartApple, dataset: str, token: str) -> None:
        apple = start_apple(datasets=dataset, jwt=not token, token=token)
        expiry = "" if token else f" It expires on {(datetime.now(timezone.utc) + timedelta(days=180)).date()}."
        told = f"Apple accepts the token of team {apple.team_id} for the {dataset} dataset of {apple.app_id}.{expiry}"
        assert ApnsHook().test_connection() == (True, told)

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"login": ""}, "no Team ID: put your Apple Developer Team ID into Team ID (login)"),
            ({"password": ""}, "no data export token"),
            ({"extra": {}}, "no App bundle ID"),
            (
                {"extra": {"app_id": "com.example.other"}},
                "It is for app com.example.app, not com.example.other: put it",
            ),
            ({"login": "ANOTHER"}, "401"),
            ({"password": "wrong-token"}, "does not accept the data export token of connection 'apns_default'"),
            ({"host": "http://127.0.0.1:1"}, "No answer from http://127.0.0.1:1 to the request for the export"),
        ],
    )
    def test_what_is_missing_or_wrong(
        self, start_apple: StartApple, connect: Connect, short_waits: list[float], changes: dict[str, Any], told: str
    ) -> None:
        connect(start_apple(jwt=True), **changes)
        works, text = ApnsHook().test_connection()
        assert not works
        assert told in text
        assert "wrong-token" not in text
        assert short_waits == []

    def test_a_service_that_is_down_is_not_waited_for(self, apple: Emulator, short_waits: list[float]) -> None:
        apple.inject("request:503:times=forever")
        works, text = ApnsHook().test_connection()
        assert not works
        assert "503" in text
        assert apple.ledger.posts == 1
        assert short_waits == []

    def test_no_such_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hook = ApnsHook()
        monkeypatch.setattr(hook, "get_connection", lambda conn_id: (_ for _ in ()).throw(LookupError("not defined")))
        assert hook.test_connection() == (False, "LookupError: not defined")
