"""Ten thousand channels, the most that Apple allows an app, in one task."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import batch_job

pytestmark = [pytest.mark.integration, pytest.mark.slow]

CHANNELS = 10_000


@pytest.fixture
def url() -> Iterator[str]:
    """An emulator in a process of its own."""
    command = [sys.executable, "-m", "airflow_provider_apns.emulator", "--port", "0", "--processing-seconds", "0"]
    with subprocess.Popen([*command, "--channels", str(CHANNELS)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            match = re.search(r"listening on (\S+)", process.stdout.readline())
            assert match
            yield match[1]
        finally:
            process.terminate()


def run(kind: str, url: str, output: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.integration.batch_job", kind, url, str(output)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout[-3000:] + outcome.stderr[-3000:]
    return dict(json.loads(outcome.stdout.splitlines()[-1]))


def test_ten_thousand_channels(url: str, tmp_path: Path) -> None:
    output = tmp_path / "channels.csv"
    ours = run("operator", url, output)
    ledger = batch_job.ask(f"{url}/_emulator/ledger")
    bare = run("bare", url, output)
    sys.stdout.write(f"\noperator: {ours}\nbare aiohttp: {bare}\nratio: {ours['seconds'] / bare['seconds']:.2f}\n")

    assert ours["rows"] == bare["rows"] == len(output.read_bytes().splitlines()) - 1 == batch_job.DAYS * CHANNELS
    assert ledger["posts"] == ledger["exports_created"] == ledger["downloads"] == CHANNELS
    assert ledger["max_in_flight"] <= batch_job.CONCURRENCY
    assert ledger["violations"] == []

    assert ours["megabytes"] < 150  # over what Airflow itself takes
    again = run("operator", url, output)  # which merges its rows with those that are stored
    assert (again["rows"], again["megabytes"] < 200) == (ours["rows"], True), again
    assert ours["seconds"] < 3 * bare["seconds"]
    assert max(ours["bytes"].values()) < 1_000_000
