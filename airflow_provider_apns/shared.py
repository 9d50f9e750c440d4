"""What all hooks of one event loop share: an HTTP session, a deadline, and lookups of their connections."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections import defaultdict
from collections.abc import Awaitable, Callable
from weakref import WeakKeyDictionary

import aiohttp
import certifi

from airflow_provider_apns.deadline import Deadline
from airflow_provider_apns.exports import POOL_SIZE, Account

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 30.0
"""Seconds without a single byte after which a try is given up."""

KEEP_ALIVE = 90.0
"""Seconds that an unused connection stays open: longer than the usual time between two looks at an export."""


def ca_bundle() -> str:
    """Return the certificates to trust: those the environment names, in the way of ``requests``, or certifi's."""
    named = (os.environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"))
    return next((path for path in named if path), certifi.where())


class Shared:
    """
    What the hooks of one event loop share; the last one that leaves closes it.

    All triggers of a triggerer thus have one pool of connections, kept alive between polls; and a thousand of them that
    begin together, as after a restart, ask Airflow for their connection a few times, not a thousand.

    ``session`` is there once a hook has joined. A question to the API takes one of as many ``turns`` as there are
    connections, and then has a ``deadline``: it may take longer until a connection is free than an answer may take.
    ``lookups`` has one :class:`Lookup` for each Airflow connection, by its id.
    """

    session: aiohttp.ClientSession

    def __init__(self) -> None:
        self.deadline = Deadline(2 * READ_TIMEOUT)
        self.turns = asyncio.Semaphore(POOL_SIZE)
        self.lookups: defaultdict[str, Lookup] = defaultdict(Lookup)
        self._users = 0
        self._opening = asyncio.Lock()

    @classmethod
    async def join(cls) -> Shared:
        """Return what the running event loop shares; whoever joins has to :meth:`leave`."""
        loop = asyncio.get_running_loop()
        shared = _shared.get(loop)
        if shared is None:
            shared = _shared[loop] = cls()
        shared._users += 1
        try:
            await shared._open()
        except BaseException:
            await shared.leave()
            raise
        return shared

    async def _open(self) -> None:
        # The first one makes the session; a thousand that come with it wait for that one.
        async with self._opening:
            if not hasattr(self, "session"):
                self.session = _new_session(await asyncio.to_thread(_ssl_context))

    async def leave(self) -> None:
        """Close all of it, if nobody else needs it."""
        self._users -= 1
        if self._users:
            return
        _shared.pop(asyncio.get_running_loop(), None)
        self.deadline.close()
        if hasattr(self, "session"):
            await self.session.close()


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, Shared] = WeakKeyDictionary()


class Lookup:
    """
    Reads a connection for all who ask at the same time: one reading after the other, each for all who came before it.

    Nobody is given what began to be read before they asked, or a hook whose token was refused just now would be given
    the same token again.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._begun = 0
        self._number = 0
        self._outcome: asyncio.Future[Account] | None = None

    async def __call__(self, read: Callable[[], Awaitable[Account]]) -> Account:
        """
        Return the connection's content.

        :param read: reads it; not called where another's reading serves.
        """
        asked = self._begun
        async with self._lock:
            if self._outcome is None or self._number <= asked:
                self._begun = number = self._begun + 1
                self._outcome, self._number = await self._look(read), number
            return self._outcome.result()

    async def _look(self, read: Callable[[], Awaitable[Account]]) -> asyncio.Future[Account]:
        outcome: asyncio.Future[Account] = asyncio.get_running_loop().create_future()
        try:
            outcome.set_result(self._known(await read()))
        except Exception as error:  # Whatever it is, all who wait for it are told.
            outcome.set_exception(error)
        return outcome

    def _known(self, account: Account) -> Account:
        """Return the last one instead, if it is equal: thousands of waiting triggers then hold one object."""
        last = self._outcome
        if last is None or last.exception() is not None or last.result() != account:
            return account
        return last.result()


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
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )
