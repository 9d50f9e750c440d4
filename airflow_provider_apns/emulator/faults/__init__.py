"""Everything that can go wrong on top of Apple's rules: each kind of fault by its name, and which are due when."""

from __future__ import annotations

# The kinds register themselves.
from airflow_provider_apns.emulator.faults import compression, connection, contents, redirects  # noqa: F401
from airflow_provider_apns.emulator.faults.fault import ENDPOINTS, KINDS, Fault, FaultBook, Scene, kinds_for, play

__all__ = ["ENDPOINTS", "KINDS", "Fault", "FaultBook", "Scene", "kinds_for", "play"]
