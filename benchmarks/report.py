"""The table: figure, goal, ours, each peer's, the ratio."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import version
from typing import Any

from benchmarks.process import ROOT

RESULTS = ROOT / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"

MEASURED = (
    "airflow-provider-apns",
    "apache-airflow",
    "apache-airflow-providers-http",
    "apache-airflow-providers-dbt-cloud",
    "apache-airflow-providers-amazon",
    "apache-airflow-providers-google",
    "airflow-provider-fivetran-async",
    "aiohttp",
    "moto",
)


@dataclass(frozen=True)
class Row:
    """
    One line of the table.

    :param figure: what was measured.
    :param goal: in words.
    :param ours: with its unit.
    :param peers: what the others need, and how many times as much as we do.
    :param met: whether the goal is met; ``None`` where the line only informs.
    :param note: what a reader has to know.
    """

    figure: str
    goal: str
    ours: str
    peers: Mapping[str, str] = field(default_factory=dict)
    met: bool | None = None
    note: str = ""


def ratio(theirs: float, ours: float) -> str:
    """Return how many times as much as we they need, in two digits."""
    times = theirs / ours if ours else float("inf")
    return f"{times:.0f} times ours" if times >= 10 else f"{times:.2g} times ours"


def save(group: str, rows: Iterable[Row]) -> None:
    """Keep a group's rows beside those of other groups, each with the day and the versions it was measured with."""
    results = load()
    results[group] = {
        "day": date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "rows": [asdict(row) for row in rows],
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def load() -> dict[str, Any]:
    return json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def versions() -> dict[str, str]:
    return {name: version(name) for name in MEASURED}


def table(rows: Sequence[Row]) -> str:
    """Return the rows for a terminal."""
    lines = []
    for row in rows:
        verdict = {True: "met", False: "MISSED", None: ""}[row.met]
        lines.append(f"\n{row.figure}")
        lines.append(f"  {'goal':28} {row.goal}  {verdict}".rstrip())
        lines.append(f"  {'ours':28} {row.ours}")
        lines += [f"  {name:28} {value}" for name, value in row.peers.items()]
        if row.note:
            lines.append(f"  ({row.note})")
    return "\n".join(lines)


def missed(rows: Sequence[Row]) -> list[str]:
    return [f"{row.figure}: {row.ours}, where the goal is {row.goal}" for row in rows if row.met is False]


def write_page(order: Sequence[str]) -> None:
    """Write docs/benchmarks.md from all that has been measured so far."""
    results = load()
    groups = {name: results[name] for name in order if name in results}
    rows = [Row(**row) for group in groups.values() for row in group["rows"]]
    lines = [
        "# Benchmarks",
        "",
        "<!-- Written by `make bench`; edit benchmarks/report.py instead. -->",
        "",
        "What a deployment pays for this provider, beside what it pays for others: one command, `make bench`, installs",
        "us and the peers at the versions in `constraints/bench.txt`, measures all in turn in processes of one kind,",
        "and writes this page. Figures are medians over rounds; times are CPU times where not said otherwise. Seconds",
        "depend on the machine, ratios travel.",
        "",
        "| figure | goal | ours | others | |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        verdict = {True: "met", False: "**missed**", None: ""}[row.met]
        peers = "<br>".join(f"{name}: {value}" for name, value in row.peers.items())
        lines.append(f"| {row.figure} | {row.goal} | {row.ours} | {peers} | {verdict} |")
    if misses := missed(rows):
        lines += ["", "## Where a goal is missed", "", *(f"- {miss}" for miss in misses)]
    lines += ["", "## How each is measured", ""]
    lines += [f"- **{row.figure}**: {row.note}" for row in rows if row.note]
    lines += ["", "## With what", "", "| measured | on | machine |", "|---|---|---|"]
    lines += [f"| `make bench ONLY={name}` | {group['day']} | {group['machine']} |" for name, group in groups.items()]
    newest = max(groups.values(), key=lambda group: group["day"], default={"versions": {}})
    lines += ["", ", ".join(f"{name} {number}" for name, number in newest["versions"].items()) + ".", ""]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(lines))
