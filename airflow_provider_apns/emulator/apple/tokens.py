"""Data export tokens, with the claims and the expiry of Apple's."""

from __future__ import annotations

import base64
import hmac
import json
from datetime import datetime, timedelta
from hashlib import sha512
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_apns.emulator.settings import Settings

TOKEN_HEADER = "X-Apple-CloudKit-Management-Token"  # noqa: S105 - a name, not a secret


def make_token(settings: Settings, now: datetime) -> tuple[str, datetime]:
    """Make a token that looks like Apple's. Return it with its expiry."""
    path = f"/v1/dataExports/apns/teams/{settings.team_id}/appId/{settings.app_id}/datasetName"
    expires_at = now + timedelta(days=settings.token_expires_in_days)
    if settings.token_expires_in_days.is_integer():
        expires_at = expires_at.replace(hour=0, minute=0, second=0, microsecond=0)
    claims = {
        "aud": "acp-developer-client",
        "iss": "ACPDeveloperAPI",
        "sub": f"emulator-{settings.seed}",
        "iat": int(now.timestamp()),
        "exp": int(expires_at.timestamp()),
        "scope": [f"{verb} {path}/{dataset.segment}" for dataset in settings.datasets for verb in ("GET", "POST")],
    }
    signed = ".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "HS512"}, claims))
    signature = hmac.digest(str(settings.seed).encode(), signed.encode(), sha512)
    return f"{signed}.{_encoded(signature)}", expires_at


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")
