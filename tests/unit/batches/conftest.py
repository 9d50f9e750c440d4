from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook


@pytest.fixture
async def hook(apple: Emulator) -> AsyncIterator[ApnsAsyncHook]:
    async with ApnsAsyncHook() as hook:
        yield hook
