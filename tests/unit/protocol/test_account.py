from __future__ import annotations

import base64
import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from airflow_provider_apns.exceptions import ApnsConnectionError, ApnsUntrustedUrlError
from airflow_provider_apns.protocol.account import APPLE_API_URL
from airflow_provider_apns.protocol.tokens import TokenClaims
from airflow_provider_apns.protocol.trust import Origin
from tests.unit.helpers import TOKEN, account
from tests.unit.protocol.urls import TRICKS, urls

FOREIGN = """
https://evil-apple.com/ https://evilapple.com/ https://apple.com/ https://apple.com.evil.com/ https://apple.co/
https://api.icloud.apple.com.evil.com/ https://xn--pple-43d.com/ https://api.icloud.apple.com:8443/
http://api.icloud.apple.com/ http://api.icloud.apple.com:443/ https://example.com/.apple.com
https://example.com/?https://api.icloud.apple.com/ https://example.com/#@api.icloud.apple.com/ https://localhost/
http://127.0.0.1:8585/ http://127.0.0.1.evil.com/ http://169.254.169.254/latest/meta-data/
"""
FRIENDLY = """
https://api.icloud.apple.com/v1/status/1 HTTPS://API.iCloud.APPLE.com:443 https://p1-data_exports.apple.com/
https://gateway.icloud.com/status?x=@evil.com
"""


class TestReading:
    def test_apples_own_api(self) -> None:
        read = account(password=f"\n {TOKEN}\t")
        assert (read.team_id, read.token, read.app_id) == ("A1B2C3D4E5", TOKEN, "com.example.app")
        assert read.api_url == APPLE_API_URL
        assert TOKEN not in repr(read)

    @pytest.mark.parametrize("token", ["x-token-x", "'token", 'token"'])
    def test_a_token_may_have_marks_that_are_no_pair_of_quotation_marks(self, token: str) -> None:
        assert account(password=token).token == token

    def test_what_the_token_says_of_itself(self) -> None:
        claims = base64.urlsafe_b64encode(json.dumps({"exp": 2_000_000_000}).encode()).decode().rstrip("=")
        expiry = datetime.fromtimestamp(2_000_000_000, timezone.utc)
        assert account(password=f"aaaa.{claims}.bbbb").claims == TokenClaims(expiry)

    @pytest.mark.parametrize(
        ("host", "port", "schema", "url"),
        [
            (None, None, None, APPLE_API_URL),
            ("  ", None, None, APPLE_API_URL),
            ("https://proxy.example.com/apns/", None, None, "https://proxy.example.com/apns"),
            ("proxy.example.com", None, None, "https://proxy.example.com"),
            ("proxy.example.com", 8443, "https", "https://proxy.example.com:8443"),
            ("https://proxy.example.com:8443/apns", 9, None, "https://proxy.example.com:8443/apns"),
            ("https://proxy.example.com/apns", 9, None, "https://proxy.example.com:9/apns"),
            ("localhost", 8585, "http", "http://localhost:8585"),
            ("http://[::1]", 8585, None, "http://[::1]:8585"),
        ],
    )
    def test_host_port_and_schema(self, host: str | None, port: int | None, schema: str | None, url: str) -> None:
        assert account(host=host, port=port, schema=schema).api_url == url

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"login": None}, "Connection 'my_conn' has no Team ID.*login"),
            ({"login": "  "}, "has no Team ID"),
            ({"password": None}, "Connection 'my_conn' has no data export token.*password.*CloudKit Console"),
            ({"password": " \n"}, "has no data export token"),
            ({"password": '"a-token"'}, "is in quotation marks: remove them"),
            ({"password": "two words"}, "copy it again, in one piece"),
            ({"password": "line\nbreak"}, "copy it again, in one piece"),
            ({"password": "tökén"}, "copy it again, in one piece"),
            ({"host": "http://apns.example.com"}, "plain http"),
            ({"host": "apns.example.com", "schema": "http"}, "plain http"),
            ({"host": "https://user@apns.example.com"}, "is not an API base URL"),
            ({"host": "https://apns.example.com?x=1"}, "is not an API base URL"),
            ({"host": "https://apns.example.com/#x"}, "is not an API base URL: it has a query or a fragment"),
            ({"host": "not a host"}, "is not an API base URL: it contains a space"),
            ({"host": "apns.example.com", "schema": "ftp"}, "is not an API base URL"),
            ({"host": "https://[::1", "port": 80}, "is not an API base URL"),
            ({"host": "https://", "port": 80}, "is not an API base URL"),
        ],
    )
    def test_the_error_names_the_field(self, changes: dict[str, Any], told: str) -> None:
        with pytest.raises(ApnsConnectionError, match=told) as raised:
            account(**changes)
        assert "tökén" not in str(raised.value)

    @pytest.mark.parametrize(
        "hosts", [7, ["a", 7], "https://a.example.com", ["a.example.com/"], ["*.example.com"], {"a": 1}]
    )
    def test_trusted_hosts_are_host_names(self, hosts: object) -> None:
        with pytest.raises(ApnsConnectionError, match="trusted_hosts of connection 'my_conn' must be a list of host"):
            account(extra={"trusted_hosts": hosts})

    @given(st.text(max_size=30) | urls, st.none() | st.integers(), st.none() | st.text(max_size=8))
    def test_any_host_is_read_or_a_clear_error(self, host: str, port: int | None, schema: str | None) -> None:
        try:
            api_url = account(host=host, port=port, schema=schema).api_url
        except ApnsConnectionError:
            return
        assert Origin.of(api_url).is_private_enough

    def test_app_id(self) -> None:
        assert account().resolve_app_id(None) == "com.example.app"
        assert account().resolve_app_id("com.example.other") == "com.example.other"
        with pytest.raises(ApnsConnectionError, match=r"Connection 'my_conn' has no App bundle ID.*app_id"):
            account(extra={}).resolve_app_id(None)


class TestStatusUrls:
    """Where the token may be sent to."""

    @pytest.mark.parametrize("url", [*TRICKS, None, 7, b"https://api.icloud.apple.com/", ["https://a.apple.com/"]])
    def test_a_trick_is_no_status_url(self, url: Any) -> None:
        with pytest.raises(ApnsUntrustedUrlError, match="is not a status URL: ") as raised:
            account().check_status_url(url)
        assert str(raised.value).isprintable()

    @pytest.mark.parametrize("url", FOREIGN.split())
    def test_a_foreign_host_is_not_trusted(self, url: str) -> None:
        with pytest.raises(ApnsUntrustedUrlError, match="The token was not sent to"):
            account().check_status_url(url)

    @pytest.mark.parametrize("url", FRIENDLY.split())
    def test_apples_hosts_are(self, url: str) -> None:
        assert account().check_status_url(url) == url

    @settings(max_examples=500)
    @given(urls)
    def test_nothing_but_apples_hosts_is(self, url: str) -> None:
        try:
            parsed = URL(account().check_status_url(url), encoded=True)
        except ApnsUntrustedUrlError:
            return
        assert (parsed.scheme, parsed.port) == ("https", 443)
        assert str(parsed.raw_host).lower().endswith((".apple.com", ".icloud.com"))

    @pytest.mark.parametrize(
        ("changes", "trusted", "foreign"),
        [
            (
                {"host": "https://apns.example.com:8443/base"},
                "https://apns.example.com:8443/status",
                "https://apns.example.com/status http://apns.example.com:8443/ https://x.apns.example.com:8443/",
            ),
            (
                {"extra": {"trusted_hosts": "Status.example.com, other.example.com:8443"}},
                "https://STATUS.example.com:444/1 https://other.example.com:8443/1",
                "https://other.example.com/1 http://status.example.com/1 https://a.status.example.com/1",
            ),
            ({"extra": {"trusted_hosts": ["a.example.com", " "]}}, "https://a.example.com/1", "https:///1"),
        ],
    )
    def test_the_connections_own_host_and_further_ones_are(
        self, changes: dict[str, Any], trusted: str, foreign: str
    ) -> None:
        trusting = account(**changes)
        for url in trusted.split():
            assert trusting.check_status_url(url) == url
        for url in foreign.split():
            with pytest.raises(ApnsUntrustedUrlError):
                trusting.check_status_url(url)

    def test_the_error_names_the_host_and_the_cure(self) -> None:
        with pytest.raises(ApnsUntrustedUrlError, match=r'{"trusted_hosts": \["status\.example\.com"\]}'):
            account().check_status_url("https://status.example.com/1")
