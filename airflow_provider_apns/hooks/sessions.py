"""One HTTP session for all hooks of an event loop."""

from __future__ import annotations

import asyncio
import os
import ssl
from weakref import WeakKeyDictionary

import aiohttp

from airflow_provider_apns.hooks.environment import ca_bundle
from airflow_provider_apns.protocol.retries import CONNECT_TIMEOUT, READ_TIMEOUT

POOL_SIZE = 100
"""The most connections per event loop, and so the most requests at once."""

MAX_HEADER_BYTES = 1 << 16
"""The longest header, as in ``http.client``: a redirect to a long signed URL must fit."""

KEEP_ALIVE = 90.0
"""Seconds that an idle connection stays open: longer than the usual time between two polls."""


class SharedSession:
    """
    The session that all hooks of an event loop share; the last hook to leave closes it.

    So all triggers of a triggerer share one pool of connections, which stay alive between polls. ``http`` exists once a
    hook has joined.
    """

    http: aiohttp.ClientSession

    def __init__(self) -> None:
        self._users = 0
        self._opening = asyncio.Lock()

    @classmethod
    async def join(cls) -> SharedSession:
        """Return the running event loop's session; call :meth:`leave` afterwards."""
        loop = asyncio.get_running_loop()
        shared = _shared.setdefault(loop, cls())
        shared._users += 1
        try:
            async with shared._opening:
                if not hasattr(shared, "http"):
                    shared.http = _new_session(await asyncio.to_thread(_ssl_context))
        except BaseException:
            await shared.leave()
            raise
        return shared

    async def leave(self) -> None:
        """Close the session, if no other hook uses it."""
        self._users -= 1
        if self._users:
            return
        _shared.pop(asyncio.get_running_loop(), None)
        if hasattr(self, "http"):
            await self.http.close()


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, SharedSession] = WeakKeyDictionary()


def _ssl_context() -> ssl.SSLContext:
    bundle = ca_bundle()
    if os.path.isdir(bundle):
        return ssl.create_default_context(capath=bundle)
    return ssl.create_default_context(cafile=bundle)


class _Response(aiohttp.ClientResponse):
    """Has a repr without its headers, and without its URL, which may be signed."""

    def __repr__(self) -> str:
        return f"<answer {self.status}>"


def _new_session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        response_class=_Response,
        connector=aiohttp.TCPConnector(limit=POOL_SIZE, ssl=context, ttl_dns_cache=300, keepalive_timeout=KEEP_ALIVE),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=READ_TIMEOUT),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
    )
