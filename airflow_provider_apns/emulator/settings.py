"""The settings of an emulator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_apns.emulator.datasets import DATASETS, Dataset, find_dataset

DEMO_TOKEN = "emulator-data-export-token"  # noqa: S105 - it works with the emulator only

REQUESTED_AT = ("turns", "T", "space")

CSV_TRAITS = ("bom", "crlf", "reordered", "extra", "header-only")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of an emulator. Build them with :meth:`of`, which also accepts more convenient spellings.

    :param host: address to listen on
    :param port: port to listen on; 0 picks a free one
    :param token: the valid data export token; a demo token by default
    :param team_id: the token's team
    :param app_id: the token's app
    :param datasets: what the token is for; Apple's tokens are for one dataset, the demo token is for all; repeatable
    :param jwt: make a token that is a JWT with the claims of published tokens
    :param token_expires_in_days: days until that token expires: a whole number ends at midnight UTC, as with Apple's
        tokens, a fraction at that very moment; a negative number makes an expired token
    :param channels: how many broadcast channels the app has
    :param channels_port: also list the channels, on an HTTP/2 port of its own; 0 picks a free one
    :param forget_deleted: answer 404 to requests for exports of deleted channels
    :param days: how many days back the data goes
    :param seed: determines every number, channel identifier and chance
    :param processing_seconds: how long an export stays PROCESSING
    :param processing_polls: the least number of status requests that are answered PROCESSING
    :param latency: seconds added to every answer
    :param fail: which exports become FAILED: a share of them, channels or datasets
    :param expire: which exports become EXPIRED: a share of them, channels or datasets
    :param url_expires_seconds: how long download URLs live, instead of the requested time
    :param data_url_key: the key's spelling, as in Apple's example or in Apple's table
    :param requested_at: a T and nine decimals in the answer to a request, the documented space, or both in turns
    :param status_host: a different host name for status URLs
    :param download_host: a different host name for download URLs
    :param csv: how the CSV differs from the documented form; repeatable
    :param tls: serve https with a certificate of its own
    :param tls_dir: where to write ca.pem, which clients must trust; a temporary directory by default
    :param state: journal file, which keeps exports and ledger when the process ends
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
        if unknown := self.csv.difference(CSV_TRAITS):
            raise ValueError(f"unknown csv trait {', '.join(sorted(unknown))}: use {', '.join(CSV_TRAITS)}")
        if self.requested_at not in REQUESTED_AT:
            raise ValueError(f"unknown form {self.requested_at!r} of requestedAt: use {', '.join(REQUESTED_AT)}")
        if not self.datasets:
            raise ValueError("a token needs at least one dataset")

    @classmethod
    def of(cls, **options: Any) -> Settings:
        """Build settings from convenient spellings.

        :param options: the fields of this class; datasets by name, ``fail`` and ``expire`` as a share or names, paths
            as text
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
