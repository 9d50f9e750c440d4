"""The emulator in its other process: what it has seen, and what it serves."""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

from airflow_provider_apns.emulator import apple as service
from airflow_provider_apns.emulator.server import utc_now
from airflow_provider_apns.emulator.settings import Settings


class Apple:
    """
    What a test needs of the emulator: its ledger while it runs, its journal when all is over.

    :param port: where it answers
    :param folder: where its journal and its certificate authority are
    :param channels: how many channels it was told to have
    """

    def __init__(self, port: int, folder: Path, channels: int) -> None:
        self.ca = folder / "ca.pem"
        self.url = f"https://127.0.0.1:{port}"
        self._journal = folder / "journal.jsonl"
        self._service = service.Apple(Settings.of(channels=channels), utc_now)
        self._exports: dict[tuple[Any, ...], list[service.Export]] = defaultdict(list)

    @property
    def channel_ids(self) -> tuple[str, ...]:
        """The identifiers of all channels."""
        return self._service.channel_ids

    @property
    def signature_mark(self) -> str:
        """How the signature of every signed URL begins."""
        return self._service.signature_mark

    def connection(self, token: str) -> dict[str, Any]:
        """Return the Airflow connection that leads here."""
        settings = self._service.settings
        extra = {"app_id": settings.app_id}
        return {
            "conn_type": "apns", "host": self.url, "login": settings.team_id, "password": token, "extra": extra
        }  # fmt: skip

    def ledger(self) -> dict[str, Any]:
        """Return the counts of all that it has seen, by all of its processes."""
        trust = ssl.create_default_context(cafile=self.ca)
        with urllib.request.urlopen(f"{self.url}/_emulator/ledger", context=trust, timeout=60) as answer:
            return dict(json.load(answer))

    def read_journal(self) -> None:
        """Take in every export that was ever created."""
        for line in self._journal.read_text().splitlines():
            if saved := json.loads(line).get("export"):
                export = service.Export.from_json(saved)
                query = export.order.query
                self._exports[query.dataset.name, query.start, query.end, query.channel_id].append(export)

    @property
    def created(self) -> int:
        """How many exports were created."""
        return sum(map(len, self._exports.values()))

    @property
    def created_again(self) -> int:
        """How many of them were there already."""
        return self.created - len(self._exports)

    def csv(self, dataset: str, start: date, end: date, channel_id: str | None = None) -> bytes:
        """Return the CSV that a download of an export gives; KeyError if there is no such export."""
        export = self._exports.get((dataset, start, end, channel_id))
        if not export:
            raise KeyError((dataset, start, end, channel_id))
        return bytes(self._service.report(export[0]))
