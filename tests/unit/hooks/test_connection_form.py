"""The connection's form: from the metadata since Airflow 3.2, through the hook before."""

from __future__ import annotations

import pytest

from airflow_provider_apns import get_provider_info
from airflow_provider_apns.hooks.apns import ApnsHook

(FORM,) = get_provider_info()["connection-types"]


def test_behaviour_is_that_of_the_metadata() -> None:
    behaviour = ApnsHook.get_ui_field_behaviour()
    assert behaviour["relabeling"] == {"login": "Team ID", "password": "Data export token", "host": "API host"}
    assert behaviour["hidden_fields"] == ["port", "schema", "extra"]
    assert set(behaviour["placeholders"]) == set(behaviour["relabeling"])


def test_widgets_are_those_of_the_metadata() -> None:
    pytest.importorskip("flask_appbuilder.fieldwidgets")
    widgets = ApnsHook.get_connection_form_widgets()
    assert list(widgets) == list(FORM["conn-fields"]) == ["app_id", "trusted_hosts"]
    assert widgets["app_id"].args == ("App bundle ID",)


def test_airflow_shows_it() -> None:
    pytest.importorskip("wtforms")
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    assert manager.hooks["apns"] is not None
    fields = [name for name in manager.connection_form_widgets if name.startswith("extra__apns__")]
    assert fields == ["extra__apns__app_id", "extra__apns__trusted_hosts"]
    assert manager.field_behaviours["apns"]["relabeling"]["password"] == "Data export token"
