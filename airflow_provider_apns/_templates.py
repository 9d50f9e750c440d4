"""Which arguments of a task are known when the DAG is parsed."""

from __future__ import annotations


def has_template(text: str) -> bool:
    """Whether a text has a Jinja template in it."""
    return "{{" in text or "{%" in text


def is_known(value: object) -> bool:
    """Whether a value is what the task will get: no template, and no output of another task."""
    return value is None or (isinstance(value, str) and not has_template(value))
