"""What 1,000 waiting exports cost a triggerer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from benchmarks.process import Bench, in_turn, ledger
from benchmarks.report import Row, ratio

EXPORTS = 1000
POLLS = 5
UNCOUNTED = 2
POOL = 100
LATENCY = 0.5
RARE = 4.0
ONE_SESSION = ("ours", "spread", "bare")
WAYS = {
    "ours": "ours",
    "spread": "bare loop, polls spread",
    "bare": "bare loop, polls in step",
    "http": "HttpEventTrigger",
    "dbt": "dbt-cloud's trigger",
}

BATCHES = {
    "batch": "a batch of 10,000 waits",
    "request": "a batch of 10,000 is requested and waits, for a task that starts from its trigger",
}

ONE_PROCESS = (
    "each way in a process of its own with Airflow loaded and logging as in a triggerer, the emulator in another, TLS "
    "on loopback"
)


def polls(bench: Bench, say: Callable[[str], None]) -> list[Row]:
    found = polled(bench, say, WAYS, interval=1.0, rounds=5)
    rare = polled(bench, say, ("ours", "spread", "bare", "http"), interval=RARE, rounds=3)
    ours, http = found["ours"], found["http"]
    spread, in_step = (ours["poll"] / found[way]["poll"] for way in ("spread", "bare"))
    return [
        Row(
            "CPU per status poll in the trigger, TLS, 1,000 waiting exports",
            "at most 1.3 times the bare loop, a third of HttpEventTrigger",
            f"{ours['poll']:.0f} us, {spread:.2f} times the bare loop (and {in_step:.2f} times one with polls in step)",
            others(found, "poll"),
            max(spread, in_step) <= 1.3 and 3 * ours["poll"] <= http["poll"],
            f"{ONE_PROCESS}; a poll each second, a little less by chance; the bare loop has one aiohttp session and "
            "nothing but requests, and sleeps for 0.8 to 1.0 times the interval, as ours does. Where a thousand polls "
            "come in the same instant, a turn of the event loop serves many, and each takes less; exports that wait "
            "must not come in step, but the goal is held to both loops. Counted from the third poll of each export on, "
            "when every way has filled its pool of connections, and after a full garbage collection",
        ),
        Row(
            f"the same, polls {RARE:.0f} s apart",
            "-",
            f"{rare['ours']['poll']:.0f} us",
            others(rare, "poll"),
            note="the rarer the polls, the more each takes, since the processor's caches have forgotten the last one: "
            "what a poll takes of a triggerer is nearer to this. Ours are due at moments that all exports have in "
            "common, several at each of them, and so wake the event loop less often than the bare loop's",
        ),
        Row(
            "CPU until a trigger has looked twice",
            "-",
            f"{ours['start']:.0f} us",
            others(found, "start"),
            note="the lookup of the connection by Airflow, the first connections and TLS handshakes included",
        ),
        Row(
            f"connections opened by 1,000 waiting exports, {POLLS} polls each",
            f"at most the pool's size, {POOL}",
            f"{ours['connections']:.0f}",
            {WAYS[way]: f"{figures['connections']:.0f}" for way, figures in found.items() if way != "ours"},
            ours["connections"] <= POOL,
        ),
    ]


def polled(
    bench: Bench, say: Callable[[str], None], ways: Iterable[str], interval: float, rounds: int
) -> dict[str, dict[str, float]]:
    def waiting(way: str) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            with bench.server(
                "emulator", tls=True, channels=EXPORTS, exports=EXPORTS, processing_polls=POLLS - 1
            ) as server:
                figures = bench.client("waiting", server, measure="poll", way=way, interval=interval)
                return {
                    "poll": figures["polls"] / EXPORTS / (POLLS - UNCOUNTED) * 1e6,
                    "start": figures["start"] / EXPORTS * 1e6,
                    "connections": ledger(server)["connections"],
                }

        return run

    return in_turn({way: waiting(way) for way in ways}, rounds, say)


def others(found: Mapping[str, Mapping[str, float]], figure: str) -> dict[str, str]:
    ours = found["ours"][figure]
    return {
        WAYS[way]: f"{figures[figure]:.0f} us: {ratio(figures[figure], ours)}"
        for way, figures in found.items()
        if way != "ours"
    }


def memory(bench: Bench, say: Callable[[str], None]) -> list[Row]:
    def growing(way: str, at_once: int, traced: bool) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            exports = EXPORTS * 5 // 4
            options = {"channels": exports, "exports": exports, "processing_polls": 99, "latency": LATENCY}
            with bench.server("emulator", tls=True, **options) as server:
                pool = POOL if way in ONE_SESSION else 0
                how = {"interval": 60, "at_once": at_once, "pool": pool, "traced": traced}
                return bench.client("waiting", server, measure="grow", way=way, **how)

        return run

    def row(what: str, at_once: int, note: str, rounds: int = 1, traced: bool = False) -> Row:
        # Polls are a minute apart here: whether they are in step makes no difference.
        found = in_turn({way: growing(way, at_once, traced) for way in WAYS if way != "bare"}, rounds, say)
        ours = found["ours"]["each"]
        return Row(
            f"memory per waiting export in the triggerer, {what}",
            "at most 10 kB",
            f"{ours / 1000:.1f} kB",
            {
                WAYS[way].partition(",")[0]: f"{figures['each'] / 1000:.1f} kB: {ratio(figures['each'], ours)}"
                for way, figures in found.items()
                if way != "ours"
            },
            ours <= 10_000,
            note,
        )

    grown = (
        "growth of the resident memory by 1,000 further triggers, when 250 are waiting already and have filled the "
        f"pool of connections, since an answer takes {LATENCY} s"
    )
    return [
        row(
            "where fifty begin at once",
            50,
            f"{grown}; Python takes memory by the MiB, which is 1 kB for each, and less of it where earlier peaks have "
            "left some",
            rounds=2,
        ),
        row(
            "where all begin at once",
            EXPORTS,
            f"{grown}; the peak of their beginning is in it, which Python keeps, and varies by a factor of three",
            rounds=2,
        ),
        row("in Python's objects", 50, "the same growth of what tracemalloc counts while they wait", traced=True),
    ]


def block(bench: Bench, say: Callable[[str], None]) -> list[Row]:
    def waiting(way: str, exports: int) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            with bench.server("emulator", tls=True, channels=exports, exports=exports, processing_polls=1) as server:
                return bench.client("waiting", server, measure="block", way=way, interval=1.0)

        return run

    variants = {way: waiting(way, EXPORTS) for way in WAYS} | {way: waiting(way, 10_000) for way in BATCHES}
    found = in_turn(variants, 3, say)
    rows = []
    for way, what in {"ours": "1,000 exports wait", **BATCHES}.items():
        ours = found[way]
        rows.append(
            Row(
                f"event loop blocked by us, longest, while {what}",
                "under 50 ms",
                described(ours),
                {WAYS[peer]: described(found[peer]) for peer in WAYS if peer != "ours"} if way == "ours" else {},
                ours["gap"] < 50,
                "how late a sleep of 5 ms in the same loop came back, as the triggerer's own watchdog measures it: the "
                "longest time that the loop had for nobody else; then the longest single callback. One export was "
                "waited for before, and all garbage collected; a later full collection of Airflow's heap is in both",
            )
        )
    return rows


def described(figures: Mapping[str, Any]) -> str:
    return f"{figures['gap']:.0f} ms (one callback {figures['step']:.0f} ms)"
