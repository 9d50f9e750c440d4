"""The fixture for users' own tests; tests/release tries it in an environment that has only the wheel and pytest."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

# The plugin by its module, and not by its entry point as well: this works in a checkout that was never installed.
PLUGIN = (
    "-p",
    "no:airflow_provider_apns",
    "-p",
    "airflow_provider_apns.emulator.pytest_plugin",
    "-p",
    "no:cacheprovider",
)


def test_starts_the_emulator_and_sets_the_connection(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import json, os, socket

        def test_connection(apns_emulator):
            connection = json.loads(os.environ["AIRFLOW_CONN_APNS_DEFAULT"])
            assert connection["host"] == apns_emulator.url
            assert connection["password"] == apns_emulator.token
            socket.create_connection(("127.0.0.1", apns_emulator.port), timeout=5).close()

        def test_afterwards():
            assert "AIRFLOW_CONN_APNS_DEFAULT" not in os.environ
    """)
    pytester.runpytest_inprocess(*PLUGIN).assert_outcomes(passed=2)


def test_marker_changes_its_settings(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest

        @pytest.mark.apns_emulator(channels=3)
        def test_three(apns_emulator):
            assert len(apns_emulator.channel_ids) == 3

        def test_default(apns_emulator):
            assert len(apns_emulator.channel_ids) == 10
    """)
    pytester.runpytest_inprocess("--strict-markers", *PLUGIN).assert_outcomes(passed=2)


def test_loading_it_is_cheap() -> None:
    program = (
        "import sys, airflow_provider_apns.emulator.pytest_plugin\n"
        "print(sorted({'airflow', 'aiohttp', 'requests', 'pendulum', 'sqlalchemy', 'asyncio'} & set(sys.modules)))"
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"
