"""The hook for workers, over requests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import requests
import urllib3
from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_apns.exceptions import ApnsConfigurationError, ApnsError, ApnsTokenError
from airflow_provider_apns.hooks import environment
from airflow_provider_apns.hooks.connections import connection_form, connection_form_widgets, load_account, utc_now
from airflow_provider_apns.hooks.probing import accepted_dataset
from airflow_provider_apns.hooks.stepping import patiently, step_through
from airflow_provider_apns.hooks.verbatim import VerbatimAdapter, sending
from airflow_provider_apns.protocol import exchanges
from airflow_provider_apns.protocol.bodies import MAX_BYTES
from airflow_provider_apns.protocol.datasets import Dataset
from airflow_provider_apns.protocol.days import Days
from airflow_provider_apns.protocol.exports import Export, ExportRequest
from airflow_provider_apns.protocol.failures import broken_off
from airflow_provider_apns.protocol.messages import Exchange, HttpAnswer, HttpRequest
from airflow_provider_apns.protocol.retries import CONNECT_TIMEOUT, MAX_TRIES, READ_TIMEOUT
from airflow_provider_apns.reports.formats import CONTENT_TYPES
from airflow_provider_apns.reports.reading import download_report
from airflow_provider_apns.storage import Download, check_free, object_path, publish

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_apns.protocol.account import Account

T = TypeVar("T")

_CHUNK = 1 << 16
_NETWORK_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


class ApnsHook(BaseHook):
    """
    Calls Apple's data export API from a worker.

    The hook retries transient failures (no connection, 408, 429, 5xx, an undocumented answer) with exponential backoff
    and jitter, and obeys ``Retry-After``. Requesting an export again is safe: for 24 hours, Apple returns the same
    status URL.

    :param apns_conn_id: the :ref:`connection <howto/connection:apns>`: one data export token, so one app and
        one dataset.
    :param max_bytes: the largest decompressed report, a guard against decompression bombs.
    :param max_tries: how many times to try a request.
    """

    conn_name_attr = "apns_conn_id"
    default_conn_name = "apns_default"
    conn_type = "apns"
    hook_name = "Apple Push Notification service (APNs)"

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the form's labels for Airflow before 3.2, which does not read them from the metadata."""
        behaviour = connection_form()["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's extra fields for Airflow before 3.2."""
        return connection_form_widgets()

    def __init__(
        self, apns_conn_id: str = default_conn_name, *, max_bytes: int = MAX_BYTES, max_tries: int = MAX_TRIES
    ) -> None:
        super().__init__()
        self.apns_conn_id = apns_conn_id
        self.max_bytes = max_bytes
        self.max_tries = max_tries

    @cached_property
    def account(self) -> Account:
        """
        The connection's content.

        :raises ApnsConnectionError: if the connection is missing or incomplete.
        :raises ApnsTokenError: if the token has expired.
        """
        account = load_account(self.get_connection, self.apns_conn_id)
        account.claims.check_expiry(utc_now(), self.apns_conn_id)
        return account

    @property
    def token_expires_at(self) -> datetime | None:
        """When the data export token expires (UTC); ``None`` if it does not say."""
        return self.account.claims.expires_at

    def warn_of_expiry(self) -> None:
        """Log a warning if the token expires within two weeks."""
        if notice := self.account.claims.renewal_notice(utc_now(), self.apns_conn_id):
            self.log.warning(notice)

    def get_conn(self) -> requests.Session:
        """Return the HTTP session. It does not hold the token: each request has its own headers."""
        return self._session

    @cached_property
    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # A netrc file must not add credentials; proxies and certificates are set here.
        session.verify = environment.ca_bundle()
        session.mount("https://", VerbatimAdapter())
        session.mount("http://", VerbatimAdapter())
        return session

    def request_export(
        self,
        dataset: str,
        first_day: str | date,
        last_day: str | date,
        channel_id: str | None = None,
        app_id: str | None = None,
        url_expires_in_minutes: int = 60,
    ) -> Export:
        """
        Ask Apple to build a report.

        The same request within 24 hours gets the same export.

        :param dataset: ``application``, ``channel`` or ``delivery``, or Apple's own name for it.
        :param first_day: first day, ``yyyy-MM-dd``, at most 30 days ago (UTC).
        :param last_day: last day, included; later than the first, and in the past (UTC).
        :param channel_id: the channel in base64, for the channel dataset only.
        :param app_id: bundle identifier, if not the connection's.
        :param url_expires_in_minutes: how many minutes a download URL is valid, 20 to 60.
        :return: the export, still being built.
        :raises ApnsInvalidRequestError: if an argument breaks one of Apple's rules; nothing is sent.
        :raises ApnsError: see :mod:`airflow_provider_apns.exceptions`.
        """
        days = Days.read(first_day, last_day, utc_now().date())
        self.warn_of_expiry()
        return self.request(ExportRequest(Dataset.parse(dataset), days, channel_id, url_expires_in_minutes), app_id)

    def request(self, request: ExportRequest, app_id: str | None = None) -> Export:
        """Ask Apple to build a report; see :meth:`request_export`."""
        app = self.account.resolve_app_id(app_id)
        return self._carry_out(lambda account: exchanges.request_export(account, request, app))

    def get_export(self, status_url: str) -> Export:
        """
        Ask for an export's status.

        :param status_url: what :meth:`request_export` returned.
        :return: the export, with a new download URL if it is ready.
        :raises ApnsError: see :mod:`airflow_provider_apns.exceptions`.
        """
        return self._carry_out(lambda account: exchanges.get_export(account, status_url))

    def download_export(
        self,
        status_url: str,
        path: str | ObjectStoragePath,
        *,
        dataset: str | None = None,
        overwrite: bool = True,
    ) -> Download:
        """
        Download a report, byte for byte as Apple built it.

        The object appears at its destination only when it is whole, and has been checked to be Apple's CSV.

        :param status_url: what :meth:`request_export` returned.
        :param path: the destination: an ``ObjectStoragePath``, its URL, or a local path.
        :param dataset: the report's dataset, to be checked; by default, any.
        :param overwrite: whether to replace an existing object.
        :return: path, size in bytes, and SHA-256 of the object.
        :raises ApnsError: see :mod:`airflow_provider_apns.exceptions`.
        """
        expected = Dataset.parse(dataset) if dataset else None
        target = object_path(path)
        check_free(target, overwrite)
        report = self._carry_out(lambda account: download_report(account, status_url, expected, self.max_bytes))
        return publish(target, report.body, CONTENT_TYPES["csv"])

    def list_channels(self, app_id: str | None = None) -> list[str]:
        """
        List an app's current channels.

        This calls another service of Apple's over HTTP/2, with the key in the connection's extra (``key_id`` and
        ``private_key``). It needs the package's extra ``channels``. Deleted channels are not listed.

        :param app_id: bundle identifier, if not the connection's.
        :return: the channel ids.
        :raises ApnsConfigurationError: if the extra is not installed; nothing is sent.
        :raises ApnsError: see :mod:`airflow_provider_apns.exceptions`.
        """
        try:
            from airflow_provider_apns.hooks import channels
        except ImportError as error:
            raise ApnsConfigurationError(
                f"Listing channels needs a package that is not installed ({error}): "
                "pip install 'airflow-provider-apns[channels]'."
            ) from error
        # Not self.account, which refuses an expired data export token: channels deleted meanwhile would be lost.
        account = load_account(self.get_connection, self.apns_conn_id)
        return list(channels.list_channels(account, app_id, self.max_tries))

    def _carry_out(self, exchange: Callable[[Account], Exchange[T]]) -> T:
        return patiently(lambda: self._try(exchange), self.max_tries)

    def _try(self, exchange: Callable[[Account], Exchange[T]]) -> T:
        try:
            return step_through(exchange(self.account), self._ask)
        except ApnsTokenError:
            if not self._token_was_replaced():
                raise
        return step_through(exchange(self.account), self._ask)

    def _token_was_replaced(self) -> bool:
        refused = self.account.token
        del self.account
        return self.account.token != refused

    def _ask(self, request: HttpRequest) -> HttpAnswer:
        with self._send(request) as response:
            body = bytearray()
            for chunk in _chunks(response, request):
                body += chunk
                if len(body) > request.max_bytes:
                    break
            return HttpAnswer(response.status_code, response.raw.headers, utc_now(), bytes(body))

    def _send(self, request: HttpRequest) -> requests.Response:
        proxy = environment.proxy_for(request.server)
        handled = sys.exc_info()[1]
        try:
            prepared = requests.Request(request.method, request.server, request.headers, data=request.body).prepare()
            with sending(request.target):
                # Not session.send, which keeps cookies, and reads the whole body of a redirect.
                return self._session.get_adapter(request.server).send(
                    prepared,
                    stream=True,
                    timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                    verify=self._session.verify or True,
                    proxies={"http": proxy, "https": proxy} if proxy else None,
                )
        except _NETWORK_ERRORS as error:
            failure: BaseException = environment.no_answer(request, error, handled)
        except BaseException as error:
            # An interruption, such as by execution_timeout: raise it without the libraries' frames, whose local
            # variables hold the token.
            error.__context__ = None
            failure = error.with_traceback(None)
        # Outside the handler, so that the library's error is not chained to ours.
        raise failure

    def test_connection(self) -> tuple[bool, str]:
        """
        Try the connection, for the Test button and ``airflow connections test``.

        :return: whether it works, and a message that says so or what to do.
        """
        self.max_tries = 1
        try:
            dataset = accepted_dataset(self.account, self.request, utc_now().date())
            app_id = self.account.resolve_app_id(None)
        except ApnsError as error:
            return False, str(error)
        except Exception as error:  # The person at the form needs to read any error.
            return False, f"{type(error).__name__}: {error}"
        until = f" It expires on {self.token_expires_at:%Y-%m-%d}." if self.token_expires_at else ""
        message = (
            f"Apple accepts the token of team {self.account.team_id} for the {dataset.short_name} dataset of "
            f"{app_id}.{until}"
        )
        self.log.info(message)  # `airflow connections test` shows no other word of a success, and this with --verbose.
        return True, message


def _chunks(response: requests.Response, request: HttpRequest) -> Iterator[bytes]:
    """Yield the body as it comes over the wire."""
    stream = response.raw.stream(_CHUNK, decode_content=False)
    while True:
        try:
            chunk = next(stream, None)
        except (*_NETWORK_ERRORS, ValueError) as error:  # http.client raises it for a chunk with a negative length
            failure = broken_off(request, error)
        else:
            if chunk is None:
                return
            yield chunk
            continue
        raise failure
