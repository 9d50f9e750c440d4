"""The fixtures ``apns_emulator`` and ``apns_emulators`` for users' own tests; pytest finds them where this package is.

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
    """Make the marker known, for those who use ``--strict-markers``."""
    config.addinivalue_line(
        "markers",
        "apns_emulator(conn_id='apns_default', **options): an emulator of the fixture apns_emulator, the connection "
        "that leads to it, and its settings, such as channels=300 or fail='delivery'; those of "
        "airflow_provider_apns.emulator.Settings. Repeatable, with another conn_id for each app.",
    )


@pytest.fixture
def apns_emulators(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dict[str, Emulator]]:
    """
    Emulators of Apple's service by connection: one for each marker, as a connection of Apple's is for one app.

    ``@pytest.mark.apns_emulator(conn_id="apns_tv", app_id="com.example.tv")`` makes one of them.
    """
    from airflow_provider_apns.emulator import Emulator

    running: dict[str, Emulator] = {}
    with ExitStack() as stack:
        for options in [marker.kwargs for marker in request.node.iter_markers("apns_emulator")] or [{}]:
            settings = {"tls_dir": tmp_path / "apns-emulator", **options}
            conn_id = settings.pop("conn_id", "apns_default")
            if conn_id in running:  # by a marker that is closer
                continue
            running[conn_id] = emulator = stack.enter_context(Emulator(**settings))
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", emulator.connection_json)
            if emulator.ca_path:
                monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(emulator.ca_path))
        yield running


@pytest.fixture
def apns_emulator(apns_emulators: dict[str, Emulator]) -> Emulator:
    """
    An emulator of Apple's service on a free port, to which the connection ``apns_default`` leads during the test.

    What Apple was asked for is in its ``ledger`` afterwards; ``inject("status:503")`` lets something go wrong. The
    marker ``@pytest.mark.apns_emulator(channels=300)`` changes its settings. Of several, it is that of the last marker.
    """
    return next(iter(apns_emulators.values()))
