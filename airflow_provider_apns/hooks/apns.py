"""Two thin transports over :mod:`airflow_provider_apns.exports`: requests for workers, aiohttp for event loops."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import date, datetime, timedelta, timezone
from functools import cache, cached_property
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, TypeVar

import aiohttp
import requests
import urllib3
from airflow.providers.common.compat.sdk import BaseHook
from tenacity import AsyncRetrying, RetryCallState, Retrying, retry_if_exception
from yarl import URL

from airflow_provider_apns import _compat, get_provider_info, shared
from airflow_provider_apns.bodies import AnswerBody, BodyDecoder
from airflow_provider_apns.exceptions import (
    ApnsError,
    ApnsNotFoundError,
    ApnsServiceError,
    ApnsTokenError,
)
from airflow_provider_apns.exports import (
    MAX_ANSWER_BYTES,
    MAX_REDIRECTS,
    MAX_TRIES,
    OLDEST_DAY,
    Account,
    Dataset,
    Export,
    ExportRequest,
    HttpAnswer,
    HttpRequest,
    Origin,
    Window,
    follow_download,
    network_failure,
    read_export_requested,
    read_export_status,
    read_status_url,
    request_download,
    request_export,
    request_status,
    retry_delay,
    should_retry,
    spread,
)
from airflow_provider_apns.reports import CsvCheck
from airflow_provider_apns.storage import Download, check_free, object_path, publishing, writing_behind
from airflow_provider_apns.tokens import Secret

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection, ObjectStoragePath

    Build = Callable[[Account], HttpRequest]
    Read = Callable[[HttpAnswer, Account], Export]

T = TypeVar("T")

MAX_BYTES = 4 << 30
"""The largest decompressed report that is downloaded unless a task says otherwise."""

_CHUNK = 1 << 18
_NETWORK_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, aiohttp.ClientError, OSError, TimeoutError)


def utc_now() -> datetime:
    """Return the current time; the only clock that the hooks read."""
    return datetime.now(tz=timezone.utc)


def _connection_form() -> dict[str, Any]:
    (connection_type,) = get_provider_info()["connection-types"]
    form: dict[str, Any] = connection_type
    return form


def read_account(connection: Connection, conn_id: str) -> Account:
    """
    Read an Airflow connection of type ``apns``, and mask its token in all logs.

    :raises ApnsConnectionError: naming the field that is missing or wrong.
    """
    try:
        account = Account.read(
            conn_id,
            login=connection.login,
            password=connection.password,
            host=connection.host,
            port=connection.port,
            schema=connection.schema,
            extra=connection.extra_dejson,
        )
    except ApnsError as error:
        failure = error.with_traceback(None)
    else:
        _compat.mask_secret(str(account.token))
        return account
    # Neither that frame nor this one may show the password as a local variable.
    del connection
    raise failure


class _Patience:
    """
    Tells tenacity when to give up: after so many tries.

    While a server that limits the rate lets other requests of the same batch through, tries are not counted: the batch
    makes progress, only slowly.

    :param tries: how many there are.
    :param answers: returns how many answers there were so far.
    """

    def __init__(self, tries: int, answers: Callable[[], int] = int) -> None:
        self._tries = tries
        self._answers = answers
        self._seen = answers()
        self._idle = 0

    def __call__(self, state: RetryCallState) -> bool:
        error = _error(state)
        moving = isinstance(error, ApnsServiceError) and error.slow_down and self._answers() > self._seen
        self._seen = self._answers()
        self._idle = 1 if moving else self._idle + 1
        return self._idle >= self._tries


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _delay(state: RetryCallState) -> float:
    return state.next_action.sleep if state.next_action else 0.0


def _retry_options(log: Any, patience: _Patience) -> dict[str, Any]:
    """Return tenacity's settings, which both transports share; the rules themselves are in ``exports``."""

    def tell(state: RetryCallState) -> None:
        log.warning("%s Trying again in %.0f s (try %d).", _error(state), _delay(state), state.attempt_number + 1)

    return {
        "retry": retry_if_exception(should_retry),
        "wait": lambda state: retry_delay(_error(state), state.attempt_number),
        "stop": patience,
        "before_sleep": tell,
        "reraise": True,
    }


class _Receiver:
    """Passes a report on, decompressed, and checks that it is whole and a CSV of the dataset."""

    def __init__(
        self,
        headers: Mapping[str, str],
        write: Callable[[bytes], object],
        dataset: Dataset | None,
        max_bytes: int,
        what: str,
    ) -> None:
        self._decoder = BodyDecoder(headers, max_bytes, what)
        self._check = CsvCheck(dataset, what)
        self._write = write

    def feed(self, chunk: bytes) -> None:
        for piece in self._decoder.feed(chunk):
            self._pass_on(piece)

    def finish(self) -> None:
        for piece in self._decoder.rest():
            self._pass_on(piece)
        self._decoder.check_whole()
        self._check.finish()

    def _pass_on(self, piece: bytes) -> None:
        self._check.feed(piece)
        self._write(piece)


def _too_many_redirects(what: str) -> ApnsServiceError:
    return ApnsServiceError(f"The download of the {what} was redirected more than {MAX_REDIRECTS} times.")


@cache
def proxy_for(server: str) -> str | None:
    """Return the proxy that the environment names for a server; never one for this machine's own addresses."""
    origin = Origin.of(server)
    if origin is None or origin.is_loopback:
        return None
    return requests.utils.select_proxy(server, requests.utils.get_environ_proxies(server))


_downloading: ContextVar[bool] = ContextVar("apns_downloading", default=False)


def _hide_signed_url(record: logging.LogRecord) -> bool:
    """
    Keep signed URLs out of urllib3's lines, which quote the path of every request at DEBUG.

    Of a broken header it warns with the whole URL, and with a traceback whose local variables have it, too.
    """
    if _downloading.get() and isinstance(record.args, tuple):
        record.args = tuple("***" if isinstance(arg, str) and "/" in arg else arg for arg in record.args)
        record.exc_info = None
    return True


for _name in ("urllib3.connectionpool", "urllib3.connection"):
    logging.getLogger(_name).addFilter(_hide_signed_url)


class _Session(requests.Session):
    """Knows no redirects: even where it is not to follow one, ``requests`` reads its target and all of its body."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class ApnsHook(BaseHook):
    """
    Talks to Apple's data export API from a worker.

    Transient failures (no connection, 408, 429, 5xx, an answer that is not the documented one) are tried again with
    capped exponential backoff and jitter, obeying ``Retry-After``; a repeated request for an export is safe by
    Apple's rule, since it answers with the same status URL for 24 hours.

    :param apns_conn_id: the :ref:`connection <howto/connection:apns>`: one data export token, so one app and
        one dataset.
    :param max_bytes: the largest decompressed report to download, a guard against decompression bombs.
    """

    conn_name_attr = "apns_conn_id"
    default_conn_name = "apns_default"
    conn_type = "apns"
    hook_name = "Apple Push Notification service (APNs)"

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the form's labels for Airflow older than 3.2, which does not look for them in the metadata."""
        behaviour = _connection_form()["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's further fields for Airflow older than 3.2."""
        field_widgets: Any = import_module("flask_appbuilder.fieldwidgets")
        fields: Any = import_module("wtforms")
        return {
            name: fields.StringField(field["label"], widget=field_widgets.BS3TextFieldWidget())
            for name, field in _connection_form()["conn-fields"].items()
        }

    def __init__(self, apns_conn_id: str = default_conn_name, *, max_bytes: int = MAX_BYTES) -> None:
        super().__init__()
        self.apns_conn_id = apns_conn_id
        self.max_bytes = max_bytes
        self._tries = MAX_TRIES

    @cached_property
    def account(self) -> Account:
        """
        The connection's content.

        :raises ApnsConnectionError: if it is incomplete.
        :raises ApnsTokenError: if the token says that it has expired.
        """
        account = read_account(self.get_connection(self.apns_conn_id), self.apns_conn_id)
        account.claims.check_expiry(utc_now(), self.apns_conn_id)
        if notice := account.claims.renewal_notice(utc_now(), self.apns_conn_id):
            self.log.warning(notice)
        return account

    def get_conn(self) -> requests.Session:
        """Return the HTTP session, which knows no token: each request brings its own headers."""
        return self._session

    @cached_property
    def _session(self) -> requests.Session:
        session = _Session()
        session.trust_env = False  # A netrc entry must not add credentials; proxies and certificates are set here.
        session.verify = shared.ca_bundle()
        return session

    def request_export(
        self,
        dataset: str,
        start_date: str | date,
        end_date: str | date,
        channel_id: str | None = None,
        app_id: str | None = None,
        url_expires_in_minutes: int = 60,
    ) -> Export:
        """
        Ask Apple to build a report.

        Asking the same again within 24 hours gives the same export.

        :param dataset: ``application``, ``channel`` or ``delivery``, or Apple's own name of it.
        :param start_date: first day, ``yyyy-MM-dd``, at most 30 days ago (UTC).
        :param end_date: last day, included; later than the first, and over (UTC).
        :param channel_id: base64; for the channel dataset, and only for it.
        :param app_id: bundle identifier, if not the connection's.
        :param url_expires_in_minutes: how long a download URL shall live, 20 to 60.
        :return: the export, still being built.
        :raises ApnsInvalidRequestError: if an argument breaks one of Apple's rules; nothing is sent.
        :raises ApnsError: see :mod:`airflow_provider_apns.exceptions`.
        """
        request = ExportRequest(
            Dataset.parse(dataset),
            Window.read(start_date, end_date, utc_now().date()),
            channel_id,
            url_expires_in_minutes,
        )
        return self._request(request, app_id)

    def _request(self, request: ExportRequest, app_id: str | None) -> Export:
        app = self.account.resolve_app_id(app_id)
        return self._retry(
            self._ask,
            lambda account: request_export(account, request, app),
            lambda answer, account: read_export_requested(answer, account, request, app),
        )

    def get_export(self, status_url: str) -> Export:
        """
        Ask for an export's status.

        :param status_url: what :meth:`request_export` returned.
        :return: the export; with a new download URL, if it is ready.
        :raises ApnsError: see :mod:`airflow_provider_apns.exceptions`.
        """
        return self._retry(self._look, read_status_url(status_url))

    def _look(self, status_url: str) -> Export:
        return self._ask(
            lambda account: request_status(account, status_url),
            lambda answer, account: read_export_status(answer, account, status_url),
        )

    def download_export(
        self,
        status_url: str,
        path: str | ObjectStoragePath,
        *,
        dataset: str | None = None,
        overwrite: bool = True,
    ) -> Download:
        """
        Download a report, byte for byte as Apple built it, in bounded memory.

        The object appears at its destination only once it is whole and known to be a CSV of Apple's.

        :param status_url: what :meth:`request_export` returned.
        :param path: where to write: any ``ObjectStoragePath``, its URL, or a local path.
        :param dataset: the dataset that it must be; any of Apple's without it.
        :param overwrite: whether to replace what is there.
        :return: path, size in bytes and SHA-256 of what was written.
        :raises ApnsError: see :mod:`airflow_provider_apns.exceptions`.
        """
        expected = Dataset.parse(dataset) if dataset else None
        target = object_path(path)
        check_free(target, overwrite)
        return self._retry(self._download, read_status_url(status_url), target, expected)

    def _download(self, status_url: str, target: ObjectStoragePath, dataset: Dataset | None) -> Download:
        what = f"report of export {status_url}"
        # One look only: the whole download is what is tried again, and tries within tries would multiply.
        data_url = _ready(self._look(status_url)).data_url or Secret()
        with publishing(target) as file:
            with (
                self._open_download(request_download(data_url, what)) as response,
                writing_behind(file.write) as write,
            ):
                receiver = _Receiver(response.headers, write, dataset, self.max_bytes, what)
                for chunk in _raw_chunks(response, what):
                    receiver.feed(chunk)
                receiver.finish()
            return file.result()

    @contextmanager
    def _open_download(self, request: HttpRequest) -> Iterator[requests.Response]:
        flag = _downloading.set(True)
        try:
            for _ in range(MAX_REDIRECTS + 1):
                with self._send(request) as response:
                    answer = HttpAnswer(response.status_code, response.headers, utc_now())
                    if (target := follow_download(answer, request)) is None:
                        yield response
                        return
                request = target
            raise _too_many_redirects(request.what)
        finally:
            _downloading.reset(flag)

    def _retry(self, call: Callable[..., T], *args: Any) -> T:
        return Retrying(**_retry_options(self.log, _Patience(self._tries)))(call, *args)

    def _ask(self, build: Build, read: Read) -> Export:
        try:
            return read(self._exchange(build(self.account)), self.account)
        except ApnsTokenError:
            if not self._token_was_replaced():
                raise
        return read(self._exchange(build(self.account)), self.account)

    def _token_was_replaced(self) -> bool:
        refused = self.account.token
        del self.account
        return self.account.token != refused

    def _exchange(self, request: HttpRequest) -> HttpAnswer:
        with self._send(request) as response:
            body = AnswerBody(response.headers, MAX_ANSWER_BYTES)
            for chunk in _raw_chunks(response, request.what):
                if not body.feed(chunk):
                    break
            return HttpAnswer(response.status_code, response.headers, utc_now(), body.decoded())

    def _send(self, request: HttpRequest) -> requests.Response:
        proxy = proxy_for(request.server)
        handled = sys.exc_info()[1]
        try:
            return self._session.request(
                request.method,
                request.url,
                data=request.body,
                headers=request.headers,
                timeout=(shared.CONNECT_TIMEOUT, shared.READ_TIMEOUT),
                stream=True,
                allow_redirects=False,
                proxies={"http": proxy, "https": proxy} if proxy else None,
            )
        except BaseException as error:
            failure = _failure(request, error, handled)
        # Outside of the handler: the library's error quotes the URL, and must not be chained to ours.
        raise failure

    def test_connection(self) -> tuple[bool, str]:
        """
        Try the connection, for the Test button and ``airflow connections test``.

        Apple has no call for that, so an export of the oldest days, which are settled, is asked for: it shows
        that host, team, app and token fit together, and stands in no later request's way.

        :return: whether it works, and a text that says so or tells what to do.
        """
        self._tries = 1
        try:
            account = self.account
            dataset = self._probe()
        except ApnsError as error:
            return False, str(error)
        except Exception as error:  # Whatever it is, the person at the form wants to read it.
            return False, f"{type(error).__name__}: {error}"
        expiry = account.claims.expires_at
        until = f" It expires on {expiry:%Y-%m-%d}." if expiry else ""
        return True, (
            f"Apple accepts the token of team {account.team_id} for the {dataset.short_name} dataset "
            f"of {account.resolve_app_id(None)}.{until}"
        )

    def _probe(self) -> Dataset:
        """Return the dataset that the token is for."""
        oldest = utc_now().date() - timedelta(days=OLDEST_DAY - 1)
        window = Window(oldest, oldest + timedelta(days=1))
        refusals = []
        for dataset in Dataset:
            channel_id = _NO_CHANNEL if dataset is Dataset.CHANNEL else None
            try:
                self._request(ExportRequest(dataset, window, channel_id), None)
            except ApnsTokenError as error:
                refusals.append(error)
            except ApnsNotFoundError:
                if not channel_id:
                    raise
                return dataset
            else:
                return dataset
        raise refusals[0]


_NO_CHANNEL = "AAAAAAAAAAAAAAAAAAAAAA=="
"""A channel that no app has: a token for the channel dataset gets 404 for it, any other 401."""


def _ready(export: Export) -> Export:
    """Return an export that can be downloaded, or raise the error that says why it cannot."""
    if not export.check().is_ready:
        raise ApnsServiceError(
            f"The export {export.status_url} is not ready (status {export.status}): wait for it with ApnsExportSensor."
        )
    return export


def _raw_chunks(response: requests.Response, what: str) -> Iterator[bytes]:
    stream = response.raw.stream(_CHUNK, decode_content=False)
    while True:
        try:
            chunk = next(stream, None)
        except _NETWORK_ERRORS as error:
            failure = _broken_off(what, error)
        else:
            if chunk is None:
                return
            yield chunk
            continue
        raise failure


def _failure(request: HttpRequest, error: BaseException, handled: BaseException | None) -> BaseException:
    """
    Return what to raise instead of a library's error.

    An interruption, such as that of ``execution_timeout``, remains what it is, but without the libraries' frames:
    their local variables have the signed URL and the token.
    """
    if isinstance(error, _NETWORK_ERRORS):
        return network_failure(request, error, handled)
    error.__context__ = None
    return error.with_traceback(None)


def _broken_off(what: str, error: BaseException) -> ApnsServiceError:
    return ApnsServiceError(f"The connection broke while the {what} was read ({type(error).__name__}).")


def _download_timeout() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=shared.CONNECT_TIMEOUT, sock_read=shared.READ_TIMEOUT)


class ApnsAsyncHook(BaseHook):
    """
    Talks to Apple's data export API from an event loop; the rules are those of :class:`ApnsHook`.

    Use it as an asynchronous context manager. A 429 or 503 makes all requests of the hook wait, not only the one
    that got it.

    :param apns_conn_id: the connection.
    :param max_bytes: the largest decompressed report to download.
    """

    def __init__(self, apns_conn_id: str = ApnsHook.default_conn_name, *, max_bytes: int = MAX_BYTES) -> None:
        super().__init__()
        self.apns_conn_id = apns_conn_id
        self.max_bytes = max_bytes
        self._account: Account | None = None
        self._looking_up = asyncio.Lock()
        self._answers = 0
        self._paused_until = 0.0

    async def __aenter__(self) -> ApnsAsyncHook:
        self._shared = await shared.Shared.join()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self._shared.leave()

    async def get_account(self) -> Account:
        """
        Return the connection's content, looked up once.

        :raises ApnsConnectionError: if it is incomplete.
        :raises ApnsTokenError: if the token says that it has expired.
        """
        async with self._looking_up:
            if self._account is None:
                account = await self._shared.lookups[self.apns_conn_id](self._read_account)
                account.claims.check_expiry(utc_now(), self.apns_conn_id)
                if notice := account.claims.renewal_notice(utc_now(), self.apns_conn_id):
                    self.log.warning(notice)
                self._account = account
            return self._account

    async def _read_account(self) -> Account:
        try:
            return await _compat.read_connection(
                self.apns_conn_id, lambda connection: read_account(connection, self.apns_conn_id)
            )
        except ApnsError as error:
            failure = error.with_traceback(None)
        # Outside of the handler: the frames of the thread have the password.
        raise failure

    async def request_export(self, request: ExportRequest, app_id: str | None = None) -> Export:
        """Ask Apple to build a report; see :meth:`ApnsHook.request_export`."""
        app = (await self.get_account()).resolve_app_id(app_id)
        return await self._retry(
            self._ask,
            lambda account: request_export(account, request, app),
            lambda answer, account: read_export_requested(answer, account, request, app),
        )

    def get_export(self, status_url: str) -> Coroutine[Any, Any, Export]:
        """Ask for an export's status; see :meth:`ApnsHook.get_export`."""
        return self._retry(self._look, read_status_url(status_url))

    def _look(self, status_url: str) -> Coroutine[Any, Any, Export]:
        return self._ask(
            lambda account: request_status(account, status_url),
            lambda answer, account: read_export_status(answer, account, status_url),
        )

    async def download_export(self, status_url: str, file: IO[bytes], dataset: Dataset) -> None:
        """
        Download a report into a local file, and check that it is whole.

        :param status_url: what :meth:`request_export` returned.
        :param file: an empty, seekable binary file.
        :param dataset: the dataset that it must be.
        :raises ApnsError: see :mod:`airflow_provider_apns.exceptions`.
        """
        await self._retry(self._download, status_url, file, dataset)

    async def _download(self, status_url: str, file: IO[bytes], dataset: Dataset) -> None:
        what = f"report of export {status_url}"
        data_url = _ready(await self._look(status_url)).data_url or Secret()
        file.seek(0)
        file.truncate()
        async with self._open_download(request_download(data_url, what)) as response:
            receiver = _Receiver(response.headers, file.write, dataset, self.max_bytes, what)
            while not response.content.at_eof():
                receiver.feed(await _next_chunk(response, what))
            receiver.finish()

    @asynccontextmanager
    async def _open_download(self, request: HttpRequest) -> AsyncIterator[aiohttp.ClientResponse]:
        await self._pass_pause()
        for _ in range(MAX_REDIRECTS + 1):
            async with await self._send(request, _download_timeout()) as response:
                answer = HttpAnswer(response.status, response.headers, utc_now())
                if (target := follow_download(answer, request)) is None:
                    yield response
                    return
            request = target
        raise _too_many_redirects(request.what)

    async def _retry(self, call: Callable[..., Awaitable[T]], *args: Any) -> T:
        try:
            result = await call(*args)
        except ApnsServiceError as error:
            failures = [error]
        else:
            self._answers += 1
            return result

        async def again() -> T:
            # The failed try is the first one of tenacity's, which costs too much to begin with at each of many polls.
            if failures:
                raise failures.pop()
            return await call(*args)

        options = _retry_options(self.log, _Patience(MAX_TRIES, lambda: self._answers))
        tell = options.pop("before_sleep")

        def tell_and_pause(state: RetryCallState) -> None:
            tell(state)
            self._pause(state)

        result = await AsyncRetrying(**options, before_sleep=tell_and_pause)(again)
        self._answers += 1
        return result

    def _pause(self, state: RetryCallState) -> None:
        """Make all requests wait as long as the one that was told to slow down."""
        error = _error(state)
        if isinstance(error, ApnsServiceError) and error.slow_down:
            until = asyncio.get_running_loop().time() + _delay(state)
            self._paused_until = max(self._paused_until, until)

    async def _pass_pause(self) -> None:
        while (delay := self._paused_until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(spread(delay))

    async def _ask(self, build: Build, read: Read) -> Export:
        account = self._account or await self.get_account()
        try:
            return read(await self._exchange(build(account)), account)
        except ApnsTokenError:
            if not await self._token_was_replaced(account):
                raise
        account = await self.get_account()
        return read(await self._exchange(build(account)), account)

    async def _token_was_replaced(self, refused: Account) -> bool:
        if self._account is refused:
            self._account = None
        return (await self.get_account()).token != refused.token

    async def _exchange(self, request: HttpRequest) -> HttpAnswer:
        if self._paused_until:
            await self._pass_pause()
        async with self._shared.turns:
            try:
                with self._shared.deadline:
                    return await self._receive(request)
            except TimeoutError as error:
                failure = network_failure(request, error)
        raise failure

    async def _receive(self, request: HttpRequest) -> HttpAnswer:
        async with await self._send(request) as response:
            body = AnswerBody(response.headers, MAX_ANSWER_BYTES)
            while not response.content.at_eof():
                if not body.feed(await _next_chunk(response, request.what)):
                    response.close()
                    break
            return HttpAnswer(response.status, response.headers, utc_now(), body.decoded())

    async def _send(self, request: HttpRequest, timeout: aiohttp.ClientTimeout | None = None) -> aiohttp.ClientResponse:
        handled = sys.exc_info()[1]
        try:
            return await self._shared.session.request(
                request.method,
                URL(request.url, encoded=True),
                data=request.body,
                headers=request.headers,
                allow_redirects=False,
                proxy=proxy_for(request.server),
                timeout=timeout or self._shared.session.timeout,
            )
        except BaseException as error:
            failure = _failure(request, error, handled)
        # Outside of the handler: the library's error quotes the URL, and must not be chained to ours. `from None`,
        # since a task written in Python, not C, runs all of its coroutine within a handler of its own.
        raise failure from None


async def _next_chunk(response: aiohttp.ClientResponse, what: str) -> bytes:
    """Return what has come since."""
    try:
        return await response.content.readany()
    except (*_NETWORK_ERRORS, asyncio.TimeoutError) as error:
        failure = _broken_off(what, error)
    # Outside of the handler: the library's error is not to be chained to ours.
    raise failure from None
