"""A local stand-in for Apple's APNs data export service, for trying and testing DAGs.

From a shell: ``python -m airflow_provider_apns.emulator --port 8585``. From a test::

    with Emulator(channels=300, processing_seconds=1) as apple:
        ...  # use apple.connection_json, then look at apple.ledger

The emulator states Apple's rules independently of the provider's client code. If the two understand the service
differently, a test shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_apns.emulator.faults import Fault
    from airflow_provider_apns.emulator.ledger import Ledger
    from airflow_provider_apns.emulator.server import Emulator
    from airflow_provider_apns.emulator.settings import Settings

__all__ = ["Emulator", "Fault", "Ledger", "Settings"]

_HOMES = {"Emulator": "server", "Fault": "faults", "Ledger": "ledger", "Settings": "settings"}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that importing the package costs next to nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
