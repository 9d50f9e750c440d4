"""The data export token: kept out of sight, and read as far as possible."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_provider_apns.exceptions import ApnsTokenError
from airflow_provider_apns.protocol.datasets import Dataset

RENEWAL_NOTICE = timedelta(days=14)
"""How long before a token's expiry the warnings begin."""

RENEWAL_HINT = (
    "Make a new data export token in CloudKit Console (Settings > Tokens > Create Data Export Token) for this "
    "app and dataset, and put it into the connection's password."
)

_MAX_CLAIMS_LENGTH = 64_000

_CUT_SHORT = "The token was cut short: it begins like a JWT, but does not end like one. Copy it again, in one piece."

_SIGNATURE_LENGTHS = {"HS256": 43, "HS384": 64, "HS512": 86, "ES256": 86}


class Secret(str):
    """
    A string that masks itself in ``repr`` and f-strings.

    Neither a traceback with local variables nor a log line about an enclosing object reveals it. ``str()`` and ``%s``
    do not mask it, because the code that sends it needs the string.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __format__(self, format_spec: str) -> str:
        return "***"


@dataclass(frozen=True)
class TokenClaims:
    """
    What a token says about itself, if it is a JWT. Apple documents none of it, so all of it is optional.

    ``scope`` has entries such as ``"METHOD /path"``. ``flaw`` says what is wrong with a token that begins like a JWT
    and does not end like one.
    """

    expires_at: datetime | None = None
    scope: tuple[str, ...] = ()
    flaw: str | None = None

    @classmethod
    def read(cls, token: str) -> TokenClaims:
        """Read the claims, or empty ones if the token is not a JWT. The signature is for Apple to check."""
        header, _, rest = token.partition(".")
        claims, _, signature = rest.partition(".")
        algorithm, payload = _object(header).get("alg"), _object(claims)
        whole = _decoded(claims) is not None and len(signature) >= _SIGNATURE_LENGTHS.get(str(algorithm), 0)
        flaw = None if whole or not algorithm else _CUT_SHORT
        return cls(_read_expiry(payload.get("exp")), _read_scope(payload.get("scope")), flaw)

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """The datasets that the scope names."""
        named = self._named(r"/datasetName/([^/\s]+)")
        return tuple(dataset for dataset in Dataset if dataset.value in named)

    def _named(self, pattern: str) -> list[str]:
        return sorted({match for entry in self.scope for match in re.findall(pattern, entry)})

    def check_expiry(self, now: datetime, conn_id: str) -> None:
        """Refuse an expired token before it is used in a request."""
        if self.expires_at is not None and self.expires_at <= now:
            raise ApnsTokenError(
                f"The data export token of connection '{conn_id}' expired on {self.expires_at:%Y-%m-%d %H:%M} UTC. "
                f"{RENEWAL_HINT}"
            )

    def renewal_notice(self, now: datetime, conn_id: str) -> str | None:
        """Return a warning if the token expires within :data:`RENEWAL_NOTICE`."""
        if self.expires_at is None or self.expires_at - now > RENEWAL_NOTICE:
            return None
        return (
            f"The data export token of connection '{conn_id}' expires on {self.expires_at:%Y-%m-%d %H:%M} UTC, "
            f"in {max((self.expires_at - now).days, 0)} days. {RENEWAL_HINT}"
        )

    def scope_mismatch(self, app_id: str | None, dataset: str | None) -> str | None:
        """
        Say whether the token is for another app or dataset, and what to do then.

        This explains a refusal and never causes one. ``dataset`` is Apple's path segment.
        """
        for what, wanted, pattern in (
            ("app", app_id, r"/appId/([^/\s]+)"),
            ("dataset", dataset, r"/datasetName/([^/\s]+)"),
        ):
            found = self._named(pattern)
            if wanted and found and not any(name == wanted or not re.match(r"[\w.-]+$", name) for name in found):
                return (
                    f"It is for {what} {', '.join(found)[:200]}, not {wanted}: put it into the connection of that "
                    f"{what}, and a token for this one into this connection."
                )
        return None


def _object(part: str) -> dict[str, Any]:
    content = _decoded(part)
    return content if isinstance(content, dict) else {}


def _decoded(part: str) -> object:
    """Decode a part of a JWT; ``None`` if it cannot be decoded."""
    if len(part) > _MAX_CLAIMS_LENGTH:
        return None
    try:
        # Too much padding does no harm.
        content: object = json.loads(base64.urlsafe_b64decode(part + "=="))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return content


def _read_expiry(value: object) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return datetime.fromtimestamp(value, tz=timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None


def _read_scope(value: object) -> tuple[str, ...]:
    entries = value if isinstance(value, list) else [value]
    return tuple(entry for entry in entries if isinstance(entry, str))
