"""What the integration tests share: days that Apple can deliver, and waits that are as short as can be."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest


@pytest.fixture
def yesterday() -> date:
    """The newest day that can be asked for; a suite that runs over midnight in UTC has bad luck."""
    return datetime.now(timezone.utc).date() - timedelta(days=1)


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at exports at once: ``dag.test()`` has no scheduler for which a resumed task would come too early."""
    from airflow_provider_apns.protocol import retries
    from airflow_provider_apns.triggers import apns as triggers

    monkeypatch.setitem(triggers._WaitingTrigger.__init__.__kwdefaults__, "first_delay", 0.0)
    monkeypatch.setattr(retries, "FIRST_POLL_DELAY", 0.1)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once, however long the rules would wait."""
    from airflow_provider_apns.protocol import retries

    monkeypatch.setattr(retries, "retry_delay", lambda error, tries: 0.01)
