"""The check that HttpEventTrigger imports anew for every poll."""

from __future__ import annotations

from typing import Any


async def is_ready(response: Any) -> bool:
    return bool(response.json()["status"] == "SUCCESS")
