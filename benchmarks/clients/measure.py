"""What a measured process is given, and what it says of itself."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any

TOKEN_HEADER = "X-Apple-CloudKit-Management-Token"


def given() -> dict[str, Any]:
    """Return what the process was given."""
    arguments: dict[str, Any] = json.load(sys.stdin)
    return arguments


def say(**figures: Any) -> None:
    """Hand the figures back."""
    print(json.dumps(figures), flush=True)


def log_as_in_airflow(path: str) -> None:
    """Write logs as a task or a trigger does in its process: rendered as JSON, one unbuffered write for each line."""
    from airflow.sdk.log import configure_logging

    configure_logging(json_output=True, output=open(path, "ab", buffering=0), sending_to_supervisor=True)  # noqa: SIM115


def memory(field: str) -> float:
    """Return this process's memory in bytes: ``VmRSS`` is what it has, ``VmHWM`` the most that it had."""
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def forget_peak() -> None:
    """Let ``VmHWM`` begin again."""
    Path("/proc/self/clear_refs").write_text("5")
