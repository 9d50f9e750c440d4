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
)

INTRODUCTION = """\
# Benchmarks

<!-- Written by `make bench`; edit benchmarks/report.py instead. -->

What this provider costs, compared with others: for a DAG parse, a waiting export and a batch of ten thousand.
`make bench` installs this provider and its peers at the versions in `constraints/bench.txt`, measures each in turn in
the same kind of process, and writes this page. Figures are medians over several rounds. Times are CPU times unless
stated otherwise. Seconds depend on the machine, ratios much less.

| figure | goal | ours | others | |
|---|---|---|---|---|
"""


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

    @property
    def verdict(self) -> str:
        return {True: "met", False: "MISSED", None: ""}[self.met]


def ratio(theirs: float, ours: float) -> str:
    """Return how many times as much as we they need, in two digits."""
    times = theirs / ours if ours else float("inf")
    return f"{times:.0f} times ours" if times >= 10 else f"{times:.2g} times ours"


def save(group: str, rows: Iterable[Row]) -> None:
    """Keep a group's rows beside those of other groups, each with the day and the machine it was measured on."""
    results = load() | {
        group: {
            "day": date.today().isoformat(),
            "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
            f"Python {platform.python_version()}",
            "versions": ", ".join(f"{name} {version(name)}" for name in MEASURED),
            "rows": [asdict(row) for row in rows],
        }
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def load() -> dict[str, Any]:
    return json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}


def table(rows: Sequence[Row]) -> str:
    """Return the rows for a terminal."""
    lines = []
    for row in rows:
        lines.append(f"\n{row.figure}")
        lines.append(f"  {'goal':28} {row.goal}  {row.verdict}".rstrip())
        lines.append(f"  {'ours':28} {row.ours}")
        lines += [f"  {name:28} {value}" for name, value in row.peers.items()]
    return "\n".join(lines)


def write_page(order: Sequence[str]) -> None:
    """Write docs/benchmarks.md from all that has been measured so far."""
    results = load()
    groups = {name: results[name] for name in order if name in results}
    rows = [Row(**row) for group in groups.values() for row in group["rows"]]
    lines = [
        f"| {row.figure} | {row.goal} | {row.ours} | "
        f"{'<br>'.join(f'{name}: {value}' for name, value in row.peers.items())} | {row.verdict} |"
        for row in rows
    ]
    lines += ["", "## How each is measured", ""]
    lines += [f"- **{row.figure}**: {row.note}." for row in rows if row.note]
    lines += ["", "## With what", "", "| measured | on | machine |", "|---|---|---|"]
    lines += [f"| `make bench ONLY={name}` | {group['day']} | {group['machine']} |" for name, group in groups.items()]
    newest = max(groups.values(), key=lambda group: str(group["day"]))
    PAGE.write_text(INTRODUCTION + "\n".join([*lines, "", f"{newest['versions']}.", ""]))
