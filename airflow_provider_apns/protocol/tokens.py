"""The data export token: kept out of sight, and read as far as it can be read."""

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
"""How long before its expiry a token is warned about."""

RENEWAL_HINT = (
    "Make a new data export token in CloudKit Console (Settings > Tokens > Create Data Export Token) for this "
    "app and dataset, and put it into the connection's password."
)

_MAX_CLAIMS_LENGTH = 64_000

_CUT_SHORT = "The token was cut short: it begins as a JWT and does not end as one. Copy it again, in one piece."

_SIGNATURE_LENGTHS = {"HS256": 43, "HS384": 64, "HS512": 86, "ES256": 86}


class Secret(str):
    """
    A string that shows itself only to code that asks for the string.

    ``repr`` and f-strings mask it, so that neither a traceback that prints local variables nor a log line about the
    object around it gives it away. ``str()`` and ``%s`` do not: what sends it needs the string.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __format__(self, format_spec: str) -> str:
        return "***"


@dataclass(frozen=True)
class TokenClaims:
    """
    What a token says of itself, if it reads as a JWT. Apple documents none of it, so all of it is optional.

    :param expires_at: the ``exp`` claim.
    :param scope: the ``scope`` claim, a list of ``"METHOD /path"`` strings.
    :param flaw: what is wrong with a token that begins as a JWT and does not end as one.
    """

    expires_at: datetime | None = None
    scope: tuple[str, ...] = ()
    flaw: str | None = None

    @classmethod
    def read(cls, token: str) -> TokenClaims:
        """
        Read the claims without checking the signature, which is Apple's business.

        :param token: the data export token.
        :return: the claims; empty ones for a token that is no JWT. Nothing is raised.
        """
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
        """
        Refuse an expired token before any request is made with it.

        :param now: the current time.
        :param conn_id: the connection to name in the error.
        :raises ApnsTokenError: if the token's own expiry has passed.
        """
        if self.expires_at is not None and self.expires_at <= now:
            raise ApnsTokenError(
                f"The data export token of connection '{conn_id}' expired on {self.expires_at:%Y-%m-%d %H:%M} UTC. "
                f"{RENEWAL_HINT}"
            )

    def renewal_notice(self, now: datetime, conn_id: str) -> str | None:
        """Return a warning when the token expires within :data:`RENEWAL_NOTICE`, else ``None``."""
        if self.expires_at is None or self.expires_at - now > RENEWAL_NOTICE:
            return None
        return (
            f"The data export token of connection '{conn_id}' expires on {self.expires_at:%Y-%m-%d %H:%M} UTC, "
            f"in {max((self.expires_at - now).days, 0)} days. {RENEWAL_HINT}"
        )

    def scope_mismatch(self, app_id: str | None, dataset: str | None) -> str | None:
        """
        Tell whether the token was made for another app or dataset; used to explain a refusal, never to refuse.

        :param app_id: the bundle identifier that was asked for.
        :param dataset: Apple's path segment of the dataset that was asked for.
        :return: a sentence such as "It is for app com.example.other, not com.example.app.", or ``None``.
        """
        for what, wanted, pattern in (
            ("app", app_id, r"/appId/([^/\s]+)"),
            ("dataset", dataset, r"/datasetName/([^/\s]+)"),
        ):
            found = self._named(pattern)
            if wanted and found and not any(name == wanted or not re.match(r"[\w.-]+$", name) for name in found):
                return f"It is for {what} {', '.join(found)[:200]}, not {wanted}."
        return None


def _object(part: str) -> dict[str, Any]:
    content = _decoded(part)
    return content if isinstance(content, dict) else {}


def _decoded(part: str) -> object:
    """Decode a part of a JWT; ``None`` if it is none."""
    if len(part) > _MAX_CLAIMS_LENGTH:
        return None
    try:
        content: object = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
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
