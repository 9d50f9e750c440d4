from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_apns.exceptions import ApnsInvalidRequestError
from airflow_provider_apns.protocol.datasets import APPLE_COLUMNS, Dataset


@pytest.mark.parametrize(
    ("dataset", "short_name", "path_segment"),
    [
        (Dataset.APPLICATION, "application", "broadcastapplicationmetric"),
        (Dataset.CHANNEL, "channel", "broadcastchannelmetrics"),
        (Dataset.DELIVERY, "delivery", "deliverymetrics"),
    ],
)
def test_has_two_names(dataset: Dataset, short_name: str, path_segment: str) -> None:
    assert {Dataset.parse(name) for name in (dataset, short_name, path_segment)} == {dataset}


@pytest.mark.parametrize("name", ["", "channels", "APPLICATION", "broadcastapplicationmetrics", None, 3])
def test_another_name_is_answered_with_the_three(name: Any) -> None:
    with pytest.raises(ApnsInvalidRequestError, match="'application', 'channel', 'delivery'"):
        Dataset.parse(name)


def test_what_sets_them_apart() -> None:
    assert [dataset for dataset in Dataset if dataset.per_channel] == [Dataset.CHANNEL]
    assert [dataset for dataset in Dataset if not dataset.has_withheld] == [Dataset.DELIVERY]
    assert set(APPLE_COLUMNS) == set(Dataset)
