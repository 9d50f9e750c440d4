"""
# All channels of an app, without a list

Apple lists only the channels that an app has now. The DAG `apns_channel_register` therefore lists them every hour and
keeps a register of every channel ever seen. It can miss a channel that lives for less than an hour. The DAG
`apns_all_channels` keeps the metrics of all registered channels complete: each run fills in the days that earlier runs
missed, as long as Apple has them (30 days). Both need the extra `channels`, and a connection with `key_id` and
`private_key`.
"""

from __future__ import annotations

import os

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_apns.operators.apns import ApnsListChannelsOperator
from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator

LAKE = os.environ.get("APNS_EXAMPLE_LAKE", "file:///tmp/apns")
REGISTER = f"{LAKE}/channels/register.parquet"

COMMON = {
    "start_date": pendulum.datetime(2026, 1, 1, tz="UTC"),
    "catchup": False,
    "max_active_runs": 1,
    "default_args": {"retries": 3, "retry_delay": pendulum.duration(minutes=10)},
    "doc_md": __doc__,
    "tags": ["apns", "example"],
}

with DAG(dag_id="apns_channel_register", schedule="7 * * * *", **COMMON):
    ApnsListChannelsOperator(task_id="list_channels", path=REGISTER)

with DAG(dag_id="apns_all_channels", schedule="37 6 * * *", **COMMON):
    listed = ApnsListChannelsOperator(task_id="list_channels", path=REGISTER)
    ApnsToObjectStorageOperator(
        task_id="channel_metrics",
        dataset="channel",
        channel_ids=listed.output,
        on_channel_error="skip",  # Apple may no longer know a deleted channel.
        path=f"{LAKE}/channels/day={{date}}/metrics.parquet",
    )
