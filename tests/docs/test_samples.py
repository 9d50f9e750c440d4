"""Every code sample of README.md and docs/ works; see samples.py for how."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import duckdb
import pytest
import sqlglot

from airflow_provider_apns.emulator import Emulator
from tests.docs.samples import Sample, samples
from tests.support.dag_test import run_dag
from tests.support.s3 import S3Server, s3_server

pytestmark = pytest.mark.integration

SAMPLES = list(samples())
# Where the package is not installed, its plugin for pytest must be named.
PYTEST = [sys.executable, "-m", "pytest", "-p", "no:airflow_provider_apns", "-p", "no:cacheprovider"]
PYTEST += ["-p", "airflow_provider_apns.emulator.pytest_plugin", "."]
DATASETS = ("application", "channel", "delivery")
APPS = ("shop", "news", "chat")
CONNECTIONS = ["default", "channel", "delivery", *(f"{app}_{dataset}" for app in APPS for dataset in DATASETS)]


def of_kind(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample.kind == kind], ids=str)


def pages_with(kind: str, argument: str = "") -> pytest.MarkDecorator:
    found = [sample for sample in SAMPLES if sample.kind == kind and sample.argument.startswith(argument)]
    pages = [list(page) for _, page in groupby(found, lambda sample: sample.page)]
    return pytest.mark.parametrize("page", pages, ids=lambda page: page[0].page)


@pytest.fixture(scope="module")
def apple() -> Iterator[Emulator]:
    with Emulator(channels_port=0) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3") / "log.txt") as server:
        yield server


@pytest.fixture
def connections(apple: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connections and variables that the samples use."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(apple.ca_path))
    for name in CONNECTIONS:
        monkeypatch.setenv(f"AIRFLOW_CONN_APNS_{name.upper()}", apple.connection_json)
    monkeypatch.setenv("AIRFLOW_VAR_APNS_CHANNEL_IDS", json.dumps(apple.channel_ids))


def run(command: list[str], folder: Path, **env: str) -> str:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"} | env
    outcome = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout


def test_all_kinds_are_known() -> None:
    known = {"bash", "coverage", "dag", "emulator", "file", "json", "not", "pytest", "s3", "script", "sql", "tasks"}
    assert {sample.kind for sample in SAMPLES} <= known
    assert len(SAMPLES) > 30


def in_dag(tasks: str) -> str:
    """Put tasks into the DAG that the manual shows once."""
    (dag,) = (s.text for s in SAMPLES if s.page == "docs/how-to/keep-complete.md" and s.kind == "dag")
    return dag.partition("    ApnsToObjectStorageOperator(")[0] + textwrap.indent(tasks, "    ")


@pytest.mark.parametrize("by_hand", [False, True], ids=["scheduled or backfilled", "by hand or by an asset"])
@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample.kind in ("dag", "tasks")], ids=str)
@pytest.mark.usefixtures("airflow_db", "connections")
def test_dag(sample: Sample, by_hand: bool, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_apns.triggers.apns import _WaitingTrigger

    monkeypatch.setenv("AIRFLOW_CONN_MY_AWS", s3.connection)
    # In one process, nothing has to wait for a worker to be gone.
    monkeypatch.setitem(_WaitingTrigger.__init__.__kwdefaults__, "first_delay", 0.0)
    path = tmp_path / "sample.py"
    path.write_text(in_dag(sample.text) if sample.kind == "tasks" else sample.text)
    for dag_id in re.findall(r'dag_id="(\w+)"', path.read_text()):
        result = run_dag(path, dag_id, by_hand=by_hand, retries=0)
        assert result.state == "success", result.states()


@of_kind("coverage")
def test_coverage(sample: Sample, s3: S3Server, tmp_path: Path) -> None:
    command = f"{sample.text.strip()} || test $? = 1"
    calendar = run(["bash", "-euc", command], tmp_path, AIRFLOW_CONN_MY_AWS=s3.connection)
    assert "before the first stored day" in calendar


@of_kind("s3")
def test_s3_environment(sample: Sample, s3: S3Server, tmp_path: Path) -> None:
    program = (
        "from airflow_provider_apns.storage import object_path, publish\n"
        "publish(object_path('s3://my_aws@metrics/encrypted.csv'), b'', 'text/csv')\n"
    )
    publish = f'{sample.text}\n"{sys.executable}" -c "{program}"'
    run(["bash", "-euc", publish], tmp_path, AIRFLOW_CONN_MY_AWS=s3.connection)
    head = s3.client.head_object(Bucket=s3.bucket, Key="encrypted.csv")
    assert head["ServerSideEncryption"] == "aws:kms"


@of_kind("json")
def test_json(sample: Sample, airflow_db: Path, tmp_path: Path) -> None:
    """It is JSON, and Airflow takes the connections in it."""
    content = json.loads(sample.text)
    connections = {"one": content} if "conn_type" in content else content
    if "Statement" in content:
        return
    (tmp_path / "connections.json").write_text(json.dumps(connections))
    (tmp_path / "airflow.db").write_bytes(airflow_db.read_bytes())
    database = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db"}
    run(["airflow", "connections", "import", "connections.json"], tmp_path, **database)
    listed = run(["airflow", "connections", "list", "--output", "plain"], tmp_path, **database)
    assert all(name in listed for name in connections)


@of_kind("script")
@pytest.mark.usefixtures("connections")
def test_script(sample: Sample, tmp_path: Path) -> None:
    program = sample.text.replace("file:///tmp/apns", f"file://{tmp_path}")
    run([sys.executable, "-c", program], tmp_path)


@of_kind("pytest")
def test_test(sample: Sample, tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text(sample.text)
    run(PYTEST, tmp_path)


@pages_with("file")
def test_project(page: list[Sample], tmp_path: Path) -> None:
    for sample in page:
        path = tmp_path / sample.argument
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(sample.text)
    run(PYTEST, tmp_path, AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{tmp_path}/airflow.db")


@of_kind("bash")
@pytest.mark.usefixtures("connections")
def test_command(sample: Sample, airflow_db: Path, apple: Emulator, tmp_path: Path) -> None:
    """A command works, in an Airflow where nothing has been done yet."""
    home = tmp_path / "airflow"
    home.mkdir()
    (home / "airflow.db").write_bytes(airflow_db.read_bytes())
    env = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "APNS_TOKEN": apple.token,
    }
    run(["bash", "-euo", "pipefail", "-c", sample.text], tmp_path, **env)


@of_kind("emulator")
def test_emulator(sample: Sample) -> None:
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
    elif sample.language == "bash":
        run(["bash", "-n", "-c", sample.text], tmp_path)


@pytest.fixture
def lake(connections: None, apple: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Apple's thirty days of each dataset in Parquet, as an operator has written them."""
    from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

    for dataset in DATASETS:
        ApnsToObjectStorageOperator(
            task_id="lake",
            dataset=dataset,
            channel_ids=apple.channel_ids if dataset == "channel" else None,
            path=f"file://{tmp_path}/lake/{dataset}/app={{app_id}}/day={{date}}/metrics.parquet",
            deferrable=False,
            poke_interval=0.1,
        ).execute({})
    monkeypatch.chdir(tmp_path)


@pages_with("sql", "duckdb")
@pytest.mark.usefixtures("lake")
def test_duckdb(page: list[Sample]) -> None:
    """What is loaded twice is there once, and what is there of other apps stays."""
    for dataset in {sample.argument.split()[1] for sample in page}:
        statements = [sample.text for sample in page if sample.argument == f"duckdb {dataset}"]
        table, rows = f"push_{dataset}", f"read_parquet('lake/{dataset}/*/*/*.parquet', hive_partitioning = false)"
        database = duckdb.connect()
        database.execute(f"CREATE TABLE {table} AS SELECT * REPLACE ('com.example.other' AS app_id) FROM {rows}")
        expected = database.execute(f"SELECT count(*) FROM {table}").fetchall()
        for _ in range(2):
            for text in statements:
                result = database.execute(text).fetchall()
        assert result
        apps = ["com.example.other"]
        if any("INSERT" in text for text in statements):
            apps.append("com.example.app")
        for app in apps:
            assert database.execute(f"SELECT count(*) FROM {table} WHERE app_id = '{app}'").fetchall() == expected


@of_kind("sql")
def test_sql_syntax(sample: Sample) -> None:
    for statement in sqlglot.parse(sample.text, read=sample.argument.split()[0]):
        assert statement is not None
        assert not isinstance(statement, sqlglot.exp.Command), f"not understood: {statement}"
