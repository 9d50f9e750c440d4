"""Every kind of fault, at every endpoint, as a client sees it."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import time
import zlib
from urllib.parse import urlsplit

import pytest

from airflow_provider_apns.emulator import Fault
from airflow_provider_apns.emulator.faults import ENDPOINTS, KINDS

STATUSES = (400, 401, 403, 404, 408, 429, 500, 502, 503, 504)


@pytest.fixture
def hit(client, apple):
    """Prepare everything that an endpoint needs, inject a fault there, and return a function that asks it."""

    def _hit(endpoint, kind, **options):
        if endpoint == "request":
            ask = lambda **headers: client.send(  # noqa: E731
                "POST", client.request_url(), client.authorised | headers, json.dumps(client.body())
            )
        else:
            status_url = client.request().json["statusUrl"]
            data_url = client.status(status_url).json["downloadDetails"]["dataUrl"]
            url, token = (status_url, client.authorised) if endpoint == "status" else (data_url, {})
            ask = lambda **headers: client.send("GET", url, token | headers)  # noqa: E731
        apple.inject(Fault(endpoint, kind, **options))
        return ask

    return _hit


class TestSpecification:
    def test_text_form(self):
        assert Fault.parse("status:503:times=2,retry_after=3") == Fault("status", "503", times=2, retry_after="3")
        assert Fault.parse("request:reset") == Fault("request", "reset", times=1)
        assert Fault.parse("download:stall:times=forever,seconds=0.5").times is None

    def test_an_http_date_keeps_its_comma(self):
        fault = Fault.parse("request:429:retry_after=Wed, 21 Oct 2026 07:28:00 GMT,times=3")
        assert (fault.retry_after, fault.times) == ("Wed, 21 Oct 2026 07:28:00 GMT", 3)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("upload:503", "unknown endpoint"),
            ("status:explode", "unknown kind"),
            ("status:999", "unknown kind"),
            ("request:wrong-columns", "cannot happen at request"),
            ("status:503:tines=2", "unknown option tines"),
            ("status:503:times=twice", "twice"),
        ],
    )
    def test_mistakes_are_named(self, text, message):
        with pytest.raises(ValueError, match=message):
            Fault.parse(text)


class TestHowOften:
    def test_once_unless_told_otherwise(self, hit):
        ask = hit("status", "503")
        assert [ask().status for _ in range(3)] == [503, 200, 200]

    def test_a_few_times_after_a_few(self, hit):
        ask = hit("status", "503", times=2, after=1)
        assert [ask().status for _ in range(5)] == [200, 503, 503, 200, 200]

    def test_for_ever_until_cleared(self, hit, apple):
        ask = hit("download", "500", times=None)
        assert [ask().status for _ in range(4)] == [500] * 4
        apple.clear_faults()
        assert ask().status == 200

    def test_one_after_the_other(self, client, apple):
        apple.inject("request:503", "request:429", "request:503")
        assert [client.request().status for _ in range(4)] == [503, 429, 503, 200]

    def test_for_one_channel_only(self, client, apple):
        _, bad = apple.channel_ids[:2]
        apple.inject(Fault("request", "500", match=bad), Fault("status", "500", match=bad, times=None))
        good_url = client.request("channel").json["statusUrl"]
        assert client.request("channel", channelId=bad).status == 500
        bad_url = client.request("channel", channelId=bad).json["statusUrl"]
        assert [client.status(url).status for url in (good_url, bad_url)] == [200, 500]

    def test_for_each_channel_on_its_own(self, client, apple):
        apple.inject("request:503:each=1", "status:503:each=1,times=2")
        for channel in apple.channel_ids[:3]:
            assert client.request("channel", channelId=channel).status == 503
            url = client.request("channel", channelId=channel).json["statusUrl"]
            assert [client.status(url).status for _ in range(3)] == [503, 503, 200]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
class TestEverywhere:
    @pytest.mark.parametrize("status", STATUSES)
    def test_http_status(self, hit, endpoint, status):
        reply = hit(endpoint, str(status))()
        assert reply.status == status
        assert reply.headers["Retry-After"] is None

    @pytest.mark.parametrize("value", ["3", "Wed, 21 Oct 2026 07:28:00 GMT", "1000000000", "-1", "soon"])
    def test_retry_after_is_whatever_it_shall_be(self, hit, endpoint, value):
        assert hit(endpoint, "429", retry_after=value)().headers["Retry-After"] == value

    @pytest.mark.parametrize(
        ("kind", "error"),
        [
            ("reset", ConnectionResetError),
            ("close", http.client.RemoteDisconnected),
            ("garbage", http.client.BadStatusLine),
            ("cut-length", http.client.IncompleteRead),
            ("cut-chunked", http.client.IncompleteRead),
            ("reset-body", (ConnectionResetError, http.client.IncompleteRead)),
        ],
    )
    def test_broken_connection(self, hit, endpoint, kind, error):
        ask = hit(endpoint, kind)
        with pytest.raises(error):
            ask()
        assert ask().status == 200

    @pytest.mark.parametrize("kind", ["stall", "stall-body", "trickle"])
    def test_slowness(self, hit, client, endpoint, kind):
        ask = hit(endpoint, kind, seconds=30)
        client.timeout = 0.1
        with pytest.raises(TimeoutError):
            ask()

    def test_a_stall_can_end(self, hit, endpoint):
        assert hit(endpoint, "stall", seconds=0.05)().status == 200

    def test_body_cut_without_a_length(self, hit, endpoint):
        ask = hit(endpoint, "cut-close")
        cut, whole = ask(), ask()
        assert cut.headers["Content-Length"] is None
        assert 0 < len(cut.body) < 0.6 * len(whole.body)

    @pytest.mark.parametrize("kind", ["broken-gzip", "cut-gzip"])
    def test_gzip_that_cannot_be_unpacked(self, hit, endpoint, kind):
        reply = hit(endpoint, kind)()
        assert reply.headers["Content-Encoding"] == "gzip"
        with pytest.raises((OSError, EOFError, zlib.error)):
            gzip.decompress(reply.body)

    @pytest.mark.parametrize(("kind", "label"), [("gzip-unasked", "gzip"), ("gzip-unlabelled", None)])
    def test_gzip_that_was_not_asked_for(self, hit, endpoint, kind, label):
        reply = hit(endpoint, kind)(**{"Accept-Encoding": "identity"})
        assert reply.headers["Content-Encoding"] == label
        assert gzip.decompress(reply.body)

    def test_decompression_bomb(self, hit, endpoint):
        reply = hit(endpoint, "bomb", size=64 * 2**20)()
        assert len(reply.body) < 2**20
        assert len(zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(reply.body)) > 60 * 2**20

    @pytest.mark.parametrize(("kind", "content"), [("html", b"<form>"), ("empty", b""), ("nan", b"NaN")])
    def test_other_content(self, hit, endpoint, kind, content):
        reply = hit(endpoint, kind)()
        assert reply.status == 200
        assert content in reply.body
        assert bool(reply.body) is (kind != "empty")

    @pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("shape-")])
    def test_json_of_the_wrong_shape(self, hit, endpoint, kind):
        document = hit(endpoint, kind)().json
        assert not isinstance(document, dict) or not isinstance(document.get("requestedAt"), str)

    def test_deep_json(self, hit, endpoint):
        reply = hit(endpoint, "deep-json")()
        with pytest.raises(RecursionError):
            assert reply.json

    def test_huge_json(self, hit, endpoint):
        reply = hit(endpoint, "huge-json", size=5 * 2**20)()
        assert len(reply.body) > 5 * 2**20
        assert reply.json["padding"].startswith("xxx")

    @pytest.mark.parametrize("charset", ["utf-16", "latin-1"])
    def test_wrong_charset(self, hit, endpoint, charset):
        body = hit(endpoint, charset)().body
        with pytest.raises(UnicodeDecodeError):
            body.decode()
        assert "caf\u00e9" in body.decode(charset)

    @pytest.mark.parametrize(
        ("kind", "options", "status", "location"),
        [
            ("redirect", {}, 302, "http://localhost:{port}/trap"),
            ("redirect", {"location": "file:///etc/passwd", "code": 307}, 307, "file:///etc/passwd"),
            ("redirect-http", {}, 302, "http://127.0.0.1:{port}/trap"),
        ],
    )
    def test_redirect(self, hit, apple, endpoint, kind, options, status, location):
        reply = hit(endpoint, kind, **options)()
        assert (reply.status, reply.headers["Location"]) == (status, location.format(port=apple.port))

    def test_redirect_to_the_same_url(self, hit, client, apple, endpoint):
        location = hit(endpoint, "redirect-same")().headers["Location"]
        assert location.startswith(f"{apple.url}/")
        assert urlsplit(location).path == apple.ledger.records[-1].path

    def test_redirect_loop(self, hit, client, endpoint):
        first = hit(endpoint, "redirect-loop")().headers["Location"]
        second = client.send("GET", first)
        assert (second.status, second.headers["Location"]) == (302, first)


class TestStatusAnswers:
    @pytest.mark.parametrize(
        ("kind", "word"), [("unknown-status", "ARCHIVED"), ("failed", "FAILED"), ("no-details", "SUCCESS")]
    )
    def test_a_word_without_a_download_url(self, hit, kind, word):
        assert hit("status", kind)().json == {"status": word, "requestedAt": "2026-03-10T18:01:00.947Z"}

    @pytest.mark.parametrize("endpoint", ["request", "status"])
    def test_bad_timestamp(self, hit, endpoint):
        assert hit(endpoint, "bad-timestamp")().json["requestedAt"] == "the day before yesterday"

    def test_bad_urls(self, hit):
        assert hit("request", "bad-url")().json["statusUrl"] == "http://[::1"
        assert hit("status", "bad-url")().json["downloadDetails"]["dataUrl"] == "http://[::1"

    def test_a_url_that_has_expired(self, hit, client):
        ask = hit("status", "url-expired")
        assert client.download(ask().json["downloadDetails"]["dataUrl"]).status == 403
        assert client.download(ask().json["downloadDetails"]["dataUrl"]).status == 200

    def test_a_url_that_expires_soon(self, hit, client, clock):
        url = hit("status", "url-expiring", seconds=3)().json["downloadDetails"]["dataUrl"]
        clock.move(seconds=2.9)
        assert client.download(url).status == 200
        clock.move(seconds=0.1)
        assert client.download(url).status == 403

    def test_an_export_that_is_processing_is_said_to_be_ready_for_that(self, hit, client, apple):
        apple.configure(processing_polls=99)
        answer = client.status(client.request("delivery").json["statusUrl"]).json
        assert answer["status"] == "PROCESSING"
        apple.inject("status:url-undated")
        answer = client.status(client.request("delivery").json["statusUrl"]).json
        assert answer["status"] == "SUCCESS"
        assert client.download(answer["downloadDetails"]["dataUrl"]).status == 200

    def test_a_url_without_expiry_and_one_elsewhere(self, hit):
        assert hit("status", "url-undated")().json["downloadDetails"].keys() == {"dataUrl"}
        details = hit("status", "url-elsewhere", location="ftp://example.com/")().json["downloadDetails"]
        assert details["dataUrl"] == "ftp://example.com/"


class TestDownloadAnswers:
    @pytest.mark.parametrize(
        ("kind", "content"),
        [
            ("url-expired", b"<Message>Request has expired</Message>"),
            ("wrong-columns", b"Date (UTC),Broadcasts Published,Broadcasts Delivered,Total Subscriptions\n"),
            ("wrong-dataset", b"Push Type,Status,Date (UTC),Count\n"),
            ("bad-number", b",many\n"),
        ],
    )
    def test_wrong_content(self, hit, kind, content):
        ask = hit("download", kind)
        assert content in ask().body
        assert content not in ask().body

    def test_a_row_is_cut(self, hit):
        ask = hit("download", "cut-row")
        assert ask().body == ask().body.rpartition(b",")[0]


class TestWhatTheServiceDid:
    @pytest.mark.parametrize("kind", ["503", "reset", "html", "redirect", "cut-length", "reset-body", "empty", "stall"])
    def test_its_work_only_when_the_answer_was_damaged_and_not_when_it_was_replaced(self, hit, apple, client, kind):
        ask = hit("request", kind, seconds=30)
        client.timeout = 0.2
        with contextlib.suppress(OSError, http.client.IncompleteRead):
            ask()
        assert apple.ledger.exports_created == (kind in ("cut-length", "reset-body", "empty", "stall"))
        assert ask().status == 200
        assert apple.ledger.exports_created == 1

    @pytest.mark.parametrize("kind", ["gzip-unasked", "bad-timestamp", "latin-1"])
    def test_a_refusal_stays_a_refusal(self, client, apple, kind):
        apple.inject(Fault("request", kind))
        assert client.request(endDate="tomorrow").status == 400

    @pytest.mark.parametrize(("kind", "status"), [("reset", 0), ("503", 503), ("cut-length", 200)])
    def test_the_ledger_knows_the_fault(self, hit, apple, kind, status):
        with contextlib.suppress(ConnectionResetError, http.client.IncompleteRead):
            hit("request", kind)()
        record = apple.ledger.records[-1]
        assert (record.status, record.fault) == (status, kind)

    def test_a_stall_that_nobody_waited_for_is_in_the_ledger(self, hit, client, apple):
        ask = hit("request", "stall", seconds=30)
        client.timeout = 0.1
        with pytest.raises(TimeoutError):
            ask()
        _until(lambda: apple.ledger.count("request", 0) == 1)

    def test_and_so_is_a_request_lost_to_latency(self, client, apple):
        apple.configure(latency=30)
        client.timeout = 0.1
        with pytest.raises(TimeoutError):
            client.request()
        _until(lambda: apple.ledger.count("request", 0) == 1)
        assert apple.ledger.exports_created == 0


def _until(true):
    """Wait for what the emulator does after the client has gone."""
    deadline = time.monotonic() + 5
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)
