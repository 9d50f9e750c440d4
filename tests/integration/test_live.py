"""A whole deployment of separate processes, with DEBUG logs: what only a scheduler and a triggerer can show."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import psutil
import pyarrow.parquet as pq
import pytest

from airflow_provider_apns import __version__
from airflow_provider_apns.emulator import Emulator
from tests.integration.foreign_server import ForeignServer
from tests.support.airflow_live import AirflowDeployment
from tests.support.ports import free_ports
from tests.support.secrets_search import find_secrets

pytestmark = [pytest.mark.integration, pytest.mark.live, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
DAGS = Path(__file__).parent / "dags"
TOKEN = "live-token-" + os.urandom(16).hex()


class World(NamedTuple):
    """A deployment, and the servers that its connections lead to."""

    airflow: AirflowDeployment
    lake: Path
    apple: Emulator
    slow: Emulator
    failing: Emulator
    foreign: ForeignServer

    def wait(self, dag_id: str, **conf: object) -> tuple[str, dict[str, tuple[str | None, int]]]:
        """Run a DAG; return its state, and each task's with the number of its last try."""
        run = self.airflow.trigger(dag_id, conf=conf)
        state = self.airflow.wait_for_run(run)
        return state, {
            task.task_id: (task.state, task.try_number) for task in self.airflow.metadata.task_instances(run)
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home, lake = tmp_path_factory.mktemp("airflow"), tmp_path_factory.mktemp("lake")
    dags = home / "dags"
    shutil.copytree(ROOT / "example_dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(DAGS / "live.py", dags)
    with ExitStack() as stack:
        # Exports take longer than a trigger's first look.
        apple = stack.enter_context(Emulator(token=TOKEN, channels=3, processing_polls=1))
        slow = stack.enter_context(Emulator(token=TOKEN, processing_seconds=3600))
        failing = stack.enter_context(Emulator(token=TOKEN, fail=1.0))
        foreign = stack.enter_context(ForeignServer(channels=300, processing_looks=1))
        env = {
            "APNS_EXAMPLE_LAKE": f"file://{lake}",
            "APNS_EXAMPLE_CHANNELS": ",".join(apple.channel_ids),
            "AIRFLOW_CONN_APNS_SLOW": slow.connection_json,
            "AIRFLOW_CONN_APNS_FAILING": failing.connection_json,
            "AIRFLOW_CONN_APNS_FOREIGN": foreign.connection(),
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
        }
        airflow = stack.enter_context(AirflowDeployment(home, dags_folder=dags, env=env))
        airflow.cli("connections", "add", "apns_default", "--conn-json", apple.connection_json)
        yield World(airflow, lake, apple, slow, failing, foreign)


@pytest.fixture
def days(yesterday: date) -> dict[str, str]:
    return {"start": str(yesterday - timedelta(days=1)), "end": str(yesterday)}


class TestRuns:
    def test_three_tasks(self, world: World) -> None:
        run = world.airflow.trigger("apns_daily_application_metrics")
        assert world.airflow.wait_for_run(run) == "success"
        assert {task.try_number for task in world.airflow.metadata.task_instances(run)} == {1}
        assert world.airflow.deferrals(run, "wait_for_export") == 1
        path = world.airflow.metadata.xcom(run, "download_export")
        assert Path(path.removeprefix("file://")).read_text().startswith("Date (UTC),")

    def test_one_task(self, world: World) -> None:
        """Its schedule starts a run, too; whichever comes first, the paths are complete."""
        run = world.airflow.trigger("apns_one_task")
        assert world.airflow.wait_for_run(run) == "success"
        for dataset in ("application", "channel"):
            assert world.airflow.deferrals(run, f"{dataset}_metrics") == 1
            assert len(list(world.lake.glob(f"{dataset}/app=*/day=*/metrics.parquet"))) == 30

    def test_bad_ends(self, world: World, days: dict[str, str]) -> None:
        _, tasks = world.wait("bad_ends", **days)
        assert tasks == {
            "request_apns_slow": ("success", 1),
            "request_apns_failing": ("success", 1),
            "wait_apns_slow": ("failed", 1),
            "wait_softly_apns_slow": ("skipped", 1),
            "wait_apns_failing": ("failed", 1),
            "wait_softly_apns_failing": ("skipped", 1),
        }

    def test_one_task_whose_time_is_up(self, world: World, days: dict[str, str]) -> None:
        state, _ = world.wait("one_task_timeout", folder=str(world.lake), **days)
        assert state == "failed"
        assert not (world.lake / "never.csv").exists()

    def test_a_worker_that_is_killed(self, world: World, days: dict[str, str]) -> None:
        """SIGKILL in the middle of the downloads; the retry asks for the same exports, so none is made twice."""
        apple = world.foreign
        apple.latency = 0.05
        conf = {"channel_ids": apple.channel_ids, "folder": str(world.lake), **days}
        run = world.airflow.trigger("many_channels", conf=conf)
        world.airflow.wait_for("the downloads to begin", lambda: len(apple.all("download")) > 30, timeout=120)
        apple.latency = 1.0
        self.kill_client_of(apple)
        assert len(apple.all("download")) < 300
        assert not (world.lake / "channels.parquet").exists()

        apple.latency = 0.0
        assert world.airflow.wait_for_run(run) == "success"
        (task,) = world.airflow.metadata.task_instances(run)
        assert task.try_number == 2
        assert world.airflow.deferrals(run, "export") == 2  # once in each try
        table = pq.read_table(world.lake / "channels.parquet")
        assert sorted(table["channel_id"].to_pylist()) == sorted(apple.channel_ids * 2)
        assert len(apple.exports) == 300
        assert len(apple.all("request")) == 600
        assert [path.name for path in world.lake.glob("*channels.parquet*")] == ["channels.parquet"]

    @staticmethod
    def kill_client_of(apple: ForeignServer) -> None:
        """End the process that sent the latest download request."""
        port = apple.all("download")[-1].client_port
        (worker,) = (
            connection.pid
            for connection in psutil.net_connections("tcp4")
            if connection.raddr and (connection.laddr.port, connection.raddr.port) == (port, apple.port)
        )
        os.kill(worker, signal.SIGKILL)

    def test_nothing_secret_is_left(self, world: World) -> None:
        """After all that: database, logs, rendered templates and every process's output."""
        time.sleep(1)
        assert world.apple.ledger.violations == world.slow.ledger.violations == []
        secrets = {
            "token": TOKEN,
            "foreign token": world.foreign.token,
            "signature": world.apple.signature_mark,
            **{f"foreign signature {n}": one for n, one in enumerate(list(world.foreign.signatures)[:40])},
        }
        log = "".join(
            path.read_text(errors="replace") for path in (world.airflow.home / "logs").rglob("attempt=*.log*")
        )
        assert "DEBUG" in log or '"debug"' in log
        assert find_secrets(world.airflow.home, secrets, fernet_key=world.airflow.fernet_key) == []
        assert find_secrets(world.lake, secrets) == []


class TestCommandLine:
    def test_providers_list(self, world: World) -> None:
        lines = world.airflow.cli("providers", "list", "--output", "plain").splitlines()
        (ours,) = (line for line in lines if line.startswith("airflow-provider-apns"))
        assert "push notification metrics" in ours
        assert __version__ in ours

    def test_connections_add_field_by_field(self, world: World) -> None:
        fields = {"--conn-type": "apns", "--conn-login": "A1B2C3D4E5", "--conn-password": TOKEN}
        fields |= {"--conn-host": world.apple.url, "--conn-extra": json.dumps({"app_id": "com.example.app"})}
        world.airflow.cli("connections", "add", "apns_by_hand", *(part for item in fields.items() for part in item))
        assert "Connection success!" in self.tried("apns_by_hand", world)

    @pytest.mark.parametrize(
        ("changes", "help_text"),
        [
            ({"password": "not-the-token-of-the-server"}, "Create Data Export Token"),
            ({"host": "http://127.0.0.1:{free_port}"}, "127.0.0.1"),
            ({"login": ""}, "Team ID"),
        ],
        ids=["wrong token", "unreachable host", "missing team id"],
    )
    def test_connections_that_do_not_work(self, world: World, changes: dict[str, str], help_text: str) -> None:
        (free_port,) = free_ports(1)
        changes = {name: value.format(free_port=free_port) for name, value in changes.items()}
        conn_id = f"apns_{next(iter(changes))}"
        connection = json.dumps(json.loads(world.apple.connection_json) | changes)
        world.airflow.env[f"AIRFLOW_CONN_{conn_id.upper()}"] = connection
        outcome = self.tried(conn_id, world)
        assert "Connection failed!" in outcome
        assert help_text in " ".join(outcome.split())
        assert TOKEN not in outcome

    @staticmethod
    def tried(conn_id: str, world: World) -> str:
        try:
            return world.airflow.cli("connections", "test", conn_id)
        except RuntimeError as error:
            return str(error)
