"""The emulator in its other process: what it has seen, and what it serves."""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.emulator.apple import Export


class Apple:
    """
    What a test needs of the emulator: its ledger while it runs, its journal when all is over.

    :param port: where it answers
    :param folder: where its journal and its certificate authority are
    :param channels: how many channels it was told to have
    """

    def __init__(self, port: int, folder: Path, channels: int) -> None:
        self.ca = folder / "ca.pem"
        self._journal = folder / "journal.jsonl"
        self._twin = Emulator(port=port, channels=channels, tls=True)  # not started: it knows what the other one knows
        self._exports: dict[tuple[Any, ...], list[Export]] = defaultdict(list)
        self.channel_ids = self._twin.channel_ids
        self.signature_mark = self._twin.signature_mark

    def connection(self, token: str) -> dict[str, Any]:
        """Return the Airflow connection that leads here."""
        return {**json.loads(self._twin.connection_json), "password": token}

    def ledger(self) -> dict[str, Any]:
        """Return the counts of all that it has seen, by all of its processes."""
        trust = ssl.create_default_context(cafile=self.ca)
        with urllib.request.urlopen(f"{self._twin.url}/_emulator/ledger", context=trust, timeout=60) as answer:
            return dict(json.load(answer))

    def read_journal(self) -> None:
        """Take in every export that was ever created."""
        for line in self._journal.read_text().splitlines():
            if saved := json.loads(line).get("export"):
                export = Export.from_json(saved)
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

    def csv(self, dataset: str, first_day: date, last_day: date, channel_id: str | None = None) -> bytes:
        """
        Return the CSV that a download of an export gives.

        :raises LookupError: if there is no such export
        """
        asked = (dataset, first_day, last_day, channel_id)
        if asked not in self._exports:
            raise LookupError(f"no export was ever created of {asked}")
        return self._twin.apple.report(self._exports[asked][0])
