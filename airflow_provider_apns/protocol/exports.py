"""An export: what a request asks for, and what Apple says about it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from airflow_provider_apns.exceptions import ApnsExportFailedError, ApnsInvalidRequestError, ApnsServiceError
from airflow_provider_apns.protocol.channel_ids import check_channel
from airflow_provider_apns.protocol.tokens import Secret

if TYPE_CHECKING:
    from airflow_provider_apns.protocol.datasets import Dataset
    from airflow_provider_apns.protocol.days import Days

URL_EXPIRY_MINUTES = range(20, 61)


@dataclass(frozen=True)
class ExportRequest:
    """A request for one report of at least two days. Its download URLs live 20 to 60 minutes."""

    dataset: Dataset
    days: Days
    channel_id: str | None = None
    url_expires_in_minutes: int = 60

    def __post_init__(self) -> None:
        if self.days.last <= self.days.first:
            raise ApnsInvalidRequestError(
                f"last_day {self.days.last} must be later than first_day {self.days.first}: Apple does not "
                "export a single day. Ask for two days, or use ApnsToObjectStorageOperator, which accepts one."
            )
        check_channel(self.dataset, self.channel_id)
        minutes = self.url_expires_in_minutes
        if not isinstance(minutes, int) or minutes not in URL_EXPIRY_MINUTES:
            raise ApnsInvalidRequestError(
                f"url_expires_in_minutes must be a whole number from 20 to 60, not {minutes!r}."
            )

    def __str__(self) -> str:
        channel = f" of channel {self.channel_id}" if self.channel_id else ""
        return f"export of the {self.dataset.short_name} dataset{channel}, {self.days}"

    def body(self) -> bytes:
        """Return the JSON body of the request."""
        body: dict[str, Any] = {
            "startDate": self.days.first.isoformat(),
            "endDate": self.days.last.isoformat(),
            "dataDownloadUrlExpiresInMinutes": self.url_expires_in_minutes,
        }
        if self.channel_id:
            body["channelId"] = self.channel_id
        return json.dumps(body).encode()


class ExportStatus(str, Enum):
    """The states that Apple documents."""

    PROCESSING = "PROCESSING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"


@dataclass(frozen=True)
class Export:
    """
    An export as Apple describes it.

    :param status_url: where to ask for its status, for six months. Not a secret.
    :param status: one of :class:`ExportStatus`, or a word that Apple does not document, which means: keep waiting.
    :param requested_at: when Apple accepted the request.
    :param data_url: the signed download URL of an export that is ready. It is a secret, and expires soon. Never log it.
    :param expires_at: when ``data_url`` stops working.
    """

    status_url: str
    status: str = ExportStatus.PROCESSING.value
    requested_at: datetime | None = None
    data_url: Secret | None = field(default=None, repr=False)
    expires_at: datetime | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the report can be downloaded."""
        return self.status == ExportStatus.SUCCESS

    @property
    def has_failed(self) -> bool:
        """Whether the export ended without a report."""
        return self.status in (ExportStatus.FAILED, ExportStatus.EXPIRED)

    def check(self) -> Export:
        """
        Return the export unless it ended without a report.

        :raises ApnsExportFailedError: on ``FAILED`` and ``EXPIRED``. The message explains Apple's 24-hour rule.
        """
        if self.status == ExportStatus.FAILED:
            raise ApnsExportFailedError(
                f"Apple could not build the export {self.status_url} (status FAILED). For 24 hours after the first "
                "request, the same request returns this failed export. Run the task again after that, or ask for other "
                "days now."
            )
        if self.status == ExportStatus.EXPIRED:
            raise ApnsExportFailedError(
                f"Apple no longer has the data of the export {self.status_url} (status EXPIRED). "
                "Request the export again: run the task that requests it, not only the one that waits. "
                "For 24 hours after the first request, the same request returns this same export."
            )
        return self

    def check_ready(self) -> Secret:
        """Return the download URL if the export is ready."""
        if self.check().data_url is None:
            raise ApnsServiceError(
                f"The export {self.status_url} is not ready (status {self.status}): wait for it with ApnsExportSensor."
            )
        return self.data_url or Secret()
