"""The environment's proxies and certificates, read in the same way for all transports."""

from __future__ import annotations

import os
import re
import ssl
from functools import cache
from typing import TYPE_CHECKING

import requests

from airflow_provider_apns.exceptions import ApnsConfigurationError, ApnsNetworkError
from airflow_provider_apns.protocol.failures import network_failure
from airflow_provider_apns.protocol.tokens import Secret
from airflow_provider_apns.protocol.trust import Origin

if TYPE_CHECKING:
    from airflow_provider_apns.protocol.messages import HttpRequest

_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_PROXY_VARIABLES = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
_PROXY = re.compile(r"(?:(?P<scheme>[a-z0-9]+)://)?(?P<login>[^/?#\s]*@)?(?P<server>[^/?#@\s]+)/?", re.IGNORECASE)


def ca_bundle() -> str:
    """
    Return the certificates to trust: those that the environment names, in the order of ``requests``, or its own.

    :raises ApnsConfigurationError: if a variable names a file or folder that does not exist.
    """
    variable, path = _ca_setting()
    if not os.path.exists(path):
        raise ApnsConfigurationError(
            f"The environment variable {variable} names a certificate bundle that does not exist: {path}."
        )
    return path


def _ca_setting() -> tuple[str | None, str]:
    named = next((variable for variable in _CA_VARIABLES if os.environ.get(variable)), None)
    return named, os.environ[named] if named else str(requests.utils.DEFAULT_CA_BUNDLE_PATH)


def trusting(context: ssl.SSLContext) -> ssl.SSLContext:
    """Make a context trust :func:`ca_bundle`, which is a file or a folder."""
    bundle = ca_bundle()
    if os.path.isdir(bundle):
        context.load_verify_locations(capath=bundle)
    else:
        context.load_verify_locations(cafile=bundle)
    return context


@cache
def proxy_for(server: str) -> Secret | None:
    """
    Return the proxy that the environment names for a server; never one for loopback addresses.

    As with ``curl``, a proxy without a scheme is an http proxy.

    :param server: the server's origin.
    :raises ApnsConfigurationError: naming the variable that cannot work, and why.
    """
    if Origin.of(server).is_loopback:
        return None
    proxy = requests.utils.select_proxy(server, requests.utils.get_environ_proxies(server))
    if not proxy:
        return None
    match = _PROXY.fullmatch(proxy.strip())
    if match is None:
        raise ApnsConfigurationError(f"{_variable_of(proxy)} is not a proxy URL: write it as http://host:port.")
    scheme = (match["scheme"] or "http").lower()
    if scheme not in ("http", "https"):
        raise ApnsConfigurationError(
            f"{_variable_of(proxy)} names a {scheme} proxy, which is not supported: use an http or https proxy."
        )
    try:
        Origin.of(f"{scheme}://{match['server']}")
    except ValueError as error:
        raise ApnsConfigurationError(f"{_variable_of(proxy)} is not a proxy URL: {error}.") from None
    return Secret(f"{scheme}://{match['login'] or ''}{match['server']}")


def no_answer(request: HttpRequest, error: BaseException, handled: BaseException | None) -> ApnsNetworkError:
    """Describe a failure below HTTP, and the proxy and the certificates that have to do with it."""
    proxy = proxy_for(request.server)
    shown = proxy and proxy.rpartition("@")[2].rpartition("//")[2]  # without its password
    variable, path = _ca_setting()
    trusted = f"{path} ({variable})" if variable else path
    return network_failure(request, error, proxy=shown, trusted=trusted, handled=handled)


def _variable_of(value: str) -> str:
    named = [variable for variable in _PROXY_VARIABLES if os.environ.get(variable) == value]
    return f"The environment variable {named[0]}" if named else "This machine's proxy setting"
