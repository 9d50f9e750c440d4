"""Every error text in the package has an entry in docs/errors.md, and every entry there is of an error that exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_provider_apns"
PAGE = (ROOT / "docs" / "errors.md").read_text()
GAP = "…"


class Site(NamedTuple):
    """A place in the source where an error is made."""

    where: str
    text: str


def sites() -> Iterator[Site]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            # Errors are raised, or made by a function for its caller to raise.
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                is_error = re.fullmatch(r"Apns\w+Error|ValueError", node.func.id)
                text = skeleton(node.args[0])
                # "it has a blank in it" is a reason for another message to quote; "…: …" has no word of its own.
                if is_error and re.search(r"\w", text) and not re.match("its? ", text):
                    yield Site(f"{path.relative_to(ROOT)}:{node.lineno}", text)


def skeleton(node: ast.expr) -> str:
    """Return a message with a gap for all that is known only when it is raised."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(skeleton(value) for value in node.values)
    if isinstance(node, ast.BinOp):
        return skeleton(node.left) + skeleton(node.right)
    return GAP


def covers(entry: str, text: str) -> bool:
    """Tell whether an entry's pattern, whose gaps may stand for anything, fits a message."""
    pattern = ".*".join(map(re.escape, entry.split(GAP)))
    return re.fullmatch(pattern, text, re.DOTALL) is not None


SITES = list(sites())
_, *BLOCKS = re.split(r"^\*\*`(?=.+`\*\*$)", PAGE, flags=re.MULTILINE)
ENTRIES = {entry: cure for entry, _, cure in (block.partition("`**\n") for block in BLOCKS)}


def test_the_search_finds_something() -> None:
    assert len(SITES) > 60
    assert len(ENTRIES) > 50


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.where)
def test_every_error_has_an_entry(site: Site) -> None:
    assert any(covers(entry, site.text) for entry in ENTRIES), f"docs/errors.md has no entry for: {site.text}"


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_is_of_an_error_and_has_a_cure(entry: str) -> None:
    assert any(covers(entry, site.text) for site in SITES), f"nothing raises: {entry}"
    assert ENTRIES[entry].strip().startswith(":   ")
