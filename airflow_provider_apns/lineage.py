"""A finished task's lineage for OpenLineage: Apple's dataset as input, each written object as output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow_provider_apns.protocol.account import APPLE_API_URL

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_apns.storage import Download


def lineage_of(source: str, objects: Iterable[Download]) -> OperatorLineage[Any, Any]:
    """
    Describe a task's input and outputs. Only Airflow's openlineage provider calls this.

    :param source: the app and the dataset, such as ``com.example.app/broadcastapplicationmetric``.
    :param objects: the objects that were written.
    """
    from airflow.providers.common.compat.openlineage.facet import (
        InputDataset,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage

    outputs = []
    for written in objects:
        namespace, name = object_name(written.path)
        statistics = OutputStatisticsOutputDatasetFacet(rowCount=getattr(written, "rows", None), size=written.size)
        outputs.append(OutputDataset(namespace, name, outputFacets={"outputStatistics": statistics}))
    return OperatorLineage(inputs=[InputDataset(APPLE_API_URL, f"apns/{source}")], outputs=outputs)


def object_name(path: str) -> tuple[str, str]:
    """
    Return an object's namespace and name by OpenLineage's naming rules.

    ``s3://bucket/key`` is ``key`` in ``s3://bucket``; ``file:///tmp/x`` is ``/tmp/x`` in ``file``.
    """
    scheme, separator, rest = path.partition("://")
    if not separator or scheme in ("file", "local"):
        return "file", rest if separator else path
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket.rpartition('@')[2]}", key or "/"
