"""Lets mkdocstrings show docstrings that are written for Sphinx, as Airflow's are: roles become links."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):`(?P<short>[~.]*)(?P<target>[\w.]+)`")
REFERENCE = re.compile(r":ref:`(?P<text>[^`<]+?)\s*<[^`>]+>`")


def to_markdown(text: str) -> str:
    """Return a docstring with its roles as code, and ``::`` blocks left to Markdown's own indentation."""

    def code(match: re.Match[str]) -> str:
        target = match["target"]
        return f"`{target.rpartition('.')[2] if match['short'] else target}`"

    text = REFERENCE.sub(lambda match: match["text"], ROLE.sub(code, text))
    return re.sub(r"::$", ":", text, flags=re.MULTILINE)


class Roles(griffe.Extension):
    """Applied to every docstring as it is loaded."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the object's docstring."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)
