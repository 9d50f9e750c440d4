from __future__ import annotations

import asyncio
import socket
import ssl

import aiohttp
import pytest

from airflow_provider_apns.exceptions import (
    ApnsError,
    ApnsNetworkError,
    ApnsRefusedError,
    ApnsServiceError,
    ApnsTokenError,
)
from airflow_provider_apns.protocol.failures import broken_off, failure, is_transient, network_failure
from airflow_provider_apns.protocol.messages import HttpRequest
from airflow_provider_apns.protocol.tokens import Secret
from tests.unit.helpers import SIGNED_URL, account, answer

REQUEST = HttpRequest("report", "GET", Secret(SIGNED_URL), {})
PROXY = "http://10.0.0.1:3128"


class TestAnswers:
    """What an answer of the API that is no success means."""

    @pytest.mark.parametrize(
        ("code", "body", "error", "told"),
        [
            (400, {"reason": "range is x to y"}, ApnsRefusedError, "badly formed (400): 'range is x to y'."),
            (400, b"<h1>Bad</h1>\n<p>request", ApnsRefusedError, "badly formed (400): 'Bad request'."),
            (
                400,
                {"error": {"reason": "x"}},
                ApnsRefusedError,
                """badly formed (400): '{"error": {"reason": "x"}}'.""",
            ),
            (400, b"", ApnsRefusedError, "badly formed (400)."),
            (401, b"", ApnsTokenError, "of connection 'my_conn' for the export (401). A token is for one app"),
            (403, b"", ApnsRefusedError, "Apple answered 403 to the request for the export."),
            (451, b"", ApnsRefusedError, "Apple answered 451 to the request for the export."),
            (302, b"", ApnsServiceError, "redirected the request for the export (302). Apple's API does not redirect"),
            (304, b"", ApnsServiceError, "the token was not sent on"),
            (
                500,
                {"message": "oops"},
                ApnsServiceError,
                "The server answered 500 to the request for the export: 'oops'.",
            ),
        ],
    )
    def test_says_what_happened(self, code: int, body: object, error: type[ApnsError], told: str) -> None:
        found = failure(answer(code, body, {"Location": "https://evil.com/"}), account(), "export")
        assert type(found) is error
        assert told in str(found)

    @pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504, 599])
    def test_what_time_can_fix(self, code: int) -> None:
        found = failure(answer(code, headers={"RETRY-AFTER": "7"}), account(), "export")
        assert isinstance(found, ApnsServiceError)
        assert (found.retry_after, found.slow_down) == (7, code in (429, 503))

    def test_transient_statuses(self) -> None:
        assert [code for code in range(200, 600) if is_transient(code)] == [408, 429, *range(500, 600)]


def caused_by(cause: Exception) -> Exception:
    """What a library makes of an error: one of its own that quotes the URL."""
    try:
        try:
            raise cause
        except Exception as error:
            raise RuntimeError(f"Max retries exceeded with url: {SIGNED_URL}") from error
    except RuntimeError as error:
        return error


class TestNetworkFailures:
    @pytest.mark.parametrize(
        ("cause", "told"),
        [
            (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
            (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
            (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "WRONG_VERSION_NUMBER.*"),
            (TimeoutError(110, "timed out"), "timed out"),
            (TimeoutError("The read operation timed out"), "it took too long"),
            (OSError(5, f"no way to {SIGNED_URL}"), r"no way to https://store.example.com/data.csv\?\*\*\*"),
        ],
    )
    def test_the_root_cause_is_told_in_its_words_and_the_url_is_not(self, cause: Exception, told: str) -> None:
        for error in (caused_by(cause), RuntimeError(RuntimeError(cause))):
            found = network_failure(REQUEST, error)
            assert type(found) is ApnsNetworkError
            with pytest.raises(
                ApnsServiceError,
                match=rf"^No answer from https://store.example.com to the request for the report: .*{told}\.$",
            ):
                raise found
            assert "s3cret" not in str(found)

    def test_a_certificate_that_does_not_fit(self) -> None:
        error = ssl.SSLCertVerificationError(1, "certificate verify failed")
        error.verify_message = "self-signed certificate"
        assert str(network_failure(REQUEST, caused_by(error))).endswith(": self-signed certificate.")

    @pytest.mark.parametrize(
        "error",
        [
            OSError("Tunnel connection failed: 407 Proxy Authentication Required"),
            aiohttp.ClientHttpProxyError(None, (), status=407, message="Proxy Authentication Required"),  # type: ignore[arg-type]
        ],
        ids=["requests", "aiohttp"],
    )
    def test_what_a_proxy_answers_is_not_blamed_on_the_server(self, error: Exception) -> None:
        found = network_failure(REQUEST, caused_by(error), proxy=PROXY)
        told = "answered 407 Proxy Authentication Required to the request for the report."
        assert str(found) == f"The proxy {PROXY} {told}"

    def test_a_proxy_that_is_not_there(self) -> None:
        found = network_failure(REQUEST, caused_by(ConnectionRefusedError(111, "Connection refused")), proxy=PROXY)
        assert str(found).startswith(f"No answer from https://store.example.com through the proxy {PROXY} to the")

    def test_what_was_handled_before_is_no_cause(self) -> None:
        earlier, error = OSError(5, "something earlier"), RuntimeError()
        error.__context__ = earlier
        assert "something earlier" in str(network_failure(REQUEST, error))
        assert "something earlier" not in str(network_failure(REQUEST, error, handled=earlier))

    def test_a_timeout_says_more_than_the_cancellation_that_it_comes_of(self) -> None:
        error = TimeoutError()
        error.__cause__ = asyncio.CancelledError()
        assert str(network_failure(REQUEST, error)).endswith(": it took too long.")

    def test_a_circle_of_causes_ends(self) -> None:
        first, second = RuntimeError("a"), RuntimeError("b")
        first.__cause__, second.__cause__ = second, first
        assert "RuntimeError" in str(network_failure(REQUEST, first))

    def test_in_the_middle_of_an_answer(self) -> None:
        found = broken_off(REQUEST, caused_by(ConnectionResetError(104, "Connection reset by peer")))
        assert str(found) == "The connection broke in the middle of the report: Connection reset by peer."
