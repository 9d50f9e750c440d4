from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns.protocol.datasets import Dataset
from airflow_provider_apns.reports.columns import (
    Column,
    added_columns,
    documented_columns,
    normalised_columns,
    snake_case,
)

COUNTS = ["broadcasts_published", "broadcasts_delivered", "total_subscriptions"]


@pytest.mark.parametrize(
    ("dataset", "label_names", "names"),
    [
        (Dataset.APPLICATION, ["app_id"], ["date", *COUNTS, "unique_subscribers", "withheld"]),
        (Dataset.CHANNEL, ["app_id", "channel_id"], ["date", *COUNTS, "withheld"]),
        (Dataset.DELIVERY, ["app_id"], ["date", "push_type", "status", "count"]),
    ],
)
def test_normalised_names(dataset: Dataset, label_names: list[str], names: list[str]) -> None:
    assert [column.name for column in normalised_columns(dataset)][1 : 1 + len(label_names)] == label_names
    assert [column.name for column in documented_columns(dataset)] == names


def test_columns_that_apple_adds_get_names_that_are_free() -> None:
    names = ["App ID", "Channel Id", "withheld", "date", "Date", "a b", "A-B", "日付", "", "Unique  Subscribers"]
    assert list(added_columns(names, Dataset.APPLICATION)) == [
        Column(name, "string")
        for name in (
            "apple_app_id",
            "apple_channel_id",
            "apple_withheld",
            "date_2",
            "date_3",
            "a_b",
            "a_b_2",
            "column",
            "column_2",
            "unique_subscribers_2",
        )
    ]


@given(st.lists(st.text()))
def test_any_names_become_names_of_their_own(names: list[str]) -> None:
    assert all(snake_case(name).isascii() and snake_case(name).replace("_", "").isalnum() for name in names)
    taken = [column.name for column in (*documented_columns(Dataset.DELIVERY), *added_columns(names, Dataset.DELIVERY))]
    assert len(set(taken)) == len(taken)
