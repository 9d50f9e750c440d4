"""Signed URLs, as object stores have them. A URL gives access to the data until it expires."""

from __future__ import annotations

import base64
import hmac
import secrets
from datetime import datetime
from hashlib import sha256
from urllib.parse import parse_qs, quote

from airflow_provider_apns.emulator.apple.orders import Refusal


class Signer:
    """Signs paths, and recognises its own signatures."""

    def __init__(self, seed: int) -> None:
        self._key = sha256(f"emulator signing key {seed}".encode()).digest()
        self._mark = b"\xfb\xff" + sha256(b"mark" + self._key).digest()[:10]

    @property
    def mark(self) -> str:
        """How every signature begins. It has a ``+`` and a ``/``, which are percent-encoded in a URL."""
        return base64.b64encode(self._mark).decode()

    def sign(self, path: str, expires_at: datetime) -> str:
        """Return a query that gives access to a path until it expires. Each query is different."""
        expires, nonce = f"{expires_at.timestamp():.6f}", self._mark + secrets.token_bytes(16)
        signature = base64.b64encode(nonce + self._proof(path, expires, nonce)).decode()
        return f"Expires={expires}&Signature={quote(signature, safe='')}"

    def check(self, path: str, query: str, now: datetime) -> None:
        """Refuse a URL that was not signed here, was changed, or has expired."""
        fields = parse_qs(query)
        expires, signature = (fields.get(name, [""])[-1] for name in ("Expires", "Signature"))
        try:
            signed = base64.b64decode(signature, validate=True)
        except ValueError:
            signed = b""
        length = len(self._mark) + 16
        if not hmac.compare_digest(signed[length:], self._proof(path, expires, signed[:length])):
            raise Refusal(403, "The request signature we calculated does not match the signature you provided.")
        if now.timestamp() >= float(expires):
            raise Refusal(403, "Request has expired")

    def _proof(self, path: str, expires: str, nonce: bytes) -> bytes:
        return hmac.digest(self._key, nonce + f"{path}\n{expires}".encode(), "sha256")
