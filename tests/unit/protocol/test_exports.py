from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_apns.exceptions import ApnsExportFailedError, ApnsInvalidRequestError, ApnsServiceError
from airflow_provider_apns.protocol.datasets import Dataset
from airflow_provider_apns.protocol.days import Days
from airflow_provider_apns.protocol.exports import Export, ExportRequest
from airflow_provider_apns.protocol.tokens import Secret
from tests.unit.helpers import CHANNEL_ID, DAY, SIGNED_URL, STATUS_URL, TODAY

WEEK = Days(TODAY - 7 * DAY, TODAY - DAY)


class TestExportRequest:
    def test_body(self) -> None:
        assert json.loads(ExportRequest(Dataset.CHANNEL, WEEK, CHANNEL_ID, url_expires_in_minutes=20).body()) == {
            "startDate": "2026-03-03",
            "endDate": "2026-03-09",
            "dataDownloadUrlExpiresInMinutes": 20,
            "channelId": CHANNEL_ID,
        }
        assert "channelId" not in json.loads(ExportRequest(Dataset.APPLICATION, WEEK).body())

    def test_says_what_it_is(self) -> None:
        assert str(ExportRequest(Dataset.DELIVERY, WEEK)) == "export of the delivery dataset, 2026-03-03 to 2026-03-09"
        assert f"of channel {CHANNEL_ID}" in str(ExportRequest(Dataset.CHANNEL, WEEK, CHANNEL_ID))

    @pytest.mark.parametrize(
        ("dataset", "days", "channel_id", "told"),
        [
            (Dataset.DELIVERY, Days(TODAY, TODAY), None, "must be later than first_day 2026-03-10"),
            (Dataset.CHANNEL, WEEK, None, "channel_id is missing"),
            (Dataset.CHANNEL, WEEK, "", "channel_id is missing"),
            (Dataset.CHANNEL, WEEK, "news!", "'news!' is not base64"),
            (Dataset.APPLICATION, WEEK, CHANNEL_ID, "leave it out for 'application'"),
            (Dataset.DELIVERY, WEEK, CHANNEL_ID, "leave it out for 'delivery'"),
        ],
    )
    def test_what_apple_would_refuse_is_refused(
        self, dataset: Dataset, days: Days, channel_id: str | None, told: str
    ) -> None:
        with pytest.raises(ApnsInvalidRequestError, match=told):
            ExportRequest(dataset, days, channel_id)

    @pytest.mark.parametrize("minutes", [19, 61, 0, -20, 30.0, "30", True, None])
    def test_expiry_is_20_to_60_minutes(self, minutes: Any) -> None:
        for allowed in (20, 60):
            assert ExportRequest(Dataset.DELIVERY, WEEK, None, allowed).url_expires_in_minutes == allowed
        with pytest.raises(ApnsInvalidRequestError, match="from 20 to 60"):
            ExportRequest(Dataset.DELIVERY, WEEK, None, minutes)


class TestExport:
    def test_ready(self) -> None:
        export = Export(STATUS_URL, "SUCCESS", data_url=Secret(SIGNED_URL))
        assert export.is_ready
        assert export.check() is export
        assert export.check_ready() == SIGNED_URL
        assert "s3cret" not in repr(export) + str(export)

    @pytest.mark.parametrize("status", ["PROCESSING", "ARCHIVED"])
    def test_a_status_that_is_no_end_means_to_wait_on(self, status: str) -> None:
        export = Export(STATUS_URL, status)
        assert not export.is_ready
        assert export.check() is export
        with pytest.raises(ApnsServiceError, match=f"is not ready .status {status}.: wait for it"):
            export.check_ready()

    @pytest.mark.parametrize(("status", "told"), [("FAILED", "For 24 hours"), ("EXPIRED", "Request the export again")])
    def test_ended_without_a_report(self, status: str, told: str) -> None:
        export = Export(STATUS_URL, status)
        assert not export.is_ready
        for check in (export.check, export.check_ready):
            with pytest.raises(ApnsExportFailedError, match=told) as raised:
                check()
            assert STATUS_URL in str(raised.value)
