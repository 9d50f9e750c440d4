"""The transport for workers, over requests."""

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
from airflow_provider_apns.protocol.failures import broken_off, network_failure
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
    Talks to Apple's data export API from a worker.

    Transient failures (no connection, 408, 429, 5xx, an answer that is not the documented one) are tried again, with
    exponential backoff and jitter, obeying ``Retry-After``. Requesting an export again is safe: Apple returns the same
    status URL for 24 hours.

    :param apns_conn_id: the :ref:`connection <howto/connection:apns>`: one data export token, so one app and
        one dataset.
    :param max_bytes: the largest decompressed report to download, a guard against decompression bombs.
    :param max_tries: how often a request is tried.
    """

    conn_name_attr = "apns_conn_id"
    default_conn_name = "apns_default"
    conn_type = "apns"
    hook_name = "Apple Push Notification service (APNs)"

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return the form's labels for Airflow older than 3.2, which does not look for them in the metadata."""
        behaviour = connection_form()["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the form's further fields for Airflow older than 3.2."""
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

        :raises ApnsConnectionError: if there is none, or it is incomplete.
        :raises ApnsTokenError: if the token says that it has expired.
        """
        account = load_account(self.get_connection, self.apns_conn_id)
        account.claims.check_expiry(utc_now(), self.apns_conn_id)
        return account

    @property
    def token_expires_at(self) -> datetime | None:
        """When the data export token expires (UTC); ``None`` if it does not tell."""
        return self.account.claims.expires_at

    def warn_of_expiry(self) -> None:
        """Log a warning if the token expires within two weeks."""
        if notice := self.account.claims.renewal_notice(utc_now(), self.apns_conn_id):
            self.log.warning(notice)

    def get_conn(self) -> requests.Session:
        """Return the HTTP session, which knows no token: each request brings its own headers."""
        return self._session

    @cached_property
    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # A netrc entry must not add credentials; proxies and certificates are set here.
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

        Asking the same again within 24 hours gives the same export.

        :param dataset: ``application``, ``channel`` or ``delivery``, or Apple's own name of it.
        :param first_day: first day, ``yyyy-MM-dd``, at most 30 days ago (UTC).
        :param last_day: last day, included; later than the first, and over (UTC).
        :param channel_id: base64; for the channel dataset, and only for it.
        :param app_id: bundle identifier, if not the connection's.
        :param url_expires_in_minutes: how long a download URL lasts, 20 to 60.
        :return: the export, still being built.
        :raises ApnsInvalidRequestError: if an argument breaks one of Apple's rules; nothing is sent.
        :raises ApnsError: see :mod:`airflow_provider_apns.exceptions`.
        """
        days = Days.read(first_day, last_day, utc_now().date())
        self.warn_of_expiry()
        return self.request(ExportRequest(Dataset.parse(dataset), days, channel_id, url_expires_in_minutes), app_id)

    def request(self, request: ExportRequest, app_id: str | None = None) -> Export:
        """Ask Apple to build a report, as :meth:`request_export` does."""
        app = self.account.resolve_app_id(app_id)
        return self._carry_out(lambda account: exchanges.request_export(account, request, app))

    def get_export(self, status_url: str) -> Export:
        """
        Ask for an export's status.

        :param status_url: what :meth:`request_export` returned.
        :return: the export; with a new download URL, if it is ready.
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

        The object appears at its destination only when it is whole, and known to be a CSV of Apple's.

        :param status_url: what :meth:`request_export` returned.
        :param path: where to write: any ``ObjectStoragePath``, its URL, or a local path.
        :param dataset: the dataset that the report must be of; any of Apple's by default.
        :param overwrite: whether to replace an object that exists.
        :return: path, size in bytes and SHA-256 of what was written.
        :raises ApnsError: see :mod:`airflow_provider_apns.exceptions`.
        """
        expected = Dataset.parse(dataset) if dataset else None
        target = object_path(path)
        check_free(target, overwrite)
        report = self._carry_out(lambda account: download_report(account, status_url, expected, self.max_bytes))
        return publish(target, report.body, CONTENT_TYPES["csv"])

    def list_channels(self, app_id: str | None = None) -> list[str]:
        """
        List the channels that an app has now.

        This asks another service, over HTTP/2, with the key in the connection's extra (``key_id`` and
        ``private_key``). It needs the extra ``channels``. A deleted channel is not on the list.

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
        # Even with an expired data export token, or the channels that are deleted meanwhile would be lost.
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
                # Not session.send, which keeps cookies, and reads all of a redirect even where it follows none.
                return self._session.get_adapter(request.server).send(
                    prepared,
                    stream=True,
                    timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                    verify=self._session.verify or True,
                    proxies={"http": proxy, "https": proxy} if proxy else None,
                )
        except _NETWORK_ERRORS as error:
            failure: BaseException = network_failure(request, error, proxy=environment.shown(proxy), handled=handled)
        except BaseException as error:
            # An interruption, such as that of execution_timeout: it remains what it is, but without the libraries'
            # frames, whose local variables have the token.
            error.__context__ = None
            failure = error.with_traceback(None)
        # Outside of the handler: the library's error must not be chained to ours.
        raise failure

    def test_connection(self) -> tuple[bool, str]:
        """
        Try the connection, for the Test button and ``airflow connections test``.

        :return: whether it works, and a text that says so or tells what to do.
        """
        self.max_tries = 1
        try:
            dataset = accepted_dataset(self.account, self.request, utc_now().date())
            app_id = self.account.resolve_app_id(None)
        except ApnsError as error:
            return False, str(error)
        except Exception as error:  # Whatever it is, the person at the form wants to read it.
            return False, f"{type(error).__name__}: {error}"
        until = f" It expires on {self.token_expires_at:%Y-%m-%d}." if self.token_expires_at else ""
        team_id = self.account.team_id
        return (
            True,
            f"Apple accepts the token of team {team_id} for the {dataset.short_name} dataset of {app_id}.{until}",
        )


def _chunks(response: requests.Response, request: HttpRequest) -> Iterator[bytes]:
    """Give the body as it comes over the wire."""
    stream = response.raw.stream(_CHUNK, decode_content=False)
    while True:
        try:
            chunk = next(stream, None)
        except (*_NETWORK_ERRORS, ValueError) as error:  # http.client's, of a chunk with a length below zero
            failure = broken_off(request, error)
        else:
            if chunk is None:
                return
            yield chunk
            continue
        raise failure
