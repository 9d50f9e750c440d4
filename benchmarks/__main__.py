"""
Measure us and the peers, print the table, write docs/benchmarks.md.

    python -m benchmarks                  all of it
    python -m benchmarks import poll      only these
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import batch, imports, live, report, waiting
from benchmarks.process import ROOT, Bench

GROUPS = {
    "import": imports.measure,
    "poll": waiting.polls,
    "block": waiting.block,
    "batch": batch.measure,
    "requests": batch.requests,
    "starts": live.measure,
}


def say(text: str) -> None:
    print(text, flush=True)


def main(names: list[str]) -> int:
    if unknown := set(names) - set(GROUPS):
        say(f"There is no {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}.")
        return 2
    rows = []
    for name in names or GROUPS:
        started = time.monotonic()
        say(f"{name}: measuring (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)")
        with tempfile.TemporaryDirectory(prefix="apns-bench-", ignore_cleanup_errors=True) as folder:
            found = GROUPS[name](Bench(Path(folder)), say)
        say(f"{name}: {time.monotonic() - started:.0f} s")
        report.save(name, found)
        rows += found
    report.write_page(list(GROUPS))
    say(report.table(rows))
    missed = [row for row in rows if row.met is False]
    say(f"\n{len(missed)} of {len(rows)} goals are missed." if missed else "\nEvery goal is met.")
    say(f"Written to {report.PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
