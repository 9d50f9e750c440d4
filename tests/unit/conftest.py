"""An emulator with the connection that leads to it, quick retries, and what tests ask of both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings

from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import ApnsServiceError
from airflow_provider_apns.protocol import retries

settings.register_profile("unit", deadline=None, max_examples=100, print_blob=True)
settings.load_profile("unit")

Connect = Callable[..., None]
StartApple = Callable[..., Emulator]


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Make the connection ``apns_default`` lead to an emulator, but for some of its fields."""

    def _connect(apple: Emulator, **changes: Any) -> None:
        fields = json.loads(apple.connection_json) | changes
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", json.dumps(fields))

    return _connect


@pytest.fixture
def start_apple(connect: Connect) -> Iterator[StartApple]:
    """Start an emulator with the options that a test wants; the connection leads to the latest one."""
    running: list[Emulator] = []

    def _start(**options: Any) -> Emulator:
        apple = Emulator(**options).start()
        running.append(apple)
        connect(apple)
        return apple

    yield _start
    for apple in running:
        apple.close()


@pytest.fixture
def apple(start_apple: StartApple) -> Iterator[Emulator]:
    """An emulator whose exports are ready at once; at the end the token must not have been anywhere else."""
    emulator = start_apple()
    yield emulator
    assert emulator.ledger.violations == []


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Make retries follow at once; gives the waits that there would have been."""
    waits: list[float] = []
    genuine = retries.retry_delay

    def quick(error: ApnsServiceError, tries: int) -> float:
        waits.append(genuine(error, tries))
        return 0.001

    monkeypatch.setattr(retries, "retry_delay", quick)
    return waits
