"""What test_sensor_outcomes.py runs: a sensor for each failure, option and mode; ``OUTCOMES`` (JSON) has arguments."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_apns.sensors.apns import ApnsExportSensor
from tests.support.airflow_live import AIRFLOW_3_0

OPTIONS = {"neither": {}, "soft_fail": {"soft_fail": True}, "never_fail": {"never_fail": True}}
MODES = {
    "deferred": {},
    "poke": {"deferrable": False},
    "reschedule": {"deferrable": False, "mode": "reschedule"},
}
if AIRFLOW_3_0:  # Its sensors cannot be rescheduled under `dag.test()`, which hands them a date as text.
    del MODES["reschedule"]
ARGUMENTS = json.loads(os.environ.get("OUTCOMES", "{}"))
BEGINNING = datetime(2026, 1, 1, tzinfo=timezone.utc)

# Each DAG is there only when it is wanted: Airflow 3.1 keeps the first version that it sees.
if failures := ARGUMENTS.get("failures"):
    with DAG("outcomes", schedule=None, start_date=BEGINNING, default_args={"retries": 1, "retry_delay": timedelta(0)}):
        for failure, arguments in failures.items():
            for option, meaning in OPTIONS.items():
                for mode, waiting in MODES.items():
                    ApnsExportSensor(
                        task_id=f"{failure}.{option}.{mode}", poke_interval=0.1, **arguments, **meaning, **waiting
                    )

if interrupted := ARGUMENTS.get("interrupted"):
    retries = {"retries": 3, "retry_delay": timedelta(seconds=4)}
    with DAG("late_retries", schedule=None, start_date=BEGINNING, default_args=retries):
        for mode, arguments in interrupted.items():
            ApnsExportSensor(task_id=mode, poke_interval=0.1, timeout=3, **arguments, **MODES[mode])
