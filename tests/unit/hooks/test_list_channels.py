"""Listing channels over real HTTP/2, from a server that shares no code with the package."""

from __future__ import annotations

import base64
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest

from airflow_provider_apns.exceptions import (
    ApnsConfigurationError,
    ApnsConnectionError,
    ApnsError,
    ApnsNetworkError,
    ApnsServiceError,
    ApnsTokenError,
)
from airflow_provider_apns.hooks.apns import ApnsHook
from airflow_provider_apns.protocol import retries
from airflow_provider_apns.protocol.pem import secrets_of
from airflow_provider_apns.protocol.tokens import Secret
from tests.support.channels_server import APP, KEY_ID, TEAM, ChannelsServer
from tests.support.http_proxy import HttpProxy
from tests.support.ports import free_ports
from tests.unit.helpers import traceback_with_locals

CHANNELS = [base64.b64encode(n.to_bytes(16, "big")).decode() for n in range(1, 4)]


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Retries follow at once."""
    waited: list[float] = []
    genuine = retries.retry_delay
    monkeypatch.setattr(retries, "retry_delay", lambda error, tries: waited.append(genuine(error, tries)) or 0.001)
    return waited


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChannelsServer]:
    with ChannelsServer(tmp_path, list(CHANNELS)) as server:
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", server.connection())
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.ca_path))
        yield server


def test_it_lists_over_http2_alone(server: ChannelsServer) -> None:
    assert ApnsHook().list_channels() == CHANNELS
    (headers,) = server.seen
    assert headers[":method"] == "GET"
    assert headers[":path"] == f"/1/apps/{APP}/all-channels"
    assert server.protocols == ["h2"]  # it would be http/1.1, if that had been offered

    token = headers["authorization"].removeprefix("bearer ")
    assert jwt.get_unverified_header(token)["kid"] == KEY_ID
    assert jwt.decode(token, server.key.public_key(), algorithms=["ES256"])["iss"] == TEAM


def test_ten_thousand_channels(server: ChannelsServer) -> None:
    server.channels = [base64.b64encode(n.to_bytes(16, "big")).decode() for n in range(10_000)]
    assert ApnsHook().list_channels() == server.channels


def test_processes_make_the_same_claims(server: ChannelsServer) -> None:
    program = "from airflow_provider_apns.hooks.apns import ApnsHook; ApnsHook().list_channels()"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
    ApnsHook().list_channels()
    claims = [
        jwt.decode(headers["authorization"].removeprefix("bearer "), options={"verify_signature": False})
        for headers in server.seen
    ]
    assert claims[0] == claims[1] or claims[1]["iat"] - claims[0]["iat"] == 1800  # the clock has just struck


def test_a_key_that_is_refused_is_not_tried_again(server: ChannelsServer) -> None:
    server.fail((403, "BadEnvironmentKeyInToken"))
    with pytest.raises(ApnsTokenError, match="The key is for the sandbox"):
        ApnsHook().list_channels()
    assert len(server.seen) == 1


@pytest.mark.parametrize("trouble", [(503, "Shutdown"), (429, "TooManyRequests"), "InternalServerError"])
def test_what_passes_is_tried_again(server: ChannelsServer, trouble: tuple[int, str] | str) -> None:
    server.fail(trouble)
    assert ApnsHook().list_channels() == CHANNELS
    assert len(server.seen) == 2
    assert len(server.protocols) == (2 if isinstance(trouble, str) else 1)  # a GOAWAY wants a fresh connection


def test_a_failure_that_lasts_comes_to_an_end(server: ChannelsServer, waits: list[float]) -> None:
    server.fail(*[(503, "ServiceUnavailable")] * 20)
    with pytest.raises(ApnsServiceError, match="503 to the request for the list of the channels of"):
        ApnsHook().list_channels()
    assert len(server.seen) == retries.MAX_TRIES
    assert 30 < sum(waits) < 120


def test_a_goaway_that_lasts_says_its_reason(server: ChannelsServer) -> None:
    server.fail("BadCertificate", "BadCertificate")
    with pytest.raises(ApnsNetworkError, match=r"ended the connection \(GOAWAY\) .*BadCertificate"):
        ApnsHook(max_tries=2).list_channels()


def test_where_nothing_answers_host_and_port_are_named(server: ChannelsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", server.connection(channels_host=f"https://localhost:{port}"))
    with pytest.raises(ApnsNetworkError, match=rf"Connection refused.* workers must reach localhost, port {port}"):
        ApnsHook(max_tries=1).list_channels()


def test_an_unknown_authority_is_named(server: ChannelsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(ApnsNetworkError, match=r": self-signed certificate \(the trusted .*\)\.$"):
        ApnsHook(max_tries=1).list_channels()
    assert server.seen == []


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpProxy]:
    """The way to the server leads through a proxy, which is never so for loopback otherwise."""
    with HttpProxy() as proxy:
        monkeypatch.setattr("airflow_provider_apns.hooks.environment.proxy_for", lambda server: Secret(proxy.url))
        yield proxy


def test_it_goes_through_a_proxy(server: ChannelsServer, proxy: HttpProxy) -> None:
    assert ApnsHook().list_channels() == CHANNELS
    assert server.protocols == ["h2"]
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT localhost:{server.port} ")
    assert "bearer" not in head


def test_a_proxy_that_refuses_is_named(server: ChannelsServer, proxy: HttpProxy) -> None:
    proxy.status = "407 Proxy Authentication Required"
    with pytest.raises(ApnsNetworkError, match=rf"The proxy 127\.0\.0\.1:{proxy.port} answered 407 Proxy") as caught:
        ApnsHook(max_tries=1).list_channels()
    assert "its-password" not in traceback_with_locals(caught.value)
    assert server.seen == []


def test_a_data_export_token_that_has_expired_does_not_matter(
    server: ChannelsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    expired = jwt.encode({"exp": 1}, "a key that is long enough for HS512, as it wants 64 bytes or more", "HS512")
    fields = server.connection().replace('"unused"', f'"{expired}"')
    monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", fields)
    assert ApnsHook().list_channels() == CHANNELS


@pytest.mark.parametrize("module", ["httpx", "h2", "jwt", "cryptography.hazmat.primitives.asymmetric"])
def test_without_the_extra_nothing_is_sent(
    server: ChannelsServer, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    for loaded in ("hooks.channels", "protocol.provider_tokens"):
        monkeypatch.delitem(sys.modules, f"airflow_provider_apns.{loaded}", raising=False)
    monkeypatch.delattr("airflow_provider_apns.hooks.channels", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ApnsConfigurationError, match=r"pip install 'airflow-provider-apns\[channels\]'"):
        ApnsHook().list_channels()
    assert server.protocols == []


TROUBLES = {
    "none": [],
    "refused": [(403, "InvalidProviderToken")],
    "busy": [(503, "Shutdown")] * 9,
    "goaway": ["Shutdown"] * 9,
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_key_and_token_are_in_no_log_error_or_traceback(
    server: ChannelsServer, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    server.fail(*TROUBLES[trouble])
    shown = ""
    with caplog.at_level(logging.DEBUG):
        try:
            ApnsHook(max_tries=2).list_channels()
        except ApnsError as error:
            shown = traceback_with_locals(error)
    assert {record.name.partition(".")[0] for record in caplog.records} >= {"httpcore"}
    shown += "\n".join(f"{record.getMessage()} {record.args!r}" for record in caplog.records)
    secrets = {headers["authorization"].rpartition(" ")[2] for headers in server.seen} | secrets_of(server.private_key)
    assert len(secrets) > 4
    assert not [secret for secret in secrets if secret in shown]
    assert "Encoded header" not in shown  # which no search for the token would find


def test_a_broken_key_is_in_no_log_error_or_traceback(
    server: ChannelsServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = server.private_key.replace("-----END", "----END")
    monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", server.connection(private_key=broken))
    with caplog.at_level(logging.DEBUG), pytest.raises(ApnsConnectionError, match="not a complete PEM text") as caught:
        ApnsHook().list_channels()
    shown = traceback_with_locals(caught.value) + caplog.text
    assert not [secret for secret in secrets_of(broken) if secret in shown]
    assert server.protocols == []


def test_each_line_of_the_key_is_masked(server: ChannelsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    monkeypatch.setattr("airflow_provider_apns._compat.mask_secret", masked.append)
    ApnsHook().list_channels()
    assert secrets_of(server.private_key) < set(masked)
    assert server.seen[0]["authorization"].rpartition(" ")[2] in masked
