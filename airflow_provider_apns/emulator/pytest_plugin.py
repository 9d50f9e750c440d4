"""The fixtures ``apns_emulator`` and ``apns_emulators`` for users' own tests. pytest finds them by an entry point.

pytest loads this module at every start, so it imports nothing but pytest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_apns.emulator import Emulator


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, for ``--strict-markers``."""
    config.addinivalue_line(
        "markers",
        "apns_emulator(conn_id='apns_default', **options): the connection to the emulator of the fixture "
        "apns_emulator, and its settings, such as channels=300 or fail='delivery'. They are those of "
        "airflow_provider_apns.emulator.Settings. Repeat the marker with another conn_id for each app.",
    )


@pytest.fixture
def apns_emulators(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dict[str, Emulator]]:
    """Emulators of Apple's service by connection id. Each marker makes one, because a connection is for one app.

    For example: ``@pytest.mark.apns_emulator(conn_id="apns_tv", app_id="com.example.tv")``.
    """
    from airflow_provider_apns.emulator import Emulator

    running: dict[str, Emulator] = {}
    with ExitStack() as stack:
        for options in [marker.kwargs for marker in request.node.iter_markers("apns_emulator")] or [{}]:
            settings = {"tls_dir": tmp_path / "apns-emulator", **options}
            conn_id = settings.pop("conn_id", "apns_default")
            if conn_id in running:  # A closer marker has made it.
                continue
            running[conn_id] = emulator = stack.enter_context(Emulator(**settings))
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", emulator.connection_json)
            if emulator.ca_path:
                monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(emulator.ca_path))
        yield running


@pytest.fixture
def apns_emulator(apns_emulators: dict[str, Emulator]) -> Emulator:
    """An emulator of Apple's service on a free port. During the test, the connection ``apns_default`` leads to it.

    Its ``ledger`` has what Apple was asked for. ``inject("status:503")`` makes something go wrong. The marker
    ``@pytest.mark.apns_emulator(channels=300)`` changes its settings. If there are several markers, the last one
    counts.
    """
    return next(iter(apns_emulators.values()))
