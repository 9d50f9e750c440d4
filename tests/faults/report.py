"""How the matrix tells what it has found: in the terminal, and as docs/fault-matrix.md."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.faults.plan import ENDPOINTS, MODES, TIMES, Cell

WORDS = ("fixed", "refused", "lost")

DOCUMENT = """\
# Fault matrix

Every fault of the emulator, and of the network before it, at every request of an export: once, three times, for
ever; in the worker and in the triggerer; for one export and in a batch. Each field is a whole run, from the request to
the object at its destination, and ends in one of two ways:

- **fixed**: the object is, byte for byte, what is made from the data that Apple serves;
- **refused clearly**: an error of the provider's family, in bounded time; the object of before is untouched, and
  nothing is left beside it.

Anything else is **lost**. Besides, all that was logged, at DEBUG, and all that a traceback with local variables would
show, is searched for the token and for signed URLs, and the emulator tells whether the token came where it must not.

    $ make fault-matrix
    {totals}
    {leaks} secrets shown by logs or tracebacks

It takes about {minutes} minutes on two cores.

{summary}

What is refused at once is what no second try can mend, or what asks for so long a wait (more than five minutes) that
it is left to Airflow's own retries; but whoever waits for an export anyway waits for that, too. All other faults are
fixed when they happen once or three times.

Waits are scaled down: the rules that decide how long to wait are those of the package, but what they decide is added
up, and two milliseconds are waited in its place. A read timeout is half a second (two in a batch) instead of thirty,
and a task's timeout seconds instead of a day. By the real rules, the longest that a field with one export would have
waited is {longest:.0f} minutes ({longest_cell}), where nobody asks for more.

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
