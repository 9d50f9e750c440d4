"""The command line: ``python -m airflow_provider_apns coverage PATH``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from airflow_provider_apns.exceptions import ApnsError, ApnsInvalidRequestError


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run a command.

    :param arguments: the command line; by default, the process's own.
    :return: the exit code: 0 if the path is complete, 1 if days are missing or lost, 2 if the path cannot be read.
    """
    options = _parser().parse_args(arguments)
    try:
        return _coverage(options)
    except ApnsError as error:
        print(f"{error}", file=sys.stderr)  # noqa: T201
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_apns", description=__doc__)
    command = parser.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "coverage",
        help="show which of the last 60 days a path has",
        description="Print a calendar of the last 60 days: which are stored and settled, stored, missing or lost. "
        "Exit with 1 if days are missing or lost, so that cron or CI can ask whether the last month is complete.",
    )
    command.add_argument("path", help="the path of ApnsToObjectStorageOperator, with {date}")
    command.add_argument("--dataset", help="the value of {dataset} in the path")
    command.add_argument("--app-id", help="the value of {app_id} in the path")
    command.add_argument("--settle-days", type=int, default=3, help="the operator's settle_days")
    command.add_argument("--object-storage-conn-id", help="the store's connection, if the path does not name it")
    return parser


def _coverage(options: argparse.Namespace) -> int:
    from airflow_provider_apns.batches.arguments import check_complete
    from airflow_provider_apns.batches.completeness import looked_at, stored_days
    from airflow_provider_apns.batches.coverage import calendar, coverage, is_complete
    from airflow_provider_apns.batches.layout import Layout
    from airflow_provider_apns.batches.listing import list_objects
    from airflow_provider_apns.hooks.connections import utc_now
    from airflow_provider_apns.protocol.datasets import Dataset
    from airflow_provider_apns.storage import object_path

    check_complete(options.path)
    for placeholder, option in (("{dataset}", options.dataset), ("{app_id}", options.app_id)):
        if placeholder in options.path and not option:
            flag = placeholder[1:-1].replace("_", "-")
            raise ApnsInvalidRequestError(f"The path has {placeholder}: fill it in, or give --{flag}.")
    dataset = Dataset.parse(options.dataset or "channel")  # the one whose path may have {channel_id}
    layout = Layout.read(options.path, dataset, options.app_id or "")
    path, now = object_path(layout.template, options.object_storage_conn_id), utc_now()
    objects = list_objects(path.fs, path.path, looked_at(now.date()))
    days = coverage(stored_days(objects), now.date(), options.settle_days)
    print(f"{layout.template}\n\n{calendar(days)}")  # noqa: T201
    return 0 if is_complete(days) else 1


if __name__ == "__main__":
    sys.exit(main())
