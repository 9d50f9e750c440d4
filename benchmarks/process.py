"""Processes to measure in, all alike: the same interpreter, an Airflow of their own, nothing of the caller's shell."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class Bench:
    """
    Where measured processes run.

    :param folder: for everything they write; AIRFLOW_HOME is in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        home = folder / "airflow"
        home.mkdir()
        self.env = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "PYTHON"))
        } | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
            "PYTHONPATH": str(ROOT),
            "PYTHONHASHSEED": "0",
        }
        self._python("-c", "import airflow.models")  # writes airflow.cfg, and byte code that installing has left out

    def _python(self, *arguments: str, given: Any = None, env: Mapping[str, str] | None = None) -> str:
        """Run Python and return what it prints; what it is given comes as JSON on its standard input."""
        outcome = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
        )
        if outcome.returncode:
            logs = "".join(path.read_text()[-2000:] for path in self.folder.glob("*.log"))
            told = f"{outcome.stdout[-2000:]}{outcome.stderr[-4000:]}{logs}"
            raise RuntimeError(f"{' '.join(arguments)[:200]} ended with {outcome.returncode}:\n{told}")
        return outcome.stdout

    def client(self, name: str, server: Mapping[str, Any] | None = None, **given: Any) -> dict[str, Any]:
        """Run a program of ``benchmarks.clients`` that trusts the server; return its last line, which is JSON."""
        env = {}
        if server:
            env["AIRFLOW_CONN_APNS_DEFAULT"] = json.dumps(server["connection"])
        if server and server["ca"]:
            env |= {"SSL_CERT_FILE": server["ca"], "REQUESTS_CA_BUNDLE": server["ca"]}
        output = self._python("-m", f"benchmarks.clients.{name}", given={"server": server, **given}, env=env)
        answer: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        return answer

    @contextmanager
    def server(self, **options: Any) -> Iterator[dict[str, Any]]:
        """Run ``benchmarks.server``; give what it says of itself, and under ``seen`` what it has seen at the end."""
        command = [sys.executable, "-m", "benchmarks.server", json.dumps(options)]
        with subprocess.Popen(
            command, cwd=self.folder, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin
            assert process.stdout
            announcement: dict[str, Any] = json.loads(process.stdout.readline())
            try:
                yield announcement
            finally:
                process.stdin.close()
                announcement["seen"] = json.loads(process.stdout.readline())


def in_turn(
    variants: Mapping[str, Callable[[], dict[str, Any]]], rounds: int, say: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Run each variant once per round, one after the other; return the medians of all that they have measured."""
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in variants}
    for number in range(rounds):
        for name, run in variants.items():
            figures = run()
            measured[name].append(figures)
            told = ", ".join(f"{key} {value:.4g}" for key, value in figures.items() if isinstance(value, (int, float)))
            say(f"  round {number + 1} of {rounds}, {name}: {told}")
    return {name: medians(found) for name, found in measured.items()}


def medians(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        key: statistics.median(figures[key] for figures in found) if isinstance(value, (int, float)) else value
        for key, value in found[0].items()
    }
