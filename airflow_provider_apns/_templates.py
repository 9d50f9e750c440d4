"""Which of a task's arguments are known when the DAG is parsed."""

from __future__ import annotations


def has_template(text: str) -> bool:
    """Whether a text has a Jinja template in it."""
    return "{{" in text or "{%" in text


def is_known(value: object) -> bool:
    """Whether a value is final: neither a template nor another task's output."""
    return value is None or (isinstance(value, str) and not has_template(value))
