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
"""The most connections that one event loop holds open, and so the most requests at once."""

MAX_HEADER_BYTES = 1 << 16
"""The longest header, as in ``http.client``: a signed URL to be redirected to must fit in."""

KEEP_ALIVE = 90.0
"""Seconds that an unused connection stays open: longer than the usual time between two looks at an export."""


class SharedSession:
    """
    The session that the hooks of one event loop share; the last one that leaves closes it.

    All triggers of a triggerer thus have one pool of connections, kept alive between polls.

    ``http`` is there once a hook has joined.
    """

    http: aiohttp.ClientSession

    def __init__(self) -> None:
        self._users = 0
        self._opening = asyncio.Lock()

    @classmethod
    async def join(cls) -> SharedSession:
        """Return the running event loop's session; whoever joins has to :meth:`leave`."""
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
        """Close the session, if nobody else needs it."""
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
    """Shows itself without its URL, which can be a signed one, and without its headers."""

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
