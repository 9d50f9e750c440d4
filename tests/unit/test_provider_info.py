from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest

import airflow_provider_apns
from airflow_provider_apns import get_provider_info

INFO = get_provider_info()
(CONNECTION,) = INFO["connection-types"]


def modules() -> Iterator[str]:
    for kind in ("hooks", "triggers", "sensors", "operators"):
        for entry in INFO[kind]:
            yield from entry["python-modules"]
    for entry in INFO["transfers"]:
        yield entry["python-module"]


def classes() -> Iterator[str]:
    yield CONNECTION["hook-class-name"]
    yield from INFO["extra-links"]


def load(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def test_is_valid_against_airflows_own_schema() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(INFO, schema)


@pytest.mark.parametrize("module", list(modules()))
def test_every_module_imports(module: str) -> None:
    assert import_module(module).__doc__


@pytest.mark.parametrize("path", list(classes()))
def test_every_class_is_there(path: str) -> None:
    assert isinstance(load(path), type)


def test_every_module_of_those_kinds_is_named() -> None:
    package = Path(airflow_provider_apns.__file__).parent
    found = {
        f"airflow_provider_apns.{kind}.{file.stem}"
        for kind in ("hooks", "triggers", "sensors", "operators", "transfers")
        for file in (package / kind).glob("apns*.py")
    }
    assert set(modules()) == found


def test_every_integration_is_described() -> None:
    described = {entry["integration-name"] for entry in INFO["integrations"]}
    named = {
        entry["integration-name"] for kind in ("hooks", "triggers", "sensors", "operators") for entry in INFO[kind]
    }
    assert named == described


def test_the_hook_says_the_same_as_the_metadata() -> None:
    hook = load(CONNECTION["hook-class-name"])
    assert (hook.conn_type, hook.hook_name) == (CONNECTION["connection-type"], CONNECTION["hook-name"])
    assert hook.default_conn_name == "apns_default"
    assert hook.conn_name_attr == "apns_conn_id"


def test_the_connection_form_needs_no_import_of_the_hook() -> None:
    fields = CONNECTION["conn-fields"]
    assert set(fields) == {"app_id", "key_id", "private_key", "channels_host", "trusted_hosts"}
    for field in fields.values():
        assert field["label"]
        jsonschema.Draft7Validator.check_schema(field["schema"])
        jsonschema.validate(None, field["schema"])
        jsonschema.validate("com.example.app", field["schema"])
    behaviour = CONNECTION["ui-field-behaviour"]
    assert behaviour["relabeling"]["login"] == "Team ID"
    assert behaviour["relabeling"]["password"] == "Data export token"
    assert set(behaviour["hidden-fields"]).isdisjoint(behaviour["relabeling"])


def test_the_version_is_the_packages() -> None:
    assert INFO["versions"] == [airflow_provider_apns.__version__]


def test_the_entry_point_leads_here() -> None:
    found = [
        point
        for point in entry_points(group="apache_airflow_provider")
        if point.dist and point.dist.name == INFO["package-name"]
    ]
    if not found:
        pytest.skip("the package is not installed here")
    assert found[0].load() is get_provider_info
