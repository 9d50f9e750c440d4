"""
The tutorial, walked in a browser: its two DAGs, as its page has them, in an Airflow of their own.

The second test goes on where the first has ended.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from airflow_provider_apns.emulator import Emulator
from tests.docs.samples import samples
from tests.support.airflow_live import AirflowDeployment
from tests.ui.conftest import Camera

DAGS = [sample.text for sample in samples() if (sample.page, sample.kind) == ("docs/tutorial.md", "dag")]


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowDeployment]:
    home = tmp_path_factory.mktemp("tutorial")
    (home / "dags").mkdir()
    for number, text in enumerate(DAGS):
        (home / "dags" / f"{number}.py").write_text(text)
    # As the tutorial starts it: an export takes five seconds.
    with (
        Emulator(processing_seconds=5) as apple,
        AirflowDeployment(home, env={"AIRFLOW_CONN_APNS_DEFAULT": apple.connection_json}) as deployment,
    ):
        for dag_id in ("push_metrics", "push_chart"):
            deployment.wait_for_dag(dag_id)
        yield deployment


@pytest.fixture
def lake(airflow: AirflowDeployment) -> Path:
    return airflow.home / "lake"


def unpause(page: Page, dag_id: str) -> None:
    page.goto(f"/dags/{dag_id}")
    page.locator("[data-scope=switch][data-part=control]").first.click()
    expect(page.get_by_role("checkbox").first).to_be_checked()


def trigger(page: Page, dag_id: str) -> None:
    page.goto(f"/dags/{dag_id}")
    page.get_by_role("button", name="Trigger Dag").click()
    page.get_by_role("dialog").get_by_role("button", name="Trigger", exact=True).click()
    page.get_by_role("dialog").wait_for(state="hidden")


def runs(page: Page, dag_id: str, kind: str, state: str) -> Locator:
    page.goto(f"/dags/{dag_id}/runs")
    return page.get_by_role("row").filter(has_text=kind).filter(has_text=state)


def started(airflow: AirflowDeployment, dag_id: str) -> bool:
    return bool(airflow.metadata.query("SELECT 1 FROM dag_run WHERE dag_id = :dag_id", dag_id=dag_id))


def test_walk(page: Page, airflow: AirflowDeployment, lake: Path, camera: Camera) -> None:
    unpause(page, "push_chart")
    unpause(page, "push_metrics")
    trigger(page, "push_metrics")
    expect(runs(page, "push_metrics", "manual__", "Success")).to_have_count(1, timeout=120_000)
    assert len(list(lake.glob("day=*/metrics.parquet"))) == 30

    # The page of a DAG without runs does not look again.
    airflow.wait_for("the asset to start push_chart", lambda: started(airflow, "push_chart"), timeout=60)
    expect(runs(page, "push_chart", "Asset Triggered", "Success").first).to_be_visible(timeout=120_000)
    assert (lake / "chart.png").read_bytes().startswith(b"\x89PNG")
    camera.keep(lake / "chart.png")


def test_deleted_days_come_back(page: Page, lake: Path) -> None:
    days = sorted(lake.glob("day=*"))
    for day in days[3:6]:
        shutil.rmtree(day)
    trigger(page, "push_metrics")
    expect(runs(page, "push_metrics", "manual__", "Success")).to_have_count(2, timeout=120_000)
    assert sorted(lake.glob("day=*")) == days
