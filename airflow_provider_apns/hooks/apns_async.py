"""The hook for event loops, over aiohttp."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import aiohttp
from airflow.providers.common.compat.sdk import BaseHook
from yarl import URL

from airflow_provider_apns.exceptions import ApnsError, ApnsServiceError, ApnsTokenError
from airflow_provider_apns.hooks import environment
from airflow_provider_apns.hooks.connections import aload_account, load_account, utc_now
from airflow_provider_apns.hooks.sessions import SharedSession
from airflow_provider_apns.protocol import exchanges
from airflow_provider_apns.protocol.bodies import MAX_BYTES
from airflow_provider_apns.protocol.failures import broken_off
from airflow_provider_apns.protocol.messages import Exchange, HttpAnswer, HttpRequest
from airflow_provider_apns.protocol.retries import Patience, spread
from airflow_provider_apns.reports.reading import Report, download_report

if TYPE_CHECKING:
    from airflow_provider_apns.protocol.account import Account
    from airflow_provider_apns.protocol.datasets import Dataset
    from airflow_provider_apns.protocol.exports import Export, ExportRequest

T = TypeVar("T")

_NETWORK_ERRORS = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


class ApnsAsyncHook(BaseHook):
    """
    Calls Apple's data export API from an event loop, by the same rules as :class:`~.apns.ApnsHook`.

    Use it as an asynchronous context manager. After a 429 or 503, all requests of the hook wait, not only the refused
    one.

    :param apns_conn_id: the connection.
    :param max_bytes: the largest decompressed report to download.
    :param account: the connection's content, which a worker reads before it starts the event loop. If Apple refuses
        the token, the hook reads the connection again as a worker does, not as the triggerer does.
    """

    def __init__(
        self, apns_conn_id: str = "apns_default", *, max_bytes: int = MAX_BYTES, account: Account | None = None
    ) -> None:
        super().__init__()
        self.apns_conn_id = apns_conn_id
        self.max_bytes = max_bytes
        self._account = account
        self._in_worker = account is not None
        self._looking_up = asyncio.Lock()
        self._answers = 0
        self._paused_until = 0.0

    async def __aenter__(self) -> ApnsAsyncHook:
        self._shared = await SharedSession.join()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._shared.leave()

    async def get_account(self) -> Account:
        """
        Return the connection's content, which is looked up once.

        :raises ApnsConnectionError: if the connection is missing or incomplete.
        :raises ApnsTokenError: if the token has expired.
        """
        async with self._looking_up:
            if self._account is None:
                account = await self._read_account()
                account.claims.check_expiry(utc_now(), self.apns_conn_id)
                self._account = account
            return self._account

    async def _read_account(self) -> Account:
        try:
            if self._in_worker:
                return await asyncio.to_thread(load_account, self.get_connection, self.apns_conn_id)
            return await aload_account(self.apns_conn_id)
        except ApnsError as error:
            failure = error.with_traceback(None)
        # Outside the handler, so that the thread's frames, which hold the password, are not chained.
        raise failure

    async def request_export(self, request: ExportRequest, app_id: str | None = None) -> Export:
        """Ask Apple to build a report; see :meth:`ApnsHook.request_export`."""
        app = (await self.get_account()).resolve_app_id(app_id)
        return await self._carry_out(lambda account: exchanges.request_export(account, request, app))

    async def get_export(self, status_url: str) -> Export:
        """Ask for an export's status; see :meth:`ApnsHook.get_export`."""
        return await self._carry_out(lambda account: exchanges.get_export(account, status_url))

    async def download_report(self, status_url: str, dataset: Dataset) -> Report:
        """
        Download a report, and read it.

        :param status_url: the export.
        :param dataset: the expected dataset.
        :raises ApnsError: see :mod:`airflow_provider_apns.exceptions`.
        """
        return await self._carry_out(lambda account: download_report(account, status_url, dataset, self.max_bytes))

    async def _carry_out(self, exchange: Callable[[Account], Exchange[T]]) -> T:
        patience = Patience(answers=self._answers)
        while True:
            try:
                result = await self._try(exchange)
            except ApnsServiceError as error:
                delay = patience.delay_after(error, self._answers)
                if error.slow_down:
                    self._paused_until = max(self._paused_until, asyncio.get_running_loop().time() + delay)
            else:
                self._answers += 1
                return result
            await asyncio.sleep(delay)

    async def _pass_pause(self) -> None:
        if not self._paused_until:
            return
        while (delay := self._paused_until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(spread(delay))

    async def _try(self, exchange: Callable[[Account], Exchange[T]]) -> T:
        account = self._account or await self.get_account()
        try:
            return await self._step_through(exchange(account))
        except ApnsTokenError:
            if not await self._token_was_replaced(account):
                raise
        return await self._step_through(exchange(await self.get_account()))

    async def _token_was_replaced(self, refused: Account) -> bool:
        if self._account is refused:
            self._account = None
        return (await self.get_account()).token != refused.token

    async def _step_through(self, exchange: Exchange[T]) -> T:
        answer = None
        while True:
            try:
                request = exchange.send(answer)  # type: ignore[arg-type]  # None starts it
            except StopIteration as end:
                result: T = end.value
                return result
            await self._pass_pause()
            answer = await self._ask(request)

    async def _ask(self, request: HttpRequest) -> HttpAnswer:
        async with await self._send(request) as response:
            body = bytearray()
            while chunk := await _next_chunk(response, request):
                body += chunk
                if len(body) > request.max_bytes:
                    response.close()
                    break
            return HttpAnswer(response.status, response.headers, utc_now(), bytes(body))

    async def _send(self, request: HttpRequest) -> aiohttp.ClientResponse:
        proxy = environment.proxy_for(request.server)
        handled = sys.exc_info()[1]
        try:
            return await self._shared.http.request(
                request.method,
                # Not URL(request.url), which drops a question mark at the end.
                URL(request.server, encoded=True).with_path(request.target, encoded=True),
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
                proxy=proxy,
            )
        except _NETWORK_ERRORS as error:
            failure: BaseException = environment.no_answer(request, error, handled)
        except BaseException as error:
            # A cancellation: raise it without the library's frames, whose local variables hold the token.
            error.__context__ = None
            failure = error.with_traceback(None)
        # Outside the handler, so that the library's error, which quotes the URL, is not chained to ours. `from None`,
        # because asyncio's pure-Python task runs the coroutine within an exception handler.
        raise failure from None


async def _next_chunk(response: aiohttp.ClientResponse, request: HttpRequest) -> bytes:
    """Return the bytes that have come since the last call; none at the end."""
    try:
        return await response.content.readany()
    except _NETWORK_ERRORS as error:
        failure = broken_off(request, error)
    # Outside the handler, so that the library's error is not chained to ours.
    raise failure from None
