r"""A private key as people paste it: with real line breaks, with ``\n`` as two characters, or on one line."""

from __future__ import annotations

import re

from airflow_provider_apns.protocol.tokens import Secret

_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----(.*?)-----END \1-----", re.DOTALL)
_BREAK = re.compile(r"(?:\s|\\[nr])+")


def read_pem(text: str) -> Secret:
    """Return a key's PEM text as its file has it, or an empty text if part of the key is missing."""
    match = _PEM.search(text)
    if match is None:
        return Secret()
    begin, end = (f"-----{word} {match[1]}-----" for word in ("BEGIN", "END"))
    return Secret("\n".join([begin, *_wrap(_BREAK.sub("", match[2])), end, ""]))


def secrets_of(text: str) -> set[str]:
    """Return every piece of a pasted key, complete or broken, that a log could show. Logs mask line by line."""
    pieces = re.findall(r"[A-Za-z0-9+/=]+", _BREAK.sub(" ", re.sub(r"-+[A-Z ]+-+", " ", text)))
    body = "".join(pieces)
    return {piece for piece in (body, *_wrap(body), *pieces) if len(piece) > _SHORT}


_SHORT = 8
"""Pieces up to this length reveal nothing, and could be words."""


def _wrap(body: str) -> list[str]:
    return [body[at : at + 64] for at in range(0, len(body), 64)]
