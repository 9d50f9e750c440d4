"""What one emulator is set up to be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_apns.emulator.datasets import DATASETS, Dataset, find_dataset

DEMO_TOKEN = "emulator-data-export-token"  # noqa: S105 - it opens the emulator only

REQUESTED_AT = ("turns", "T", "space")

CSV_TRAITS = ("bom", "crlf", "reordered", "extra", "header-only")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How an emulator is set up. Build it with :meth:`of`, which takes the convenient spellings too.

    :param host: address to listen on
    :param port: port to listen on; 0 takes a free one
    :param token: the valid data export token; a demo token if it is missing
    :param team_id: the token's team
    :param app_id: the token's app
    :param datasets: what the token may ask for; Apple's are for one dataset, the demo token is for all; repeatable
    :param jwt: make up a token that is a JWT with the claims of Apple's
    :param token_expires_in_days: when that token expires, counted from the start: whole days at midnight UTC, as
        Apple's do, fractions at that very moment; negative: it has
    :param channels: how many broadcast channels the app has
    :param channels_port: list the channels, too: port of an HTTP/2 service of its own; 0 takes a free one
    :param forget_deleted: answer 404 to requests for exports of deleted channels
    :param days: how many days back there is data
    :param seed: decides every number, channel identifier and chance
    :param processing_seconds: how long an export stays PROCESSING
    :param processing_polls: how many GETs are answered PROCESSING at least
    :param latency: seconds added to every answer
    :param fail: exports that end FAILED: a share of them, channels, datasets
    :param expire: exports that end EXPIRED: a share of them, channels, datasets
    :param url_expires_seconds: life of download URLs, in place of that asked for
    :param data_url_key: Apple's example, or Apple's table
    :param requested_at: a T and nine decimals in the answer to a request, the documented space, or both in turns
    :param status_host: host name of status URLs, if another
    :param download_host: host name of download URLs, if another
    :param csv: how the CSV departs from the documented form; repeatable
    :param tls: serve https with a certificate of its own
    :param tls_dir: where ca.pem, to be trusted, is written; a temporary directory otherwise
    :param state: journal in which exports and ledger survive the process
    """

    host: str = "127.0.0.1"
    port: int = 0
    token: str = ""
    team_id: str = "A1B2C3D4E5"
    app_id: str = "com.example.app"
    datasets: tuple[Dataset, ...] = DATASETS
    jwt: bool = False
    token_expires_in_days: float = 180.0
    channels: int = 10
    channels_port: int | None = None
    forget_deleted: bool = False
    days: int = 30
    seed: int = 0
    processing_seconds: float = 0.0
    processing_polls: int = 0
    latency: float = 0.0
    fail: tuple[str, ...] = ()
    expire: tuple[str, ...] = ()
    url_expires_seconds: float | None = None
    data_url_key: str = "dataUrl"
    requested_at: str = "turns"
    status_host: str | None = None
    download_host: str | None = None
    csv: frozenset[str] = frozenset()
    tls: bool = False
    tls_dir: Path | None = None
    state: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what would only show later, as odd data."""
        if unknown := self.csv.difference(CSV_TRAITS):
            raise ValueError(f"unknown csv trait {', '.join(sorted(unknown))}; there are {', '.join(CSV_TRAITS)}")
        if self.requested_at not in REQUESTED_AT:
            raise ValueError(f"unknown form {self.requested_at!r} of requestedAt; there are {', '.join(REQUESTED_AT)}")
        if not self.datasets:
            raise ValueError("a token needs at least one dataset")

    @classmethod
    def of(cls, **options: Any) -> Settings:
        """Build settings from the spellings that are convenient to write.

        :param options: the fields of this class; datasets by name, fates as a share or names, paths as text
        """
        return cls(**{name: _normalised(name, value) for name, value in options.items()})


def _normalised(name: str, value: Any) -> Any:
    if name in ("fail", "expire"):
        words = value.split(",") if isinstance(value, str) else [value] if isinstance(value, (int, float)) else value
        return tuple(str(word).strip() for word in words)
    if name == "datasets":
        names = [value] if isinstance(value, (str, Dataset)) else value
        return tuple(each if isinstance(each, Dataset) else find_dataset(each) for each in names)
    if name == "csv":
        return frozenset([value] if isinstance(value, str) else value)
    if name == "token_expires_in_days":
        return float(value)
    if name in ("tls_dir", "state") and value is not None:
        return Path(value)
    return value
