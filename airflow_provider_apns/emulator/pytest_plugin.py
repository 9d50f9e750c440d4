"""The fixture ``apns_emulator`` for users' own tests; pytest finds it by itself where this package is installed.

pytest loads this module at every start, so it imports nothing but pytest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_apns.emulator import Emulator

CONNECTION_VARIABLE = "AIRFLOW_CONN_APNS_DEFAULT"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, for those who use ``--strict-markers``."""
    config.addinivalue_line(
        "markers",
        "apns_emulator(**options): settings of the fixture apns_emulator, such as channels=300 or fail='delivery'; "
        "those of airflow_provider_apns.emulator.Settings.",
    )


@pytest.fixture
def apns_emulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """
    An emulator of Apple's service on a free port, to which the connection ``apns_default`` leads during the test.

    What Apple was asked for is in its ``ledger`` afterwards; ``inject("status:503")`` lets something go wrong. The
    marker ``@pytest.mark.apns_emulator(channels=300)`` changes its settings.
    """
    from airflow_provider_apns.emulator import Emulator

    marker = request.node.get_closest_marker("apns_emulator")
    with Emulator(**(marker.kwargs if marker else {})) as emulator:
        monkeypatch.setenv(CONNECTION_VARIABLE, emulator.connection_json)
        yield emulator
