"""What a server sent, made fit to be shown to a person: short, in one line, and without secrets."""

from __future__ import annotations

import re


def without_secrets(text: str) -> str:
    """Return what a server sent with all that looks like a token or like a signature of a URL as ``***``."""
    text = re.sub(r"[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}", "***", text)
    # JSON may write each slash with a backslash before it.
    return re.sub(r"(https?:(?:\\?/){2}[^\s?\"']*)\?[^\s\"']*", r"\1?***", text)


def shorten(text: str, limit: int = 200) -> str:
    """Return a text in one line of printable characters."""
    cleaned = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return cleaned if len(cleaned) <= limit else f"{cleaned[: limit - 1]}…"


def beginning_of(body: bytes) -> str:
    """Return how a body that is not what it should be begins."""
    return shorten(without_secrets(body[:4096].decode("utf-8", "replace")), 80)
