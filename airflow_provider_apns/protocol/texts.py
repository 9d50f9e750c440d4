"""A server's text, made fit to show to a person: short, on one line, and without secrets."""

from __future__ import annotations

import re


def without_secrets(text: str) -> str:
    """Replace whatever looks like a token, or like the signature in a URL, with ``***``."""
    text = re.sub(r"[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}", "***", text)
    # In JSON, each slash may have a backslash before it.
    return re.sub(r"(https?:(?:\\?/){2}[^\s?\"']*)\?[^\s\"']*", r"\1?***", text)


def shorten(text: str, limit: int = 200) -> str:
    """Return a text on one line, in printable characters only, cut to ``limit``."""
    cleaned = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return cleaned if len(cleaned) <= limit else f"{cleaned[: limit - 1]}…"


def beginning_of(body: bytes) -> str:
    """Return the beginning of an unexpected body, for an error."""
    return shorten(without_secrets(body[:4096].decode("utf-8", "replace")), 80)
