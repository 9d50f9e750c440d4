"""The team's authentication key, and the tokens that are signed with it."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from airflow_provider_apns.emulator.apple.orders import Refusal

_LIFE = timedelta(hours=1)
_RENEWED_AFTER = timedelta(minutes=20)


class AuthenticationKey:
    """A key pair. Each seed gives a different one."""

    def __init__(self, seed: int, team_id: str) -> None:
        digest = sha256(f"emulator authentication key {seed}".encode()).digest()
        self._team_id = team_id
        self._key = ec.derive_private_key(int.from_bytes(digest, "big") >> 8, ec.SECP256R1())
        self.id = base64.b32encode(digest)[:10].decode()
        self._issued_at: int | None = None

    @cached_property
    def pem(self) -> str:
        """The private key, as in Apple's ``.p8`` files."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def check(self, authorization: str | None, now: datetime) -> None:
        """Refuse a token that Apple would not accept."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Refusal(403, "MissingProviderToken")
        issued_at = self._read(token)
        if abs(now.timestamp() - issued_at) > _LIFE.total_seconds():
            raise Refusal(403, "ExpiredProviderToken")
        if self._issued_at is not None and 0 < abs(issued_at - self._issued_at) < _RENEWED_AFTER.total_seconds():
            raise Refusal(429, "TooManyProviderTokenUpdates")
        self._issued_at = issued_at

    def _read(self, token: str) -> int:
        try:
            header = jwt.get_unverified_header(token)
            # PyJWT must not look at the clock: the emulator has its own.
            claims = jwt.decode(token, self._key.public_key(), algorithms=["ES256"], options={"verify_iat": False})
        except jwt.PyJWTError:
            raise Refusal(403, "InvalidProviderToken") from None
        issued_at = claims.get("iat")
        if header.get("kid") != self.id or claims.get("iss") != self._team_id or type(issued_at) is not int:
            raise Refusal(403, "InvalidProviderToken")
        return issued_at
