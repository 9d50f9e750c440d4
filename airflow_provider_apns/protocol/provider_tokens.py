"""The token that lists channels: a JWT that lives for an hour, signed with one of the team's keys."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from airflow_provider_apns.exceptions import ApnsConnectionError
from airflow_provider_apns.protocol.pem import read_pem
from airflow_provider_apns.protocol.tokens import Secret

if TYPE_CHECKING:
    from airflow_provider_apns.protocol.account import Account

LIFE = timedelta(minutes=30)
"""How long one token is used. Apple accepts it for an hour, and refuses a team that makes one every few minutes."""

KEY_HINT = (
    "Make a key with the Apple Push Notifications service in Apple's developer account (Certificates, Identifiers & "
    "Profiles > Keys). Put its Key ID into the extra field key_id, and the whole text of its .p8 file into private_key."
)


def provider_token(account: Account, now: datetime) -> Secret:
    """
    Sign a token with the team's key. An error says what is wrong with the key, and never quotes it.

    Tasks run in processes that share nothing. They all use the same claims for half an hour, so Apple sees one token.
    """
    seconds = int(now.timestamp())
    return _signed(account, seconds - seconds % int(LIFE.total_seconds()))


@lru_cache(maxsize=8)  # Each signature is different, and is one more secret to mask in logs.
def _signed(account: Account, issued_at: int) -> Secret:
    if not account.key_id or not account.private_key:
        missing = "private_key" if account.key_id else "key_id"
        raise ApnsConnectionError(
            f"Connection '{account.conn_id}' has no {missing}, which listing channels needs. {KEY_HINT}"
        )
    if not re.fullmatch(r"[A-Z0-9]{10}", account.key_id):
        raise ApnsConnectionError(
            f"The extra field key_id of connection '{account.conn_id}' is not a Key ID, which has ten capital letters "
            f"and digits. {KEY_HINT}"
        )
    claims: dict[str, Any] = {"iss": account.team_id, "iat": issued_at}
    return Secret(jwt.encode(claims, _load(account), algorithm="ES256", headers={"kid": account.key_id}))


def _load(account: Account) -> ec.EllipticCurvePrivateKey:
    """Load the key. No local variable here may show it, because tracebacks may print them."""
    wrong = f"The extra field private_key of connection '{account.conn_id}'"
    pem = read_pem(account.private_key)
    if not pem:
        raise ApnsConnectionError(
            f"{wrong} is not a complete PEM text, from -----BEGIN PRIVATE KEY----- to -----END PRIVATE KEY-----. "
            f"{KEY_HINT}"
        )
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: the key has a password.
        key = None
    if key is None:
        raise ApnsConnectionError(f"{wrong} is not a readable private key: it was cut short or changed. {KEY_HINT}")
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ApnsConnectionError(f"{wrong} is not one of Apple's keys, which use the curve P-256. {KEY_HINT}")
    return key
