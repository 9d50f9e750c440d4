"""Run a DAG file in this process with ``dag.test()``, on any Airflow.

    result = run_dag(path, logical_date=datetime(2026, 1, 2, tzinfo=timezone.utc), conf={...})
    assert result.state == "success"
    assert result.xcom("download") == "file:///..."

The test that does so needs the ``airflow_db`` fixture.
"""

from __future__ import annotations

import inspect
import os
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.airflow_live import AIRFLOW_3
from tests.support.metadata import Metadata, Run, TaskInstance


class DagTest(NamedTuple):
    """What a run has come to."""

    state: str
    tasks: list[TaskInstance]
    run: Run
    metadata: Metadata

    def states(self) -> dict[str, str | None]:
        """Return each task's state; mapped tasks as ``task_id[0]``, ``task_id[1]``."""
        return {
            task.task_id if task.map_index < 0 else f"{task.task_id}[{task.map_index}]": task.state
            for task in self.tasks
        }

    def xcom(self, task_id: str, *, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom value as plain JSON."""
        return self.metadata.xcom(self.run, task_id, key=key, map_index=map_index)

    def asset_events(self) -> list[dict[str, Any]]:
        """Return the extras of the asset events that the run has made; Airflow 2 calls them dataset events."""
        return self.metadata.asset_events(self.run)


def run_dag(
    path: Path,
    dag_id: str | None = None,
    *,
    logical_date: datetime | None = None,
    by_hand: bool = False,
    conf: dict[str, Any] | None = None,
    retries: int | None = None,
) -> DagTest:
    """Run the DAG in a file, the only one there unless ``dag_id`` says which, and return what came of it.

    ``by_hand`` gives the run no logical date and no data interval, as Airflow 3 does where a person or an asset starts
    it.
    ``retries`` overrides those of the tasks: ``dag.test()`` waits between two tries as long as a scheduler would.
    """
    # Airflow must not be imported before tests/conftest.py has given it its home.
    from airflow.configuration import conf as airflow_conf

    try:  # Airflow 3.2 has moved it
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        from airflow.models.dagbag import DagBag

    # Airflow 3 runs only DAGs that it finds in the DAGs folder; nothing of other tests may stand beside it there.
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    shutil.rmtree(folder)
    folder.mkdir()
    bag = DagBag(shutil.copy(path, folder))
    assert not bag.import_errors, bag.import_errors
    (dag,) = (found for found in bag.dags.values() if dag_id in (None, found.dag_id))

    _store_assets(bag)
    for task in dag.tasks:
        task.retries = task.retries if retries is None else retries

    date_argument = "logical_date" if "logical_date" in inspect.signature(dag.test).parameters else "execution_date"
    when = None if by_hand else logical_date or datetime.now(timezone.utc)
    run = dag.test(run_conf=conf, **{date_argument: when})

    metadata = Metadata(airflow_conf.get("database", "sql_alchemy_conn"))
    named = Run(run.dag_id, run.run_id)
    return DagTest(str(metadata.run_state(named)), metadata.task_instances(named), named, metadata)


def _store_assets(bag: Any) -> None:
    """Write the DAG with its assets into the database, which ``dag.test()`` does on its own since Airflow 3.1."""
    if not AIRFLOW_3:
        bag.sync_to_db()
    elif hasattr(bag, "sync_to_db"):
        from airflow.dag_processing.bundles.manager import DagBundlesManager

        DagBundlesManager().sync_bundles_to_db()
        bag.sync_to_db("dags-folder", None)
