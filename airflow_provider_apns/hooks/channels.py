"""The transport for Apple's channel-management API, which speaks only HTTP/2, over httpx."""

from __future__ import annotations

import logging
import ssl
import sys
from functools import partial
from typing import TYPE_CHECKING

import h2  # noqa: F401 - httpx imports it late
import httpx

from airflow_provider_apns import _compat
from airflow_provider_apns.exceptions import ApnsNetworkError
from airflow_provider_apns.hooks import environment
from airflow_provider_apns.hooks.connections import utc_now
from airflow_provider_apns.hooks.stepping import patiently, step_through
from airflow_provider_apns.protocol import channels
from airflow_provider_apns.protocol.messages import HttpAnswer, HttpRequest
from airflow_provider_apns.protocol.provider_tokens import provider_token
from airflow_provider_apns.protocol.retries import CONNECT_TIMEOUT, READ_TIMEOUT
from airflow_provider_apns.protocol.trust import Origin

if TYPE_CHECKING:
    from airflow_provider_apns.protocol.account import Account
    from airflow_provider_apns.protocol.tokens import Secret

_NETWORK_ERRORS = (httpx.HTTPError, OSError)

# At DEBUG, hpack logs each header, and so the token, also in an encoding that no mask recognizes.
for _name in ("hpack.hpack", "hpack.table"):
    logging.getLogger(_name).addFilter(lambda record: False)


def list_channels(account: Account, app_id: str | None, max_tries: int) -> tuple[str, ...]:
    """
    List an app's current channels; see :meth:`ApnsHook.list_channels`.

    :param account: the connection's content.
    :param app_id: bundle identifier, if not the connection's.
    :param max_tries: how many times to try the request.
    """
    app = account.resolve_app_id(app_id)
    token = provider_token(account, utc_now())
    _compat.mask_secret(str(token))
    proxy = environment.proxy_for(account.channels_url)
    with _client(proxy) as client:
        ask = partial(_ask, client, proxy)
        return patiently(lambda: step_through(channels.list_channels(account, app, token), ask), max_tries)


class _Http2Context(ssl.SSLContext):
    """Offers only HTTP/2: httpcore would also offer HTTP/1.1, even if it must not use it."""

    def set_alpn_protocols(self, alpn_protocols: object) -> None:
        super().set_alpn_protocols(["h2"])


def _client(proxy: Secret | None) -> httpx.Client:
    return httpx.Client(
        http1=False,
        http2=True,
        verify=environment.trusting(_Http2Context(ssl.PROTOCOL_TLS_CLIENT)),
        proxy=_proxy(proxy) if proxy else None,
        trust_env=False,
        timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
    )


def _proxy(url: str) -> httpx.Proxy:
    if url.startswith("http:"):
        return httpx.Proxy(url)
    return httpx.Proxy(url, ssl_context=environment.trusting(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)))


def _ask(client: httpx.Client, proxy: Secret | None, request: HttpRequest) -> HttpAnswer:
    handled = sys.exc_info()[1]
    try:
        with client.stream(request.method, request.url, headers=request.headers) as response:
            body = bytearray()
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > request.max_bytes:
                    break
            return HttpAnswer(response.status_code, response.headers, utc_now(), bytes(body))
    except _NETWORK_ERRORS as error:
        failure: BaseException = environment.no_answer(request, error, handled)
        if not proxy and isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)) and "[SSL" not in str(error):
            origin = Origin.of(request.url)
            failure = ApnsNetworkError(
                f"{failure} Firewalls often close this port: workers must reach {origin.host}, port {origin.port}."
            )
    except BaseException as error:
        # An interruption: raise it without the libraries' frames, whose local variables hold the token.
        error.__context__ = None
        failure = error.with_traceback(None)
    # Outside the handler, so that the library's error is not chained to ours.
    raise failure
