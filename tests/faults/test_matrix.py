"""A part of the fault matrix that has every fault; `make fault-matrix` runs all of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.plan import ENDPOINTS, MODES, cells, faults, stratified

ROOT = Path(__file__).parents[2]


def test_the_part_has_every_fault_and_every_mode() -> None:
    part = stratified()
    assert {cell[:2] for cell in part} == {(endpoint, fault) for endpoint in ENDPOINTS for fault in faults(endpoint)}
    assert {cell.mode for cell in part} == set(MODES)
    assert set(part) <= set(cells())


@pytest.mark.slow
def test_nothing_is_lost(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.faults.matrix", "--part"]
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}
    outcome = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout[-5000:] + outcome.stderr[-5000:]
    assert re.search(r"^\d+ tried: \d+ fixed, \d+ refused clearly, 0 lost; 0 secrets in the logs", outcome.stdout, re.M)
