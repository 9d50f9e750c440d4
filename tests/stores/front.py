"""What stands before a store: it keeps count of the requests, and answers some of them in the store's place."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web
from yarl import URL

# What concerns one connection alone, and what aiohttp works out again.
_NOT_PASSED_ON = ("connection", "content-length", "expect", "keep-alive", "transfer-encoding")


class Request(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.method} {self.path}?{'&'.join(self.query)}"


class Front:
    """
    Passes requests on to a port of this machine, and the answers back; a context manager.

    :param port: where the store is
    """

    def __init__(self, port: int) -> None:
        self.seen: list[Request] = []
        self.answer: Callable[[Request], web.Response | None] = lambda request: None
        """What to answer in the store's place, if anything."""
        self._store = f"http://127.0.0.1:{port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Front:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _start(self) -> None:
        added = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
        self._client = aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=added)
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        await self._client.close()
        await self._runner.cleanup()

    async def _pass_on(self, got: web.Request) -> web.StreamResponse:
        request = Request(got.method, got.path, got.query, got.headers)
        self.seen.append(request)
        body = await got.read()
        if answer := self.answer(request):
            return answer
        headers = [(name, value) for name, value in got.headers.items() if name.lower() not in _NOT_PASSED_ON]
        url = URL(self._store + got.raw_path, encoded=True)
        sent = {"headers": headers, "data": body if got.method in ("POST", "PUT") else None}
        async with self._client.request(got.method, url, **sent, allow_redirects=False) as answered:
            kept = [(name, value) for name, value in answered.headers.items() if name.lower() not in _NOT_PASSED_ON]
            if got.method == "HEAD":
                kept.append(("Content-Length", answered.headers.get("Content-Length", "0")))
            return web.Response(status=answered.status, headers=kept, body=await answered.read())
