"""What exports that wait cost a triggerer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.process import Bench, in_turn
from benchmarks.report import Row, ratio

EXPORTS = 1000
CHANNELS = 10_000
POLLS = 5
UNCOUNTED = 2
POOL = 100
TIMES = 1.3
MILLISECONDS = 50
OURS = "ours"
SPREAD = "bare loop, polls spread"
IN_STEP = "bare loop, polls in step"
BATCH = "ours, a batch"
WAYS = (OURS, SPREAD, IN_STEP, "HttpEventTrigger", "dbt-cloud's trigger")


def polls(bench: Bench, say: Callable[[str], None]) -> list[Row]:
    def waiting(way: str) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            with bench.server(tls=True, channels=EXPORTS, looks=POLLS - 1) as server:
                cpu = bench.client("waiting", server, measure="poll", way=way)
            return {
                "poll": cpu["polls"] / EXPORTS / (POLLS - UNCOUNTED) * 1e6,
                "start": cpu["start"] / EXPORTS * 1e6,
                "connections": server["seen"]["connections"],
            }

        return run

    found = in_turn({way: waiting(way) for way in WAYS}, 5, say)
    ours = found[OURS]
    spread, in_step = (ours["poll"] / found[way]["poll"] for way in (SPREAD, IN_STEP))
    return [
        Row(
            "CPU per status poll in the trigger, TLS, 1,000 waiting exports",
            f"at most {TIMES} times the better bare loop",
            f"{ours['poll']:.0f} us: {spread:.2f} times the loop with polls spread, {in_step:.2f} times that in step",
            others(found, "poll"),
            max(spread, in_step) <= TIMES,
            "each client runs in its own process, with Airflow loaded and logging as in a triggerer. The server runs "
            "in another process, with TLS on loopback. Each export is polled about once a second. The bare loop has "
            "one aiohttp session and only sends requests. With polls spread, it sleeps for 0.8 to 1.0 times the "
            "interval, as ours does. Polls in step cost less each, because one turn of the event loop serves many of "
            "them. Ours must not poll in step, but the goal compares it with the better of both loops. Polls count "
            "from the third of each export on, when all connections are open, and after a full garbage collection",
        ),
        Row(
            "CPU until a trigger has polled twice",
            "-",
            f"{ours['start']:.0f} us",
            others(found, "start"),
            note="includes Airflow's lookup of the connection, the first connections and their TLS handshakes",
        ),
        Row(
            f"connections opened by 1,000 waiting exports, {POLLS} polls each",
            f"at most the pool's size, {POOL}",
            f"{ours['connections']:.0f}",
            {way: f"{figures['connections']:.0f}" for way, figures in found.items() if way != OURS},
            ours["connections"] <= POOL,
        ),
    ]


def others(found: Mapping[str, Mapping[str, float]], figure: str) -> dict[str, str]:
    ours = found[OURS][figure]
    return {
        way: f"{figures[figure]:.0f} us: {ratio(figures[figure], ours)}"
        for way, figures in found.items()
        if way != OURS
    }


def block(bench: Bench, say: Callable[[str], None]) -> list[Row]:
    def waiting(way: str) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            with bench.server(tls=True, channels=CHANNELS if way == BATCH else EXPORTS) as server:
                return bench.client("waiting", server, measure="block", way=way)

        return run

    found = in_turn({way: waiting(way) for way in (*WAYS, BATCH)}, 3, say)
    blocked = {way: f"{figures['blocked']:.0f} ms" for way, figures in found.items()}
    peers = {way: blocked[way] for way in WAYS if way != OURS}

    def row(what: str, way: str, peers: Mapping[str, str], note: str = "") -> Row:
        figure = f"event loop blocked, longest, while {what}"
        return Row(
            figure, f"at most {MILLISECONDS} ms", blocked[way], peers, found[way]["blocked"] <= MILLISECONDS, note
        )

    return [
        row(
            "1,000 exports wait",
            OURS,
            peers,
            "how late a sleep of 5 ms in the same loop ended, as the triggerer's own watchdog measures it. All "
            "triggers start at the same moment. Ours poll first after 7 to 9 s, as the sensor makes them; the others "
            "poll at once. Before that, one export was awaited and all garbage was collected. A later full collection "
            "of Airflow's heap counts",
        ),
        row("a batch of 10,000 waits", BATCH, {}, "the same, with the operator's single trigger"),
    ]
