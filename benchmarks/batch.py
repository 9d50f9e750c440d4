"""What 10,000 channels cost in one task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.process import Bench, in_turn
from benchmarks.report import Row

CHANNELS = 10_000
CONCURRENCY = 64
WEEK, MONTH = 7, 30
TIMES = 1.5
MEGABYTES = 150


def measure(bench: Bench, say: Callable[[str], None]) -> list[Row]:
    def running(way: str, days: int) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            with bench.server(channels=CHANNELS, days=days) as server:
                return bench.client(
                    "batch", server, way=way, days=days, max_concurrency=CONCURRENCY, poke_interval=0.001
                )

        return run

    def all_of(days: int, *ways: str) -> list[dict[str, Any]]:
        found = in_turn({way: running(way, days) for way in ways}, 3, lambda text: say(f"{text}, {days} days"))
        return [found[way] for way in ways]

    week, week_bare = all_of(WEEK, "ours", "bare")
    month, keep, keep_on, month_bare = all_of(MONTH, "ours", "keep", "keep on", "bare")
    return [
        Row(
            f"10,000 channels x {WEEK} days in one task: 10,000 POST, 30,000 status GET, 10,000 downloads",
            f"at most {TIMES} times the bare script's wall time",
            compared(week, week_bare),
            {"bare aiohttp script": described(week_bare)},
            all(week[figure] <= TIMES * week_bare[figure] for figure in ("wall", "cpu")),
            f"each client has {CONCURRENCY} connections, with plain http on loopback. The server answers from "
            "constants, so that the client decides the time. Ours reads, sorts and writes one CSV of 70,000 rows; the "
            "script discards all data. There are no pauses between polls. CPU time must meet the goal, too, because "
            "on a busy machine both clients wait alike. Memory is the peak above what the process had before, with "
            "Airflow and what it loads to find object stores",
        ),
        Row(
            f"10,000 channels x {MONTH} days in one task",
            f"at most {MEGABYTES} MB over Airflow's own",
            compared(month, month_bare),
            {"bare aiohttp script": described(month_bare)},
            month["memory"] <= MEGABYTES * 1e6,
            "the same, with one CSV of 300,000 rows",
        ),
        Row(
            f"10,000 channels x {MONTH} days, a path kept complete, with nothing stored yet",
            f"at most {MEGABYTES} MB over Airflow's own",
            compared(keep, month_bare),
            {"bare aiohttp script": described(month_bare)},
            keep["memory"] <= MEGABYTES * 1e6,
            "no days are given. Ours lists what is stored, and writes one CSV per day",
        ),
        Row(
            "the same, a day's run: nothing to do but three unsettled days",
            f"at most {MEGABYTES} MB over Airflow's own",
            compared(keep_on, month_bare),
            {"bare aiohttp script": described(month_bare)},
            keep_on["memory"] <= MEGABYTES * 1e6,
            "ours reads the stored rows of the three days, and writes them again with the new rows",
        ),
    ]


def described(figures: dict[str, Any]) -> str:
    return f"{figures['wall']:.1f} s, {figures['cpu']:.1f} s of CPU, {figures['memory'] / 1e6:.0f} MB"


def compared(ours: dict[str, Any], bare: dict[str, Any]) -> str:
    wall, cpu = (ours[figure] / bare[figure] for figure in ("wall", "cpu"))
    return (
        f"{ours['wall']:.1f} s ({wall:.2f} times), {ours['cpu']:.1f} s of CPU ({cpu:.2f} times), "
        f"{ours['memory'] / 1e6:.0f} MB"
    )


def requests(bench: Bench, say: Callable[[str], None]) -> list[Row]:
    """Count what Apple sees of a hundred exports that take twenty seconds, with the pauses as they are."""
    channels, seconds = 99, 20
    with bench.server(channels=channels, seconds=seconds) as server:
        bench.client("batch", server, way="ours", days=WEEK, max_concurrency=32, poke_interval=60)
    # The client exports one channel more, to warm up.
    posts, looks, downloads = (server["seen"][name] / (channels + 1) for name in ("posts", "looks", "downloads"))
    say(f"  {posts:g} POST, {looks:g} GET, {downloads:g} downloads for each export")
    return [
        Row(
            f"requests to Apple per export that takes {seconds} s",
            "1 POST, n polls, 1 download",
            f"{posts:g} POST, {looks:g} status GET, {downloads:g} download",
            {"a poll each 5 s": f"1 POST, {1 + seconds // 5} status GET, 1 download"},
            posts == 1 and downloads == 1 and looks <= 7,
            "ours polls after 2, 5, 9.5 and 16 s, then every 10, 15, 23, 34, 51 and 60 s, each a little less at "
            "random. A deferred task polls first after 7 s, because Airflow cannot resume it sooner. One GET fetches "
            "a new download URL, because signed URLs are never kept",
        )
    ]
