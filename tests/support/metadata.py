"""Read what an Airflow deployment has written down, in any version's schema, without importing Airflow."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.pool import NullPool


class Run(NamedTuple):
    """Names one DAG run."""

    dag_id: str
    run_id: str


class TaskInstance(NamedTuple):
    """One task instance as it is now; ``map_index`` is -1 when the task is not mapped."""

    task_id: str
    map_index: int
    state: str | None
    try_number: int


class Metadata:
    """The metadata database behind a SQLAlchemy URL."""

    def __init__(self, url: str) -> None:
        # No pool: an idle connection must not hold a lock on SQLite while Airflow writes.
        self._engine = create_engine(url, poolclass=NullPool)

    def query(self, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of any SELECT."""
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement), parameters)]

    def run_state(self, run: Run) -> str | None:
        """Return the state of a DAG run, None if there is no such run."""
        rows = self.query("SELECT state FROM dag_run WHERE dag_id = :dag_id AND run_id = :run_id", **run._asdict())
        return rows[0][0] if rows else None

    def task_instances(self, run: Run) -> list[TaskInstance]:
        """Return the run's task instances, mapped ones in order."""
        rows = self.query(
            "SELECT task_id, map_index, state, try_number FROM task_instance"
            " WHERE dag_id = :dag_id AND run_id = :run_id ORDER BY task_id, map_index",
            **run._asdict(),
        )
        return [TaskInstance(*row) for row in rows]

    def xcom(self, run: Run, task_id: str, *, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom value as plain JSON; LookupError if there is none."""
        rows = self.query(
            "SELECT value FROM xcom WHERE dag_id = :dag_id AND run_id = :run_id AND task_id = :task_id"
            " AND map_index = :map_index AND key = :key",
            **run._asdict(),
            task_id=task_id,
            map_index=map_index,
            key=key,
        )
        if not rows:
            raise LookupError(f"{task_id} has no XCom {key!r}")
        value = rows[0][0]
        # Airflow 2 stores bytes, SQLite a JSON column's text; PostgreSQL's driver has parsed it already.
        return json.loads(value) if isinstance(value, (str, bytes)) else value

    def asset_events(self, run: Run) -> list[dict[str, Any]]:
        """Return the extras of the asset events that a run has made; Airflow 2 calls them dataset events."""
        table = "asset_event" if inspect(self._engine).has_table("asset_event") else "dataset_event"
        rows = self.query(
            f"SELECT extra FROM {table} WHERE source_dag_id = :dag_id AND source_run_id = :run_id ORDER BY id",
            **run._asdict(),
        )
        return [json.loads(extra) if isinstance(extra, str) else extra for (extra,) in rows]

    def import_errors(self) -> list[str]:
        """Return the stack traces of DAG files that could not be read."""
        return [row[0] for row in self.query("SELECT stacktrace FROM import_error")]
