"""The connection: its form, from the metadata since Airflow 3.2, through the hook before; and how it is read."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_apns import get_provider_info
from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import ApnsConnectionError, ApnsTokenError
from airflow_provider_apns.hooks.apns import ApnsHook
from tests.unit.conftest import Connect, StartApple
from tests.unit.helpers import day, traceback_with_locals
from tests.unit.hooks.conftest import Transport

FIELDS = ["app_id", "key_id", "private_key", "channels_host", "trusted_hosts"]
(FORM,) = get_provider_info()["connection-types"]


def test_behaviour_is_that_of_the_metadata() -> None:
    behaviour = ApnsHook.get_ui_field_behaviour()
    assert behaviour["relabeling"] == {"login": "Team ID", "password": "Data export token", "host": "API host"}
    assert behaviour["hidden_fields"] == ["port", "schema", "extra"]
    assert set(behaviour["placeholders"]) == set(behaviour["relabeling"])


def test_widgets_are_those_of_the_metadata() -> None:
    pytest.importorskip("flask_appbuilder.fieldwidgets")
    widgets = ApnsHook.get_connection_form_widgets()
    assert list(widgets) == list(FORM["conn-fields"]) == FIELDS
    assert widgets["app_id"].args == ("App bundle ID",)
    hidden = [name for name, widget in widgets.items() if widget.field_class.__name__ == "PasswordField"]
    assert hidden == ["private_key"]


def test_airflow_shows_it() -> None:
    pytest.importorskip("wtforms")
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert manager.hooks["apns"] is not None
    fields = [name for name in manager.connection_form_widgets if name.startswith("extra__apns__")]
    assert fields == [f"extra__apns__{name}" for name in FIELDS]
    assert manager.field_behaviours["apns"]["relabeling"]["password"] == "Data export token"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"login": ""}, "has no Team ID"),
        ({"password": "a tok\nen"}, "copy it again"),
        ({"extra": {}}, "has no App bundle ID"),
    ],
)
async def test_one_that_cannot_work_reaches_no_server(
    hook: Transport, apple: Emulator, connect: Connect, changes: dict[str, Any], told: str
) -> None:
    connect(apple, **changes)
    with pytest.raises(ApnsConnectionError, match=told) as raised:
        await hook.request()
    assert apple.ledger.connections == 0
    assert "a tok" not in traceback_with_locals(raised.value)


@pytest.mark.parametrize(("days", "warned"), [(13.5, 1), (15, 0)])
def test_a_request_warns_of_a_token_from_14_days_before_it_expires(
    start_apple: StartApple, logs: pytest.LogCaptureFixture, days: float, warned: int
) -> None:
    start_apple(jwt=True, token_expires_in_days=days)
    hook = ApnsHook()
    hook.get_export(hook.request_export("delivery", day(-7), day(-1)).status_url)
    assert logs.text.count("in 13 days. Make a new data export token") == warned


async def test_one_that_has_expired_reaches_no_server(hook: Transport, start_apple: StartApple) -> None:
    apple = start_apple(jwt=True, token_expires_in_days=-1)
    with pytest.raises(ApnsTokenError, match=r"expired on \d{4}-\d\d-\d\d.*CloudKit Console"):
        await hook.request()
    assert apple.ledger.connections == 0
