"""Each exchange is stepped through by hand: no network, no mock."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from airflow_provider_apns import exceptions as errors
from airflow_provider_apns.exceptions import ApnsError, ApnsServiceError, ApnsUntrustedUrlError
from airflow_provider_apns.protocol import exchanges
from airflow_provider_apns.protocol.account import APPLE_API_URL
from airflow_provider_apns.protocol.datasets import Dataset
from airflow_provider_apns.protocol.days import Days
from airflow_provider_apns.protocol.exchanges import MAX_REDIRECTS, TOKEN_HEADER, read_timestamp
from airflow_provider_apns.protocol.exports import Export, ExportRequest
from airflow_provider_apns.protocol.messages import Exchange, HttpAnswer
from airflow_provider_apns.protocol.retries import should_retry
from tests.unit.helpers import (
    CHANNEL_ID,
    DAY,
    NOW,
    SIGNED_URL,
    STATUS_URL,
    TODAY,
    TOKEN,
    account,
    answer,
    result_of,
    sent_by,
    traceback_with_locals,
)
from tests.unit.protocol.urls import urls

WEEK = Days(TODAY - 7 * DAY, TODAY - DAY)
CHANNEL_REQUEST = ExportRequest(Dataset.CHANNEL, WEEK, CHANNEL_ID)
MAX_BYTES = 1000
CSV = b"a,b\n1,2\n"
REPORT = answer(200, CSV, {"Content-Length": str(len(CSV))})
STORE = "https://store.example.com"


def request(order: ExportRequest | None = None, app_id: str = "com.example.app", **changes: Any) -> Exchange[Export]:
    order = order or ExportRequest(Dataset.APPLICATION, WEEK)
    return exchanges.request_export(account(**changes), order, app_id)


def status() -> Exchange[Export]:
    return exchanges.get_export(account(), STATUS_URL)


def download() -> Exchange[bytes]:
    return exchanges.download_export(account(), STATUS_URL, MAX_BYTES)


def ready(url: str = SIGNED_URL) -> HttpAnswer:
    return answer(body={"status": "SUCCESS", "downloadDetails": {"dataUrl": url}})


def redirect(location: str, code: int = 302) -> HttpAnswer:
    return answer(code, headers={"location": location})


class TestRequestExport:
    def test_the_post(self) -> None:
        (sent,) = sent_by(request(CHANNEL_REQUEST))
        assert sent.method == "POST"
        assert sent.url == (
            f"{APPLE_API_URL}/v1/dataExports/apns/teams/A1B2C3D4E5/appId/com.example.app"
            "/datasetName/broadcastchannelmetrics/request"
        )
        assert (sent.headers[TOKEN_HEADER], sent.headers["Content-Type"]) == (TOKEN, "application/json")
        assert sent.body == CHANNEL_REQUEST.body()
        assert TOKEN not in repr(sent)

    @given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text("/.%?#@\\ü:", min_size=1))
    def test_no_app_id_leads_elsewhere(self, app_id: str, team_id: str) -> None:
        url = URL(sent_by(request(app_id=app_id, login=team_id))[0].url, encoded=True)
        assert url.raw_host == "api.icloud.apple.com"
        assert len(url.raw_path.split("/")) == 11
        assert not url.raw_query_string

    def test_accepted(self) -> None:
        export = result_of(request(), answer(body={"statusUrl": STATUS_URL, "requestedAt": "2024-11-11 18:01:00Z"}))
        assert export == Export(STATUS_URL, "PROCESSING", datetime(2024, 11, 11, 18, 1, tzinfo=timezone.utc))

    def test_a_foreign_status_url_is_not_taken(self) -> None:
        with pytest.raises(ApnsUntrustedUrlError):
            result_of(request(), answer(body={"statusUrl": "https://evil.com/"}))

    def test_404_is_about_the_channel_if_there_is_one(self) -> None:
        with pytest.raises(
            errors.ApnsNotFoundError, match=r"does not know channel .* of app com.example.app .*production"
        ):
            result_of(request(CHANNEL_REQUEST), answer(404))
        with pytest.raises(errors.ApnsNotFoundError, match="Check the Team ID and the App bundle ID"):
            result_of(request(), answer(404))

    def test_a_token_for_another_dataset(self) -> None:
        claims = json.dumps({"scope": ["POST /v1/appId/com.example.app/datasetName/deliverymetrics/request"]}).encode()
        token = f"aaaaaaaa.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.bbbbbbbb"
        with pytest.raises(errors.ApnsTokenError, match="for dataset deliverymetrics, not broadcastapplicationmetric"):
            result_of(request(password=token), answer(401))


class TestGetExport:
    def test_the_get(self) -> None:
        (sent,) = sent_by(status())
        assert (sent.method, sent.url, sent.body, sent.headers[TOKEN_HEADER]) == ("GET", STATUS_URL, None, TOKEN)
        assert TOKEN not in repr(sent)

    @pytest.mark.parametrize("url", ["https://evil.com/", "http://api.icloud.apple.com/", "nonsense"])
    def test_nothing_is_sent_to_a_foreign_host(self, url: str) -> None:
        with pytest.raises(ApnsUntrustedUrlError):
            sent_by(exchanges.get_export(account(), url))

    @pytest.mark.parametrize("key", ["dataUrl", "dataURL"])
    def test_ready(self, key: str) -> None:
        details = {key: SIGNED_URL, "expiresAt": "2024-02-14T18:53:14.762922Z"}
        body = {"status": "SUCCESS", "requestedAt": "2024-02-14T18:32:30.947Z", "downloadDetails": details}
        export = result_of(status(), answer(body=body))
        assert export.check_ready() == SIGNED_URL
        assert export.requested_at == datetime(2024, 2, 14, 18, 32, 30, 947_000, tzinfo=timezone.utc)
        assert export.expires_at == datetime(2024, 2, 14, 18, 53, 14, 762_922, tzinfo=timezone.utc)
        assert "s3cret" not in repr(export)

    @pytest.mark.parametrize("word", ["PROCESSING", "processing", "FAILED", "EXPIRED", "ARCHIVED"])
    def test_not_ready(self, word: str) -> None:
        export = result_of(status(), answer(body=gzip.compress(json.dumps({"status": word}).encode())))
        assert (export.status, export.is_ready) == (word.upper(), False)

    def test_a_traceback_with_local_variables_masks_what_may_be_a_signed_url(self) -> None:
        ready = answer(200, {"status": "SUCCESS", "downloadDetails": {"url": SIGNED_URL, "expiresAt": "soon"}})
        with pytest.raises(ApnsServiceError, match="no download URL") as raised:
            result_of(exchanges.get_export(account(), STATUS_URL), ready)
        shown = traceback_with_locals(raised.value)
        assert "soon" in shown
        assert SIGNED_URL not in shown

    def test_an_odd_status_can_be_shown(self) -> None:
        export = result_of(status(), answer(body={"status": "odd\n\x1b[31m\ud800" + "x" * 100}))
        assert export.status.isprintable()
        assert len(export.status) <= 40

    @pytest.mark.parametrize(("code", "error"), [(401, errors.ApnsTokenError), (503, ApnsServiceError)])
    def test_a_refusal_is_told_by_its_code(self, code: int, error: type[ApnsError]) -> None:
        with pytest.raises(error, match=str(code)):
            result_of(status(), answer(code, {"status": "PROCESSING"}))

    def test_404_means_the_token_in_one_of_apples_articles(self) -> None:
        with pytest.raises(errors.ApnsTokenError, match=r"404.*'my_conn'"):
            result_of(status(), answer(404))


class TestDownloadExport:
    def test_takes_a_fresh_url_and_sends_no_token_there(self) -> None:
        look, get = sent_by(download(), ready())
        assert look.url == STATUS_URL
        assert (get.method, get.url, get.max_bytes) == ("GET", SIGNED_URL, MAX_BYTES)
        assert get.headers["Accept-Encoding"] == "gzip"
        assert get.server == STORE
        assert TOKEN not in str(get.headers)
        assert "s3cret" not in repr([get, ready(), redirect(SIGNED_URL)])

    @pytest.mark.parametrize("body", [CSV, gzip.compress(CSV), gzip.compress(gzip.compress(CSV))])
    def test_gives_the_decompressed_body(self, body: bytes) -> None:
        assert result_of(download(), ready(), answer(200, body, {"Content-Length": str(len(body))})) == CSV

    @pytest.mark.parametrize(
        ("report", "error", "told"),
        [
            (answer(200, CSV[:5], REPORT.headers), ApnsServiceError, "was cut short"),
            (answer(200, bytes(MAX_BYTES + 1)), errors.ApnsReportTooLargeError, "is larger than 1,000 bytes"),
            (answer(200, gzip.compress(bytes(1001))), errors.ApnsReportTooLargeError, "is larger than 1,000 bytes"),
        ],
    )
    def test_a_body_that_is_cut_short_or_too_large(self, report: HttpAnswer, error: type[ApnsError], told: str) -> None:
        with pytest.raises(error, match=f"The report of export {STATUS_URL} {told}"):
            result_of(download(), ready(), report)

    @pytest.mark.parametrize(
        ("word", "error"), [("PROCESSING", ApnsServiceError), ("FAILED", errors.ApnsExportFailedError)]
    )
    def test_an_export_that_is_not_ready(self, word: str, error: type[ApnsError]) -> None:
        with pytest.raises(error, match=word):
            result_of(download(), answer(body={"status": word}))

    @pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize(
        ("location", "url"),
        [
            ("HTTPS://Other.Example.com:443/a%2fb/../%7E//c?sig=s3cret%2B&=&&x", None),
            ("/x//y?sig=s3cret%2f+", f"{STORE}/x//y?sig=s3cret%2f+"),
            ("//other.example.com/x", "https://other.example.com/x"),
            ("?sig=s3cret", f"{STORE}/data.csv?sig=s3cret"),
        ],
    )
    def test_a_redirect_is_followed_byte_for_byte(self, code: int, location: str, url: str | None) -> None:
        sent = sent_by(download(), ready(), redirect(location, code))
        assert sent[-1].url == (url or location)
        assert TOKEN_HEADER not in sent[-1].headers
        assert "s3cret" not in repr(sent)

    def test_redirects_end(self) -> None:
        around = [redirect(SIGNED_URL)] * MAX_REDIRECTS
        assert result_of(download(), ready(), *around, REPORT) == CSV
        with pytest.raises(ApnsServiceError, match="redirected more than 5 times"):
            result_of(download(), ready(), *around, redirect(SIGNED_URL))

    @pytest.mark.parametrize(
        ("url", "error", "told"),
        [
            (f"{STORE}/s3cret x", ApnsServiceError, "it contains a space"),
            (f"{STORE}/s3cret-é", ApnsServiceError, "it contains a character that is not ASCII"),
            (f"{STORE}/s3cret?{'x' * 9000}", ApnsServiceError, "it is longer than 8,192 characters"),
            ("https://s3cret@store.example.com/", ApnsServiceError, "it is not an absolute http or https URL"),
            ("file:///etc/passwd?s3cret", ApnsServiceError, "it is not an absolute http or https URL"),
            ("//[s3cret/", ApnsServiceError, "it is not an absolute http or https URL"),
            ("http://store.example.com/?s3cret", ApnsUntrustedUrlError, "is not https"),
            ("http://127.0.0.1.example.com/?s3cret", ApnsUntrustedUrlError, "is not https"),
        ],
    )
    def test_nothing_is_sent_to_a_url_that_cannot_be_read_or_is_not_https(
        self, url: str, error: type[ApnsError], told: str
    ) -> None:
        for answers in ([ready(url)], [ready(), redirect(url)]):
            with pytest.raises(error, match=f"(?i)nothing was sent.*{told}|{told}.*nothing was sent") as raised:
                sent_by(download(), *answers)
            assert "s3cret" not in traceback_with_locals(raised.value)

    def test_plain_http_is_for_this_machine_alone(self) -> None:
        assert result_of(download(), ready("http://127.0.0.1:8585/data.csv"), REPORT) == CSV

    @pytest.mark.parametrize("code", [201, 204, 206, 302, 304, 400, 401, 403, 404, 410])
    def test_anything_else_may_be_an_expired_url_and_is_tried_again(self, code: int) -> None:
        with pytest.raises(ApnsServiceError, match=f"failed: {STORE} answered {code}\\. .* expired") as raised:
            result_of(download(), ready(), answer(code))
        assert should_retry(raised.value)

    @pytest.mark.parametrize(("code", "slow_down"), [(429, True), (503, True), (500, False)])
    def test_the_store_may_ask_to_slow_down(self, code: int, slow_down: bool) -> None:
        with pytest.raises(ApnsServiceError) as raised:
            result_of(download(), ready(), answer(code, headers={"Retry-After": "2"}))
        assert (raised.value.retry_after, raised.value.slow_down) == (2, slow_down)


SUCCESS = {"status": "SUCCESS"}
JUNK = [
    b"",
    b"<html><body>Sign in</body></html>",
    b"[]",
    b'"SUCCESS"',
    b'{"status": NaN',
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b"[" * 100_000,
    '{"statusUrl": "x"}'.encode("utf-16")[:-1],
    b"\xff\xfe\x00",
    b"9" * 5000,
]
ECHOES = [
    f"you sent {TOKEN}".encode(),
    json.dumps({"reason": f"bad token {TOKEN}"}).encode(),
    json.dumps([SIGNED_URL]).replace("/", "\\/").replace("&", "\\u0026").encode(),
    f"<a href='{SIGNED_URL}'>".encode(),
    b"token aaaaaaaaaa.bbbbbbbbbb.s3cretcccccc",
]
KEYS = ["status", "statusUrl", "requestedAt", "downloadDetails", "dataUrl", "expiresAt", "reason"]
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(["SUCCESS", STATUS_URL]) | urls,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=12,
)


class TestUndocumentedAnswers:
    @pytest.mark.parametrize(
        ("exchange", "body", "told"),
        [
            *((request, {"statusUrl": url}, "has no statusUrl") for url in (None, "", 7)),
            *((status, {"status": word}, "has no status") for word in (None, "", ["SUCCESS"])),
            *((status, {**SUCCESS, "downloadDetails": it}, "no download URL") for it in (None, {}, [], "soon")),
            *((status, {**SUCCESS, "downloadDetails": {"dataUrl": it}}, "no download URL") for it in (None, "", 7)),
        ],
    )
    def test_json_that_lacks_what_it_must_have(self, exchange: Any, body: object, told: str) -> None:
        with pytest.raises(ApnsServiceError, match=told):
            result_of(exchange(), answer(body=body))

    @pytest.mark.parametrize("code", [200, 400, 401, 403, 404, 429, 500])
    @pytest.mark.parametrize("body", [*JUNK, *ECHOES])
    def test_junk_is_a_short_clear_error_without_secrets(self, code: int, body: bytes) -> None:
        for exchange in (request(), status(), download()):
            with pytest.raises(ApnsError) as raised:
                result_of(exchange, answer(code, body))
            told = str(raised.value)
            assert told.isprintable()
            assert len(told) < 1000
            assert TOKEN not in told
            assert "s3cret" not in told
            assert code != 200 or type(raised.value) is ApnsServiceError

    @given(
        st.integers(200, 599),
        st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()),
        st.dictionaries(st.sampled_from(["Retry-After", "Date", "Location"]), st.text(max_size=40) | urls),
    )
    def test_any_answer_leads_on_or_is_an_error_of_the_family(
        self, code: int, body: bytes, headers: dict[str, str]
    ) -> None:
        got = HttpAnswer(code, headers, NOW, body)
        for exchange, *answers in ((request(), got), (status(), got), (download(), got), (download(), ready(), got)):
            try:
                sent_by(exchange, *answers)
            except StopIteration:
                pass
            except ApnsError as error:
                assert str(error).isprintable()  # noqa: PT017
                assert len(str(error)) < 1000  # noqa: PT017


class TestTimestamps:
    @pytest.mark.parametrize(
        ("text", "microsecond"),
        [
            ("2024-11-11 18:01:00Z", 0),
            ("2024-11-11T18:01:00Z", 0),
            ("2024-11-11T18:01:00.947Z", 947_000),
            ("2024-11-11T18:01:00.762922Z", 762_922),
            ("2024-11-11T18:01:00.762922999Z", 762_922),
            ("2024-11-11 18:01:00+00:00", 0),
        ],
    )
    def test_all_of_apples_spellings(self, text: str, microsecond: int) -> None:
        assert read_timestamp(text) == datetime(2024, 11, 11, 18, 1, 0, microsecond, tzinfo=timezone.utc)

    @given(st.datetimes(), st.sampled_from("T "), st.sampled_from(["seconds", "milliseconds", "microseconds"]))
    def test_every_moment_reads_back(self, moment: datetime, separator: str, precision: str) -> None:
        text = moment.isoformat(separator, precision)
        assert read_timestamp(f"{text}Z") == datetime.fromisoformat(text).replace(tzinfo=timezone.utc)

    @pytest.mark.parametrize(
        "value",
        [None, 7, "", "soon", "2024-13-01T00:00:00Z", "2024-01-01T00:00:00.1234567890Z", "2024-01-01T00:00:00+02:00"],
    )
    def test_anything_else_is_unknown(self, value: object) -> None:
        assert read_timestamp(value) is None

    @given(st.text() | st.from_regex(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?"))
    def test_nothing_is_ever_raised(self, text: str) -> None:
        read_timestamp(text)
