"""The code samples of README.md and docs/.

What a sample is shows in its language and content; an HTML comment in the line before says where that is not enough:

    <!-- sample: file conftest.py -->        a file of a project that the page builds up; its tests are run at the end
    <!-- sample: emulator -->                a command that runs until it is stopped
    <!-- sample: sql duckdb -->              the dialect; DuckDB's is run, that of others is parsed
    <!-- sample: script -->                  Python to be run as it is, in spite of what it contains
    <!-- sample: not run, because ... -->    only its syntax is checked
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(
    r"^(?:[ ]*<!-- sample: (?P<comment>.+?) -->\n)?(?P<indent>[ ]*)```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
OUTPUT = {"text", "console"}


class Sample(NamedTuple):
    """One fenced block."""

    page: str
    line: int
    language: str
    kind: str
    argument: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"


def samples() -> list[Sample]:
    return [sample for page in PAGES for sample in samples_of(page)]


def samples_of(page: Path) -> list[Sample]:
    content, found = page.read_text(), []
    for match in FENCE.finditer(content):
        if match["language"] in OUTPUT:
            continue
        text = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        kind, _, argument = (match["comment"] or kind_of(match["language"], text)).partition(" ")
        line = content.count("\n", 0, match.start("text"))
        found.append(Sample(str(page.relative_to(ROOT)), line, match["language"], kind, argument, text))
    return found


def kind_of(language: str, text: str) -> str:
    if language != "python":
        return language
    if re.search(r"^def test_", text, re.MULTILINE):
        return "pytest"
    return "dag" if re.search(r"^with DAG\(", text, re.MULTILINE) else "script"
