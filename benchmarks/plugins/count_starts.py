"""Writes a line for each task process that starts, from inside of it: what a worker slot is paid for."""

from __future__ import annotations

import os
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin


class Starts:
    @hookimpl
    def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:
        with open(os.environ["BENCH_STARTS"], "a") as file:
            file.write(f"{task_instance.dag_id} {task_instance.task_id} {os.getpid()}\n")


class CountStarts(AirflowPlugin):
    name = "count_starts"
    listeners = [Starts()]  # noqa: RUF012 - as Airflow wants it
