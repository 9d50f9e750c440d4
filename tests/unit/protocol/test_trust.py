from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from urllib3.util import parse_url
from yarl import URL

from airflow_provider_apns.protocol.trust import Origin, server_of
from tests.unit.helpers import SIGNED_URL
from tests.unit.protocol.urls import TRICKS, urls


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://API.iCloud.apple.com/v1?x=@evil.com", Origin("https", "api.icloud.apple.com", 443)),
        ("HTTPS://apns.example.com:8443", Origin("https", "apns.example.com", 8443)),
        ("http://[::1]:8585/", Origin("http", "[::1]", 8585)),
        ("http://localhost", Origin("http", "localhost", 80)),
    ],
)
def test_a_plain_url_has_an_origin(url: str, origin: Origin) -> None:
    assert Origin.of(url) == origin


@pytest.mark.parametrize("url", TRICKS)
def test_a_trick_has_none(url: str) -> None:
    with pytest.raises(ValueError, match=r"^it"):
        Origin.of(url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (f"https://a.example.com/{'x' * 8192}", "it is longer than 8,192 characters"),
        ("https://a.example.com/s3cret x", "it contains a space"),
        ("https://a.example.com/s3cret\n", "it contains a control character"),
        ("https://a.example.com\\s3cret", "it contains a backslash"),
        ("https://a.example.com/s3crét", "it contains a character that is not ASCII"),
        ("https://s3cret@a.example.com/", "it is not an absolute http or https URL with a plain host name"),
        ("https://a.example.com:65536/s3cret", "its port is not a port number"),
    ],
)
def test_what_is_wrong_with_a_url_is_told_without_the_url(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"^it") as raised:
        Origin.of(url)
    assert str(raised.value) == told


@settings(max_examples=500)
@given(urls)
@example("https://[::1]:443/")
@example("https://xn--80ak6aa92e.com:00443/")
def test_every_parser_agrees_about_an_origin(url: str) -> None:
    try:
        origin = Origin.of(url)
    except ValueError:
        return
    host, split, parsed, encoded = origin.host.strip("[]"), urlsplit(url), parse_url(url), URL(url, encoded=True)
    assert split.hostname == str(parsed.host).strip("[]") == str(encoded.raw_host).lower() == host
    assert split.scheme == parsed.scheme == encoded.scheme == origin.scheme
    assert {split.port or origin.port, parsed.port or origin.port, encoded.port} == {origin.port}
    assert split.username is parsed.auth is encoded.user is None
    host.encode("idna")  # as the socket module does


@pytest.mark.parametrize(
    ("server", "is_loopback"),
    [
        ("localhost:1", True),
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("[::1]", True),
        ("127.0.0.256", False),
        ("127.1", False),
        ("127.0.0.1.evil.com", False),
        ("localhost.evil.com", False),
        ("0.0.0.0", False),
        ("2130706433", False),
    ],
)
def test_plain_http_is_for_loopback_alone(server: str, is_loopback: bool) -> None:
    origin = Origin.of(f"http://{server}/")
    assert origin.is_loopback is origin.is_private_enough is is_loopback
    assert Origin.of(f"https://{server}/").is_private_enough


def test_the_server_may_be_shown_where_the_url_may_not() -> None:
    assert server_of(SIGNED_URL) == "https://store.example.com"
    assert str(Origin.of(SIGNED_URL)) == "https://store.example.com:443"
