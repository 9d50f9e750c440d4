"""What 10,000 channels cost in one task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.process import Bench, in_turn, ledger
from benchmarks.report import Row

CHANNELS = 10_000
CONCURRENCY = 64


def measure(bench: Bench, say: Callable[[str], None]) -> list[Row]:
    def running(way: str) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            with bench.server("quick", channels=CHANNELS) as server:
                return bench.client("batch", server, way=way, concurrency=CONCURRENCY)

        return run

    found = in_turn({way: running(way) for way in ("ours", "bare")}, 3, say)
    ours, bare = found["ours"], found["bare"]
    wall, cpu, megabytes = ours["wall"] / bare["wall"], ours["cpu"] / bare["cpu"], ours["memory"] / 1e6
    return [
        Row(
            "10,000 channels, one task: 10,000 POST, 30,000 status GET, 10,000 downloads",
            "at most 2 times the bare script's wall time, 150 MB over Airflow's own",
            f"{ours['wall']:.1f} s ({wall:.2f} times), {ours['cpu']:.1f} s of CPU ({cpu:.2f} times), "
            f"{megabytes:.0f} MB",
            {"bare aiohttp script": f"{bare['wall']:.1f} s, {bare['cpu']:.1f} s of CPU, {bare['memory'] / 1e6:.0f} MB"},
            wall <= 2 and ours["memory"] <= 150e6,
            f"{CONCURRENCY} connections each, plain http on loopback, to a server that answers from constants so that "
            "the client decides; ours reads, sorts and writes one CSV of 70,000 rows, the script throws all away; the "
            "pauses between two looks are left out, and what Airflow does once in a process to find object stores",
        )
    ]


def requests(bench: Bench, say: Callable[[str], None]) -> list[Row]:
    """Count what Apple sees of a hundred exports that take twenty seconds, with the pauses as they are."""
    exports, seconds = 100, 20
    with bench.server("emulator", channels=exports, processing_seconds=seconds) as server:
        bench.client("batch", server, way="ours", concurrency=32, pauses=True)
        seen = ledger(server)
    posts, gets, downloads = (seen[name] / exports for name in ("posts", "gets", "downloads"))
    say(f"  {posts:g} POST, {gets:g} GET, {downloads:g} downloads for each export")
    return [
        Row(
            f"requests to Apple per export that takes {seconds} s",
            "1 POST, n polls, 1 download",
            f"{posts:g} POST, {gets:g} status GET, {downloads:g} download",
            {"a poll each 5 s": f"1 POST, {1 + seconds // 5} status GET, 1 download"},
            posts == 1 and downloads == 1 and gets <= 7,
            "ours looks after 2, 5, 9.5 and 16 s, then every 10, 15, 23, 34, 51 and 60 s (a little less, by chance); "
            "where a task is deferred, the first look is after 7 s, since Airflow cannot resume it sooner, and the "
            "others are 5 s later, too; one GET of them is for a fresh download URL, since a signed URL is never kept",
        )
    ]
