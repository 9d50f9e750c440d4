"""The code samples of README.md and docs/.

What a sample is shows in its language and content: Python that makes an operator and no DAG belongs into the DAG of
docs/how-to/keep-complete.md. An HTML comment in the line before says where that is not enough:

    <!-- sample: file conftest.py -->        a file of a project that the page builds up; its tests are run at the end
    <!-- sample: emulator -->                a command that runs until it is stopped
    <!-- sample: sql duckdb channel -->      the dialect; DuckDB's is run over a dataset, that of others is parsed
    <!-- sample: coverage -->                a command that looks at a path, and exits with 1 where days are missing
    <!-- sample: s3 -->                      environment variables that change how an object is put
    <!-- sample: not run, because ... -->    only its syntax is checked
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(
    r"^(?:[ ]*<!-- sample: (?P<comment>.+?) -->\n)?(?P<indent>[ ]*)```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
OUTPUT = ("text", "console")


class Sample(NamedTuple):
    """One fenced block."""

    page: str
    line: int
    language: str
    kind: str
    argument: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def samples() -> Iterator[Sample]:
    for page in PAGES:
        content = page.read_text()
        for match in FENCE.finditer(content):
            language = match["language"]
            if language not in OUTPUT:
                text = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
                kind, _, argument = (match["comment"] or _kind_of(language, text)).partition(" ")
                line = content.count("\n", 0, match.start("text"))
                yield Sample(str(page.relative_to(ROOT)), line, language, kind, argument, text)


def _kind_of(language: str, text: str) -> str:
    if language != "python":
        return language
    if re.search(r"^def test_", text, re.MULTILINE):
        return "pytest"
    if re.search(r"^with DAG\(", text, re.MULTILINE):
        return "dag"
    return "tasks" if re.search(r"^(\w+ = )?Apns\w+Operator\(", text, re.MULTILINE) else "script"
