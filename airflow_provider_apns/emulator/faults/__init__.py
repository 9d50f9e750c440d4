"""Everything that can go wrong on top of Apple's rules: the kinds of faults, and which fault is due."""

from __future__ import annotations

# The kinds register themselves.
from airflow_provider_apns.emulator.faults import compression, connection, contents, redirects  # noqa: F401
from airflow_provider_apns.emulator.faults.fault import ENDPOINTS, KINDS, Fault, FaultBook, Scene, play

__all__ = ["ENDPOINTS", "KINDS", "Fault", "FaultBook", "Scene", "play"]
