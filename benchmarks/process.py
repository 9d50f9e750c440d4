"""Processes to measure in, all alike: the same interpreter, an Airflow of their own, nothing of the caller's shell."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class Bench:
    """Where measured processes run.

    :param folder: for everything they write; AIRFLOW_HOME is in it
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        home = folder / "airflow"
        home.mkdir()
        hidden = ("AIRFLOW_", "PYTHON")
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(hidden)} | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
            "PYTHONPATH": str(ROOT),
            "PYTHONHASHSEED": "0",
        }
        self.python("-c", "import airflow.models")  # writes airflow.cfg, and byte code that installing has left out

    def python(self, *arguments: str, given: Any = None, env: Mapping[str, str] | None = None) -> str:
        """Run Python and return what it prints; what it is given comes as JSON on its standard input."""
        return self.run(*arguments, given=given, env=env).stdout

    def run(
        self, *arguments: str, given: Any = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Python, and raise if it fails."""
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
        return outcome

    def client(self, name: str, server: Mapping[str, Any] | None = None, **given: Any) -> dict[str, Any]:
        """Run a program of ``benchmarks.clients`` that trusts the server; return its last line, which is JSON."""
        ca = str(server["ca"]) if server else ""
        env = {name: ca for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if ca}
        if server:
            env["AIRFLOW_CONN_APNS_DEFAULT"] = json.dumps(server["connection"])
        output = self.python("-m", f"benchmarks.clients.{name}", given={"server": server, **given}, env=env)
        answer: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        return answer

    @contextmanager
    def server(self, name: str, **options: Any) -> Iterator[dict[str, Any]]:
        """Run a program of ``benchmarks.servers``; give what it says of itself."""
        command = [sys.executable, "-m", f"benchmarks.servers.{name}", json.dumps(options)]
        process = subprocess.Popen(
            command, cwd=self.folder, env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin
        assert process.stdout
        try:
            announcement: dict[str, Any] = json.loads(process.stdout.readline())
            yield {**announcement, "pid": process.pid}
        finally:
            process.stdin.close()
            process.wait(timeout=60)
            process.stdout.close()


@contextmanager
def bench() -> Iterator[Bench]:
    folder = Path(tempfile.mkdtemp(prefix="apns-bench-"))
    try:
        yield Bench(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ledger(server: Mapping[str, Any]) -> dict[str, Any]:
    """Ask an emulator over plain http or TLS what it has seen; the connection of this question is not counted."""
    import ssl

    context = ssl.create_default_context(cafile=server["ca"]) if server["ca"] else None
    with urllib.request.urlopen(f"{server['url']}/_emulator/ledger", context=context) as answer:
        seen: dict[str, Any] = json.load(answer)
    return {**seen, "connections": seen["connections"] - 1}


def in_turn(
    variants: Mapping[str, Callable[[], dict[str, float]]], rounds: int, say: Callable[[str], None]
) -> dict[str, dict[str, float]]:
    """Run each variant once per round, one after the other; return the medians of all that they have measured."""
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
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
