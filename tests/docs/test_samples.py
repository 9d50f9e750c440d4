"""Every code sample of README.md and docs/ works; see samples.py for how."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import sqlglot

from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.triggers.apns import ApnsBatchTrigger, ApnsExportTrigger
from tests.docs.samples import Sample, samples
from tests.support.dag_test import run_dag
from tests.support.s3 import S3Server, s3_server

pytestmark = pytest.mark.integration

SAMPLES = samples()
PLUGIN = (
    "-p",
    "no:airflow_provider_apns",
    "-p",
    "airflow_provider_apns.emulator.pytest_plugin",
    "-p",
    "no:cacheprovider",
)
CONNECTIONS = ("DEFAULT", "CHANNEL", "EXAMPLE_APPLICATION", "EXAMPLE_DELIVERY")


def of_kind(*kinds: str) -> pytest.MarkDecorator:
    found = [sample for sample in SAMPLES if sample.kind in kinds]
    return pytest.mark.parametrize("sample", found, ids=lambda sample: sample.name)


def pages_with(kind: str, argument: str = "") -> dict[str, list[Sample]]:
    pages: dict[str, list[Sample]] = {}
    for sample in SAMPLES:
        if sample.kind == kind and sample.argument.startswith(argument):
            pages.setdefault(sample.page, []).append(sample)
    return pages


@pytest.fixture(scope="module")
def apple() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3") / "log.txt") as server:
        yield server


@pytest.fixture
def connections(apple: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connections and variables that the samples use."""
    for name in CONNECTIONS:
        monkeypatch.setenv(f"AIRFLOW_CONN_APNS_{name}", apple.connection_json)
    monkeypatch.setenv("AIRFLOW_VAR_APNS_CHANNEL_IDS", json.dumps(apple.channel_ids))


def run(command: list[str], folder: Path, **env: str) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"} | env
    outcome = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_all_kinds_are_known() -> None:
    known = {"bash", "dag", "emulator", "file", "not", "pytest", "script", "sql"}
    assert {sample.kind for sample in SAMPLES} <= known
    assert len(SAMPLES) > 30


@of_kind("dag")
@pytest.mark.usefixtures("airflow_db", "connections")
def test_dag(sample: Sample, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MY_AWS", s3.connection)
    for trigger in (ApnsExportTrigger, ApnsBatchTrigger):
        # In one process, nothing has to wait for a worker to be gone.
        monkeypatch.setitem(trigger.__init__.__kwdefaults__, "first_delay", 0.0)
    path = tmp_path / "sample.py"
    path.write_text(sample.text)
    result = run_dag(path)
    assert result.state == "success", result.states()


@of_kind("script")
@pytest.mark.usefixtures("connections")
def test_script(sample: Sample, tmp_path: Path) -> None:
    program = sample.text.replace("file:///tmp/apns", f"file://{tmp_path}")
    run([sys.executable, "-c", program], tmp_path)


@of_kind("pytest")
def test_test(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(sample.text)
    run([sys.executable, "-m", "pytest", *PLUGIN, "."], tmp_path)


@pytest.mark.parametrize("page", pages_with("file"))
def test_project(page: str, tmp_path: Path) -> None:
    for sample in pages_with("file")[page]:
        path = tmp_path / sample.argument
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(sample.text)
    environment = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db"}
    run([sys.executable, "-m", "pytest", *PLUGIN, "."], tmp_path, **environment)


@of_kind("bash")
@pytest.mark.usefixtures("connections")
def test_command(sample: Sample, airflow_db: Path, apple: Emulator, tmp_path: Path) -> None:
    """A command works, in an Airflow where nothing has been done but what the command itself begins by undoing."""
    home = tmp_path / "airflow"
    home.mkdir()
    (home / "airflow.db").write_bytes(airflow_db.read_bytes())
    env = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "APNS_TOKEN": apple.token,
    }
    if deleted := re.search(r"connections delete (\S+)", sample.text):
        run(["airflow", "connections", "add", deleted[1], "--conn-type", "apns"], tmp_path, **env)
    run(["bash", "-euo", "pipefail", "-c", sample.text], tmp_path, **env)


@of_kind("emulator")
def test_emulator(sample: Sample, tmp_path: Path) -> None:
    command = re.sub(r"--port \d+", "--port 0", sample.text.strip()).split()
    assert command[0] == "python"
    with subprocess.Popen([sys.executable, *command[1:]], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert "APNs emulator listening on http://127.0.0.1:" in process.stdout.readline()
        finally:
            process.terminate()
    assert process.returncode == 0


@of_kind("not")
def test_syntax(sample: Sample, tmp_path: Path) -> None:
    assert sample.argument.startswith("run, because ")
    if sample.language == "python":
        ast.parse(sample.text)
    else:
        run(["bash", "-n", "-c", sample.text], tmp_path)


@pytest.fixture
def lake(apple: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with some days of Parquet, as an operator has written them."""
    from datetime import datetime, timedelta, timezone

    from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

    monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", apple.connection_json)
    today = datetime.now(timezone.utc).date()
    ApnsToObjectStorageOperator(
        task_id="lake",
        dataset="application",
        start_date=today - timedelta(days=14),
        end_date=today - timedelta(days=1),
        path=f"file://{tmp_path}/lake/day={{date}}/metrics.parquet",
        output_format="parquet",
        deferrable=False,
        poke_interval=0.1,
    ).execute({})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", pages_with("sql", "duckdb"))
@pytest.mark.usefixtures("lake")
def test_duckdb(page: str) -> None:
    statements = [sample.text for sample in pages_with("sql", "duckdb")[page]]
    database = duckdb.connect()
    if not any("CREATE TABLE" in text for text in statements):
        database.execute("CREATE TABLE push_metrics AS SELECT * FROM read_parquet('lake/*/*.parquet')")
    for _ in range(2):  # a day that is loaded twice is still there once
        for text in statements:
            result = database.execute(text).fetchall()
    assert result
    assert database.execute("SELECT count(*), count(DISTINCT date) FROM push_metrics").fetchall() == [(14, 14)]


@of_kind("sql")
def test_sql_syntax(sample: Sample) -> None:
    for statement in sqlglot.parse(sample.text, read=sample.argument):
        assert statement is not None
        assert not isinstance(statement, sqlglot.exp.Command), f"not understood: {statement}"
