"""What goes over the wire: both transports send URLs byte for byte, and take answers alike."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_apns.exceptions import ApnsError
from airflow_provider_apns.hooks.apns import ApnsHook
from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook
from airflow_provider_apns.protocol import retries
from airflow_provider_apns.protocol.datasets import Dataset
from tests.unit.hooks.raw_server import HTTP, RawServer, answer, json_answer

CSV = b"Push Type,Status,Date (UTC),Count\nalert,Delivered,2026-03-01,7\n"


class Both:
    """Asks a server through both transports, without a second try, and gives what either made of the answer."""

    def __init__(self, server: RawServer, path: Path) -> None:
        self.server, self._path = server, path
        self._loop, self._sync, self._async = asyncio.new_event_loop(), ApnsHook(), ApnsAsyncHook()
        self._loop.run_until_complete(self._async.__aenter__())

    def close(self) -> None:
        self._loop.run_until_complete(self._async.__aexit__())
        self._loop.close()

    def look(self, target: str) -> tuple[Any, Any]:
        return self._asked(self._sync.get_export, self._async.get_export, self.server.url + target)

    def download(self, target: str) -> tuple[Any, Any]:
        def to_file(url: str) -> bytes:
            self._sync.download_export(url, str(self._path), dataset="delivery")
            return self._path.read_bytes()

        async def to_memory(url: str) -> bytes:
            return (await self._async.download_report(url, Dataset.DELIVERY)).body

        return self._asked(to_file, to_memory, self.server.url + target)

    def _asked(self, sync: Callable[[str], Any], in_loop: Callable[[str], Any], url: str) -> tuple[Any, Any]:
        self.server.requests.clear()
        return _outcome(sync, url), _outcome(lambda url: self._loop.run_until_complete(in_loop(url)), url)


def _outcome(ask: Callable[[str], Any], url: str) -> Any:
    try:
        return ask(url)
    except ApnsError as error:
        return type(error), str(error), getattr(error, "retry_after", None)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with RawServer() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_APNS_DEFAULT", server.connection())
        patch.setattr(retries, "should_retry", lambda error: False)
        both = Both(server, tmp_path_factory.mktemp("reports") / "report.csv")
        yield both
        both.close()


PRINTABLE = "".join(map(chr, range(0x21, 0x7F))).replace("\\", "").replace("#", "")
TARGETS = st.text(PRINTABLE, max_size=30) | st.text("%7Ee2fF./?[]|~:@&=+", max_size=30)


@settings(max_examples=50)
@example("%7E%7e~", "..", "/./../x?")
@example("/", "a//b/?", "[x]|?[y]|")
@example("%2f%2F?%3d=%3D", "%", "%zz%?%")
@example("?", "??", "?a=../..&b=//")
@example(":80@x", "http://x/?http://y", ";a=b?c;d'\"<>`^{}")
@given(TARGETS, TARGETS, TARGETS)
def test_urls_are_sent_byte_for_byte(both: Both, status: str, data: str, redirected: str) -> None:
    first, second, third = targets = [f"/0/{status}", f"/1/{data}", f"/2/{redirected}"]
    answers = {
        first: json_answer(status="SUCCESS", downloadDetails={"dataUrl": both.server.url + second}),
        second: answer(302, b"", f"Location: {both.server.url}{third}".encode()),
        third: answer(200, CSV),
    }
    both.server.answer_to = lambda target: answers.get(target, answer(404))
    assert both.download(first) == (CSV, CSV)
    assert both.server.targets == targets * 2


@pytest.mark.parametrize(("written", "sent"), [("", "/"), ("/a#fragment?", "/a"), ("/a?#", "/a?")])
def test_a_url_without_a_path_and_one_with_a_fragment(both: Both, written: str, sent: str) -> None:
    both.server.answer_to = lambda target: json_answer(status="PROCESSING")
    both.look(written)
    assert both.server.targets == [sent, sent]


STATUSES = [200, 200, 200, 201, 301, 302, 307, 400, 401, 403, 404, 408, 429, 500, 503, 599]
HEADERS = b"""\
Content-Encoding: gzip
Content-Encoding: br
Content-Encoding:
Content-Type: text/html; charset=utf-16
Date: Sun, 01 Mar 2026 12:00:00 GMT
Location: /0/elsewhere
Location: http://[::1
LOCATION: \xc3\xa4
Retry-After: 3
retry-after:\t7\t
Retry-After: Sun, 01 Mar 2026 12:01:00 GMT
Retry-After: soon
Set-Cookie: a=b; Domain=example.com
WWW-Authenticate: Digest realm=x
X-Latin-1: \xe4\xff
X-Long: %b""" % (b"x" * 10_000)
BODIES = [CSV, b"", b"{}", b'{"status": "PROCESSING"}', b'{"status": "SUCCESS"}', b'{"reason": "no\xff"}', b"<p>No"]


def _written(status: int, headers: list[bytes], body: bytes, framing: str) -> bytes:
    if framing == "length":
        return answer(status, body, *headers)
    if framing == "chunked":
        headers = [*headers, b"Transfer-Encoding: chunked"]
        body = (b"%x;ext=1\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    return HTTP % status + b"\r\n".join([*headers, b"", body])


ANSWERS = st.builds(
    _written,
    st.sampled_from(STATUSES),
    st.lists(st.sampled_from(HEADERS.split(b"\n")), max_size=4),
    st.sampled_from(BODIES + [gzip.compress(body) for body in BODIES]) | st.binary(max_size=64),
    st.sampled_from(["length", "chunked", "until the end"]),
)


def _outcomes(both: Both, raw: bytes) -> Iterator[tuple[Any, Any]]:
    """What comes of an answer to the question for the status, and of one to the download."""
    success = json_answer(status="SUCCESS", downloadDetails={"dataUrl": f"{both.server.url}/data"})
    both.server.answer_to = lambda target: raw
    yield both.look("/status")
    both.server.answer_to = lambda target: {"/status": success, "/data": raw}.get(target, answer(200, CSV))
    yield both.download("/status")


@given(ANSWERS)
def test_what_is_answered_properly_is_taken_alike(both: Both, raw: bytes) -> None:
    for sync, in_loop in _outcomes(both, raw):
        assert sync == in_loop
        sent = both.server.targets
        assert sent == sent[: len(sent) // 2] * 2


def _damaged(raw: bytes, place: int, cut: int, inserted: bytes) -> bytes:
    return raw[: place % len(raw)] + inserted + raw[place % len(raw) + cut :]


INSERTED = st.sampled_from([b"", b"\r\n", b"\n", b":", b" ", b"\0", b"-", b"9", b"\xff"]) | st.binary(max_size=3)


@example(HTTP % 200 + b"Transfer-Encoding: chunked\r\n\r\n-18\r\n{}\r\n0\r\n\r\n")
@given(st.builds(_damaged, ANSWERS, st.integers(0, 500), st.integers(0, 8), INSERTED))
def test_what_is_damaged_ends_in_an_error_of_ours_and_where_both_take_it_alike(both: Both, raw: bytes) -> None:
    for sync, in_loop in _outcomes(both, raw):
        if not isinstance(sync, tuple) and not isinstance(in_loop, tuple):
            assert sync == in_loop


@pytest.mark.parametrize(
    ("raw", "taken_by"),
    [
        # http.client reads over lines that are no headers, and over a length that is none; aiohttp refuses them.
        (b"HTTP/1.1 200 OK\r\nno header\r\n", "sync"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n", "sync"),
        # http.client knows no interim answer but 100, and takes another for the final one.
        (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n", "async"),
        # http.client takes a hundred headers.
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101, "async"),
    ],
    ids=["no header", "no length", "interim", "many headers"],
)
def test_where_the_libraries_differ(both: Both, raw: bytes, taken_by: str) -> None:
    both.server.answer_to = lambda target: raw + b'Connection: close\r\n\r\n{"status": "PROCESSING"}'
    sync, in_loop = both.look("/status")
    taken, refused = (sync, in_loop) if taken_by == "sync" else (in_loop, sync)
    assert taken.status == "PROCESSING"
    assert issubclass(refused[0], ApnsError)
