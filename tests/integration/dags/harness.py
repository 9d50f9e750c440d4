"""What test_harness.py runs: a task that waits in the triggerer, then one that reads the run's configuration."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG, BaseOperator, Context, task
from airflow.providers.common.compat.standard.triggers import TimeDeltaTrigger


class WaitOperator(BaseOperator):
    """Gives its slot back for three seconds."""

    def execute(self, context: Context) -> None:
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=3)), method_name="resume")

    def resume(self, context: Context, event: object = None) -> str:
        return "waited"


with DAG("harness", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:

    @task(retries=0)
    def report(waited: str, dag_run=None) -> dict[str, str]:
        if not dag_run.conf["pass"]:
            raise ValueError("told to fail")
        return {"before": waited}

    report(WaitOperator(task_id="wait").output)
