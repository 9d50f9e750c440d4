"""
Measure us and the peers, print the table, write docs/benchmarks.md.

    python -m benchmarks                  all of it
    python -m benchmarks import poll      only these
    python -m benchmarks page             only the page, from what was measured before
"""

from __future__ import annotations

import os
import sys
import time

from benchmarks import batch, downloads, imports, live, report, waiting
from benchmarks.process import ROOT, bench

GROUPS = {
    "import": imports.measure,
    "poll": waiting.polls,
    "memory": waiting.memory,
    "block": waiting.block,
    "batch": batch.measure,
    "requests": batch.requests,
    "starts": live.measure,
    "download": downloads.measure,
}


def main(names: list[str]) -> int:
    if unknown := set(names) - {*GROUPS, "page"}:
        print(f"There is no {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}.")
        return 2
    rows = []
    chosen = [name for name in GROUPS if not names or name in names]
    for name in chosen:
        started = time.monotonic()
        print(f"{name}: measuring (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)", flush=True)
        with bench() as processes:
            found = GROUPS[name](processes, lambda text: print(text, flush=True))
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        report.save(name, found)
        rows += found
    report.write_page(list(GROUPS))
    print(report.table(rows))
    if misses := report.missed(rows):
        print("\nGoals that are missed:", *misses, sep="\n- ")
    elif rows:
        print("\nEvery goal is met.")
    print(f"\nWritten to {report.PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main([name for argument in sys.argv[1:] for name in argument.replace(",", " ").split()]))
