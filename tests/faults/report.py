"""How the matrix tells what it has found: in the terminal, and as docs/fault-matrix.md."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.faults.plan import ENDPOINTS, MODES, TIMES, Cell

WORDS = ("fixed", "refused", "lost")

DOCUMENT = """\
# Fault matrix

The test runs every fault of the emulator and of the network, at every request of an export: once, three times and for
ever; in the worker and in the triggerer; for one export and for a batch. Each cell is a complete run, from the request
to the written object. It ends in one of two ways:

- **fixed**: the object is, byte for byte, what the provider makes from Apple's data;
- **refused clearly**: the run ends in time with an error of the provider; the old object is unchanged and no temporary
  file remains.

Anything else is **lost**. The test also searches the logs (at DEBUG) and tracebacks with local variables for the token
and for signed URLs. The emulator reports whether the token was sent to a wrong place.

    $ make fault-matrix
    {totals}
    {leaks} secrets shown by logs or tracebacks

It takes about {minutes} minutes on two cores.

{summary}

The provider refuses at once if a retry cannot help, or if the server asks for more than five minutes. The trigger does
wait that long. All other faults are fixed if they happen once or three times.

The test does not wait: it adds up the delays. A read timeout is half a second (two in a batch) instead of thirty, and a
task's timeout is seconds instead of a day. With the real delays, the longest wait of a cell with one export (except
where the server asks for an hour) would be {longest:.0f} minutes ({longest_cell}).

{details}
"""


class Outcome(NamedTuple):
    """What a field has come to."""

    cell: Cell
    word: str
    error: str = ""
    detail: str = ""
    seconds: float = 0.0
    waited: float = 0.0


def document(outcomes: Sequence[Outcome], leaks: int, seconds: float) -> str:
    bounded = [each for each in outcomes if not each.cell.is_batch and not each.cell.waits_longer]
    longest = max(bounded, key=lambda outcome: outcome.waited)
    return DOCUMENT.format(
        totals=totals(outcomes),
        leaks=leaks,
        minutes=max(1, round(seconds / 60)),
        summary=summary(outcomes),
        longest=longest.waited / 60,
        longest_cell=longest.cell,
        details="\n\n".join(f"## Faults of the {each}\n\n{details(outcomes, each)}" for each in ENDPOINTS),
    )


def totals(outcomes: Iterable[Outcome]) -> str:
    tried, fixed, refused, lost = counts(outcomes)
    return f"{tried} tried: {fixed} fixed, {refused} refused clearly, {lost} lost"


def counts(outcomes: Iterable[Outcome]) -> list[str]:
    words = Counter(outcome.word for outcome in outcomes)
    return [f"{number:,}" for number in (sum(words.values()), *(words[word] for word in WORDS))]


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return the totals by place and mode."""
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.cell.place, MODES[outcome.cell.mode]].append(outcome)
    rows = [[*group, *counts(found)] for group, found in groups.items()]
    everything = [f"**{text}**" if text else "" for text in ("all", "", *counts(outcomes))]
    head = ["where it goes wrong", "how it is run", "tried", "fixed", "refused clearly", "lost"]
    return table(head, [*rows, everything])


def details(outcomes: Iterable[Outcome], endpoint: str) -> str:
    """Return what each fault of an endpoint has come to."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for outcome in outcomes:
        if outcome.cell.endpoint == endpoint:
            word = outcome.word if outcome.word == "fixed" else f"`{outcome.error}`"
            found[outcome.cell.fault][outcome.cell.times].add(word)
    rows = [
        [name, *(", ".join(sorted(words[times], reverse=True)) or "-" for times in TIMES)]
        for name, words in found.items()
    ]
    return table(["fault", *TIMES], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])
