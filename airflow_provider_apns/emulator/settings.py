"""What one emulator is set up to be, and the three datasets that Apple knows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

DATE_COLUMN = "Date (UTC)"

DEMO_TOKEN = "emulator-data-export-token"  # noqa: S105 - it opens the emulator only


@dataclass(frozen=True)
class Dataset:
    """One of Apple's datasets.

    :param name: the short name, used by the command line and in fault specifications
    :param segment: the path segment, in Apple's own spelling
    :param columns: the documented columns, in the documented order
    """

    name: str
    segment: str
    columns: tuple[str, ...]

    @property
    def per_channel(self) -> bool:
        """Whether an export of this dataset is about one channel, which the request must then name."""
        return self.name == "channel"


APPLICATION = Dataset(
    "application",
    "broadcastapplicationmetric",
    (
        DATE_COLUMN,
        "Broadcasts Published",
        "Broadcasts Delivered",
        "Total Subscriptions",
        "Unique Subscribers",
    ),
)
CHANNEL = Dataset(
    "channel",
    "broadcastchannelmetrics",
    (DATE_COLUMN, "Broadcasts Published", "Broadcasts Delivered", "Total Subscriptions"),
)
DELIVERY = Dataset("delivery", "deliverymetrics", ("Push Type", "Status", DATE_COLUMN, "Count"))

DATASETS = (APPLICATION, CHANNEL, DELIVERY)

CSV_TRAITS = {
    "bom": "a UTF-8 byte order mark before the header",
    "crlf": "CRLF line ends",
    "reordered": "the columns in another order",
    "extra": "a column that Apple does not document",
    "header-only": "no rows",
}


def find_dataset(name: str) -> Dataset:
    """Find a dataset by its short name or by Apple's path segment.

    :param name: for example ``channel`` or ``broadcastchannelmetrics``
    """
    for dataset in DATASETS:
        if name in (dataset.name, dataset.segment):
            return dataset
    raise ValueError(f"unknown dataset {name!r}; there are {', '.join(each.name for each in DATASETS)}")


@dataclass(frozen=True)
class Lot:
    """Which exports are picked for a fate: a share of all, and those about something named.

    :param share: from 0 (none) to 1 (all); which ones is decided by the emulator's seed
    :param names: channel identifiers or short dataset names whose exports are always picked
    """

    share: float = 0.0
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, value: Lot | float | str | Iterable[str]) -> Lot:
        """Read a lot from a share, from names, or from a text with both, separated by commas.

        :param value: for example ``0.1``, ``["delivery"]`` or ``"0.05,AAAAAAAAAAAAAAAAAAAAAA=="``
        """
        if isinstance(value, Lot):
            return value
        if isinstance(value, (int, float)):
            return cls(share=float(value))
        words = [word.strip() for word in (value.split(",") if isinstance(value, str) else value)]
        shares = [float(word) for word in words if _is_number(word)]
        return cls(max(shares, default=0.0), frozenset(word for word in words if word and not _is_number(word)))

    def holds(self, names: Iterable[str | None], ticket: float) -> bool:
        """Say whether an export is picked.

        :param names: what the export is about
        :param ticket: the export's own number, evenly spread from 0 to 1
        """
        return ticket < self.share or not self.names.isdisjoint(names)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How an emulator is set up. Build it with :meth:`of`, which takes the convenient spellings too.

    :param host: the address to listen on
    :param port: the port to listen on; 0 takes a free one
    :param token: the data export token that is valid; empty lets ``jwt`` make one, or takes a demo token
    :param team_id: the Apple Developer team that the token belongs to
    :param app_id: the bundle identifier that the token is for
    :param datasets: what the token may ask for; Apple's are for one dataset, the demo token is for all
    :param jwt: make the token look like a JWT, with ``exp`` and ``scope`` claims
    :param token_expires_in_days: when such a token expires, counted from the start; negative: it has
    :param channels: how many broadcast channels the app has
    :param days: how many days back there is data
    :param seed: decides every number, channel identifier and chance
    :param processing_seconds: how long an export stays PROCESSING
    :param processing_polls: how many status requests per export are answered PROCESSING at least
    :param latency: seconds added to every answer
    :param fail: which exports end as FAILED
    :param expire: which exports end as EXPIRED
    :param url_expires_seconds: life of a download URL, in place of the requested minutes
    :param data_url_key: how ``downloadDetails`` spells its key: ``dataUrl`` or ``dataURL``
    :param status_host: host name of status URLs, when it shall be another than the API's
    :param download_host: host name of download URLs, when it shall be another than the API's
    :param csv: traits of the served CSV, out of :data:`CSV_TRAITS`
    :param rows: pad a delivery export to this many rows, for benchmarks of large downloads
    :param tls: serve https, with an own certificate authority
    :param tls_dir: where the certificates are kept; a temporary directory when it is missing
    :param state: journal in which exports and the ledger survive the process
    """

    host: str = "127.0.0.1"
    port: int = 0
    token: str = ""
    team_id: str = "A1B2C3D4E5"
    app_id: str = "com.example.app"
    datasets: tuple[Dataset, ...] = DATASETS
    jwt: bool = False
    token_expires_in_days: float = 180
    channels: int = 10
    days: int = 30
    seed: int = 0
    processing_seconds: float = 0.0
    processing_polls: int = 0
    latency: float = 0.0
    fail: Lot = Lot()
    expire: Lot = Lot()
    url_expires_seconds: float | None = None
    data_url_key: str = "dataUrl"
    status_host: str | None = None
    download_host: str | None = None
    csv: frozenset[str] = frozenset()
    rows: int = 0
    tls: bool = False
    tls_dir: Path | None = None
    state: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what would only show later, as odd data."""
        if unknown := self.csv - CSV_TRAITS.keys():
            raise ValueError(f"unknown csv trait {', '.join(sorted(unknown))}; there are {', '.join(CSV_TRAITS)}")
        if not self.datasets:
            raise ValueError("a token needs at least one dataset")

    @classmethod
    def of(cls, **options: Any) -> Settings:
        """Build settings from the spellings that are convenient to write.

        :param options: the fields of this class; datasets by name, lots as share or names, paths as text
        """
        return cls(**{name: _normalised(name, value) for name, value in options.items()})


def _normalised(name: str, value: Any) -> Any:
    if name in ("fail", "expire"):
        return Lot.of(value)
    if name == "datasets":
        names = [value] if isinstance(value, (str, Dataset)) else value
        return tuple(each if isinstance(each, Dataset) else find_dataset(each) for each in names)
    if name == "csv":
        return frozenset([value] if isinstance(value, str) else value)
    if name in ("tls_dir", "state") and value is not None:
        return Path(value)
    return value
