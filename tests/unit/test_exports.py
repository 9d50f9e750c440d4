from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from urllib3.util import parse_url
from yarl import URL

from airflow_provider_apns.exceptions import (
    ApnsConnectionError,
    ApnsError,
    ApnsExportFailedError,
    ApnsInvalidRequestError,
    ApnsNotFoundError,
    ApnsRefusedError,
    ApnsReportError,
    ApnsServiceError,
    ApnsTokenError,
    ApnsUntrustedUrlError,
)
from airflow_provider_apns.exports import (
    APPLE_API_URL,
    MAX_BACKOFF,
    MAX_RETRY_AFTER,
    TOKEN_HEADER,
    Account,
    Dataset,
    Export,
    ExportRequest,
    HttpAnswer,
    HttpRequest,
    Origin,
    Window,
    busy,
    check_channel_id,
    check_status_url,
    follow_download,
    is_transient,
    network_failure,
    poll_delay,
    read_channel_ids,
    read_date,
    read_export_requested,
    read_export_status,
    read_retry_after,
    read_timestamp,
    request_download,
    request_export,
    request_status,
    retry_delay,
    should_retry,
)
from airflow_provider_apns.tokens import Secret, TokenClaims
from tests.unit.helpers import traceback_with_locals

NOW = datetime(2026, 3, 10, 18, 1, tzinfo=timezone.utc)
TODAY = NOW.date()
DAY = timedelta(days=1)
TOKEN = "an-opaque-data-export-token"
CHANNEL_ID = "+/8AAAAAAAAAAAAAAAAAAA=="
STATUS_URL = f"{APPLE_API_URL}/v1/status/1"
SIGNED_URL = "https://store.example.com/data.csv?Expires=1&Signature=s3cret"

dates = st.dates(date(2000, 1, 1), date(2100, 12, 31))


def account(**changes: Any) -> Account:
    fields = {"login": "A1B2C3D4E5", "password": TOKEN, "extra": {"app_id": "com.example.app"}} | changes
    return Account.read("my_conn", **fields)


def export_request(
    dataset: Dataset = Dataset.APPLICATION, channel_id: str | None = None, **changes: Any
) -> ExportRequest:
    return ExportRequest(dataset, Window(TODAY - 7 * DAY, TODAY - DAY), channel_id, **changes)


def answer(status: int = 200, body: object = b"", headers: Mapping[str, str] | None = None) -> HttpAnswer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpAnswer(status, headers or {}, NOW, content)


class TestDataset:
    @pytest.mark.parametrize(
        ("name", "dataset"),
        [
            ("application", Dataset.APPLICATION),
            ("broadcastapplicationmetric", Dataset.APPLICATION),
            ("channel", Dataset.CHANNEL),
            ("broadcastchannelmetrics", Dataset.CHANNEL),
            ("delivery", Dataset.DELIVERY),
            ("deliverymetrics", Dataset.DELIVERY),
            (Dataset.DELIVERY, Dataset.DELIVERY),
        ],
    )
    def test_has_two_names(self, name: str, dataset: Dataset) -> None:
        assert Dataset.parse(name) is dataset

    @pytest.mark.parametrize("name", ["", "channels", "APPLICATION", "broadcastapplicationmetrics", None, 3])
    def test_another_name_is_answered_with_the_three(self, name: Any) -> None:
        with pytest.raises(ApnsInvalidRequestError, match="'application', 'channel', 'delivery'"):
            Dataset.parse(name)


class TestReadDate:
    @pytest.mark.parametrize(
        "value",
        [
            "2026-03-09",
            " 2026-03-09\n",
            date(2026, 3, 9),
            datetime(2026, 3, 9, 23, 59),
            datetime(2026, 3, 9, 1, tzinfo=timezone.utc),
            datetime(2026, 3, 10, 1, tzinfo=timezone(timedelta(hours=2))),
            datetime(2026, 3, 8, 20, tzinfo=timezone(timedelta(hours=-5))),
            "2026-03-09T00:00:00+00:00",
            "2026-03-09 00:00:00+00:00",
            "2026-03-09T10:00",
            "2026-03-09T23:30:00.123456Z",
            "2026-03-10T01:00:00+02:00",
        ],
    )
    def test_a_day_as_dag_authors_and_templates_write_it(self, value: str | date) -> None:
        assert read_date(value, "start_date") == date(2026, 3, 9)

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "yesterday",
            "None",
            "2026-02-30",
            "2026-3-9",
            "09.03.2026",
            "20260309",
            "2026-W11-1",
            "2026-03-09T25:00",
            "2026-03-09T10:00/2026-03-10T10:00",
            "２０２６-03-09",  # noqa: RUF001
            "9999-12-31T23:59:59-12:00",
            "0001-01-01T00:00:00+14:00",
            "{{ ds }}",
            20260309,
            None,
            True,
        ],
    )
    def test_what_is_no_day_is_named_in_the_error(self, value: Any) -> None:
        with pytest.raises(ApnsInvalidRequestError, match="end_date must be a"):
            read_date(value, "end_date")

    @given(st.dates())
    def test_every_day_reads_back(self, day: date) -> None:
        assert read_date(day.isoformat(), "x") == day

    @given(st.datetimes(timezones=st.timezones() | st.just(timezone.utc)))
    def test_a_moment_is_on_its_utc_day_or_on_none(self, moment: datetime) -> None:
        try:
            expected: date | None = moment.astimezone(timezone.utc).date()
        except OverflowError:
            expected = None
        if expected is None:
            with pytest.raises(ApnsInvalidRequestError):
                read_date(moment, "x")
        else:
            assert read_date(moment, "x") == expected

    @given(st.text(max_size=60) | st.from_regex(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d[\x20-\x7e]{0,20}", fullmatch=True))
    def test_any_text_is_a_day_or_a_clear_error(self, text: str) -> None:
        with contextlib.suppress(ApnsInvalidRequestError):
            assert type(read_date(text, "x")) is date


def apple_takes(start: date, end: date, today: date) -> bool:
    """Apple's rules in one line, for one request."""
    return today - 30 * DAY <= start < end <= today - DAY


class TestWindow:
    @given(dates, st.integers(-40, 5), st.integers(-40, 5))
    def test_what_is_read_is_what_apple_can_deliver_and_single_days(self, today: date, start: int, end: int) -> None:
        first, last = today + start * DAY, today + end * DAY
        deliverable = -30 <= start <= end <= -1
        if deliverable:
            window = Window.read(first, last, today)
            assert (window.start, window.end) == (first, last)
        else:
            with pytest.raises(ApnsInvalidRequestError):
                Window.read(first, last, today)

    @given(dates, st.integers(-30, -1), st.integers(0, 29))
    def test_apple_takes_every_window_that_was_read(self, today: date, start: int, length: int) -> None:
        meant = Window.read(today + start * DAY, min(today + (start + length) * DAY, today - DAY), today)
        asked = meant.for_apple(today)
        assert apple_takes(asked.start, asked.end, today)
        assert meant.start in asked
        assert meant.end in asked
        if meant.start < meant.end:
            assert asked == meant
        else:
            assert len(asked.days()) == 2

    @pytest.mark.parametrize("today", [date(2024, 3, 1), date(2026, 1, 1), date(2026, 3, 30), date(2027, 12, 31)])
    @pytest.mark.parametrize("ago", range(1, 31))
    def test_every_single_day_can_be_asked_for(self, today: date, ago: int) -> None:
        day = today - ago * DAY
        asked = Window.read(day, day, today).for_apple(today)
        assert apple_takes(asked.start, asked.end, today)
        assert day in asked
        # The day before, which is settled, wherever Apple still has it.
        assert asked.start == (day if ago == 30 else day - DAY)

    @pytest.mark.parametrize(
        ("start", "end", "told"),
        [
            ("2026-03-05", "2026-03-04", "end_date 2026-03-04 is before start_date 2026-03-05"),
            ("2026-03-05", "2026-03-10", "end_date 2026-03-10 is not over yet.*the newest is 2026-03-09"),
            ("2026-02-07", "2026-03-05", "start_date 2026-02-07 is more than 30 days ago.*cannot deliver it any more"),
            ("soon", "2026-03-05", "start_date must be a day"),
            ("2026-03-05", "later", "end_date must be a day"),
        ],
    )
    def test_says_what_is_wrong(self, start: str, end: str, told: str) -> None:
        with pytest.raises(ApnsInvalidRequestError, match=told):
            Window.read(start, end, TODAY)

    def test_a_day_that_is_not_over_is_explained_for_airflow_3(self) -> None:
        with pytest.raises(ApnsInvalidRequestError, match=r"macros\.ds_add\(ds, -1\)"):
            Window.read("2026-03-09", "2026-03-10", TODAY)

    def test_days(self) -> None:
        window = Window.parse("2026-02-27", "2026-03-02")
        assert [str(day) for day in window.days()] == ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]
        assert str(window) == "2026-02-27 to 2026-03-02"
        assert date(2026, 3, 2) in window
        assert date(2026, 3, 3) not in window


class TestChannelIds:
    @given(st.binary(min_size=1, max_size=40))
    def test_base64_is_a_channel_id(self, raw: bytes) -> None:
        channel_id = base64.b64encode(raw).decode()
        assert check_channel_id(channel_id) == channel_id

    @pytest.mark.parametrize(
        "channel_id",
        [
            "",
            "=",
            "A",
            "AAA",
            "AA=",
            "AAAA==",
            "AAAA=",
            "A===",
            "AA==AA==",
            "-_8A",
            "AA AA",
            "AAAA\n",
            " AAAA",
            "ÄÖÜ=",
            7,
            None,
            b"AAAA",
        ],
    )
    def test_anything_else_is_none(self, channel_id: Any) -> None:
        with pytest.raises(ApnsInvalidRequestError, match="is not base64"):
            check_channel_id(channel_id)

    @pytest.mark.parametrize(
        "value",
        [
            ["AAAA", "BBBB", "AAAA"],
            ("AAAA", "BBBB"),
            iter(["AAAA", "BBBB"]),
            "['AAAA', 'BBBB']",
            '["AAAA", "BBBB", "AAAA"]',
            "('AAAA', 'BBBB')",
            "AAAA,BBBB",
            "AAAA BBBB\nAAAA",
            " AAAA , BBBB ",
        ],
    )
    def test_a_list_as_dag_authors_and_templates_write_it(self, value: object) -> None:
        assert read_channel_ids(value) == ["AAAA", "BBBB"]

    @pytest.mark.parametrize("value", [[], "", "[]", " , "])
    def test_an_empty_list_is_an_error(self, value: object) -> None:
        with pytest.raises(ApnsInvalidRequestError, match="channel_ids is empty"):
            read_channel_ids(value)

    @pytest.mark.parametrize("value", [None, 7, b"AAAA", {"AAAA": 1}, "[", "[1", "[" * 5000, "[__import__('os')]"])
    def test_what_is_no_list_is_an_error(self, value: object) -> None:
        with pytest.raises(ApnsInvalidRequestError, match="must be a list of channel ids"):
            read_channel_ids(value)

    @pytest.mark.parametrize("value", [["AAAA", None], "[1, 2]", "[['AAAA']]", "AAAA,nonsense!"])
    def test_a_list_of_something_else_is_an_error(self, value: object) -> None:
        with pytest.raises(ApnsInvalidRequestError, match="is not base64"):
            read_channel_ids(value)

    @given(st.text() | st.text(alphabet="[](),'\"A= {}:\\\x00", max_size=30))
    def test_any_text_is_a_list_or_a_clear_error(self, text: str) -> None:
        with contextlib.suppress(ApnsInvalidRequestError):
            assert read_channel_ids(text)


class TestExportRequest:
    def test_body(self) -> None:
        assert json.loads(export_request(Dataset.CHANNEL, CHANNEL_ID, url_expires_in_minutes=20).body()) == {
            "startDate": "2026-03-03",
            "endDate": "2026-03-09",
            "dataDownloadUrlExpiresInMinutes": 20,
            "channelId": CHANNEL_ID,
        }
        assert "channelId" not in json.loads(export_request().body())

    def test_a_single_day_is_refused(self) -> None:
        with pytest.raises(ApnsInvalidRequestError, match="must be later than start_date"):
            ExportRequest(Dataset.DELIVERY, Window(TODAY, TODAY))

    @pytest.mark.parametrize("channel_id", [None, ""])
    def test_a_channel_is_missing(self, channel_id: str | None) -> None:
        with pytest.raises(ApnsInvalidRequestError, match="channel_id is missing"):
            export_request(Dataset.CHANNEL, channel_id)

    @pytest.mark.parametrize("dataset", [Dataset.APPLICATION, Dataset.DELIVERY])
    def test_a_channel_too_many(self, dataset: Dataset) -> None:
        with pytest.raises(ApnsInvalidRequestError, match=f"not with '{dataset.short_name}'"):
            export_request(dataset, CHANNEL_ID)

    def test_a_channel_that_is_not_base64(self) -> None:
        with pytest.raises(ApnsInvalidRequestError, match="'news!' is not base64"):
            export_request(Dataset.CHANNEL, "news!")

    @pytest.mark.parametrize("minutes", [20, 37, 60])
    def test_expiry_minutes(self, minutes: int) -> None:
        assert export_request(url_expires_in_minutes=minutes).url_expires_in_minutes == minutes

    @pytest.mark.parametrize("minutes", [19, 61, 0, -20, 30.0, "30", True, None])
    def test_other_expiry_minutes(self, minutes: Any) -> None:
        with pytest.raises(ApnsInvalidRequestError, match="from 20 to 60"):
            export_request(url_expires_in_minutes=minutes)

    def test_says_what_it_is(self) -> None:
        assert str(export_request()) == "export of the application dataset, 2026-03-03 to 2026-03-09"
        assert f"of channel {CHANNEL_ID}" in str(export_request(Dataset.CHANNEL, CHANNEL_ID))


# Every trick that has fooled a URL parser into another host than the one that was checked.
TRICKS = [
    "https://api.icloud.apple.com@evil.com/",
    "https://user:pw@api.icloud.apple.com/",
    "https://api.icloud.apple.com:443@evil.com/",
    "https://evil.com\\@api.icloud.apple.com/",
    "https://evil.com\\.apple.com/",
    "https://evil.com#.apple.com/",
    "https://evil.com?.apple.com/",
    "https://evil.com;.apple.com/",
    "https://evil.com%2f.apple.com/",
    "https://evil.com%00.apple.com/",
    "https://evil.com\x00.apple.com/",
    "https://evil.com\t.apple.com/",
    "https://evil.com\n.apple.com/",
    "https://evil.com\r\n.apple.com/",
    "https://api.icloud.apple.com\n/",
    " https://api.icloud.apple.com/",
    "https://api.icloud.apple.com /",
    "https:// api.icloud.apple.com/",
    "https:/api.icloud.apple.com/",
    "https:api.icloud.apple.com/",
    "https:///api.icloud.apple.com/",
    "https:\\\\api.icloud.apple.com/",
    "//api.icloud.apple.com/",
    "/v1/status/1",
    "https://api.icloud.apple.com./",
    "https://.apple.com/",
    "https://api..apple.com/",
    "https://аpple.com/",  # noqa: RUF001
    "https://api.icloud.аpple.com/",  # noqa: RUF001
    "https://apple。com/",
    "https://api.icloud.apple.com／.evil.com/",  # noqa: RUF001
    "https://api.icloud.apple.ⓒom/",
    "https://api.icloud.\u212aapple.com/",
    "https://%61pple.com/",
    "https://[::1/",
    "https://[::1]evil.com/",
    "https://[::1]@evil.com/",
    "https://[::ffff:7f00:1]/",
    "https://[fe80::1%25eth0]/",
    "https://2130706433:99999/",
    "https://api.icloud.apple.com:0/",
    "https://api.icloud.apple.com:/",
    "https://api.icloud.apple.com:443:80/",
    "https://api.icloud.apple.com:４４３/",  # noqa: RUF001
    "https://api.icloud.apple.com:-443/",
    f"https://{'a' * 64}.apple.com/",
    f"https://{'a.' * 125}apple.com/",
    "https://api.icloud.apple.com/a\\b",
    "https://api.icloud.apple.com/a b",
    "https://api.icloud.apple.com/a\tb",
    "https://api.icloud.apple.com/ HTTP/1.1\r\nHost: evil.com\r\n\r\n",
    "https://api.icloud.apple.com/ü",
    "https://api.icloud.apple.com/\x7f",
    "file:///etc/passwd",
    "ftp://api.icloud.apple.com/",
    "javascript:alert(1)",
    "data:text/csv,x",
    "gopher://api.icloud.apple.com/",
    "unix:///var/run/docker.sock",
    "https",
    "",
    "https://api.icloud.apple.com/" + "a" * 9000,
]
FOREIGN = [
    "https://evil-apple.com/",
    "https://evilapple.com/",
    "https://apple.com/",
    "https://apple.com.evil.com/",
    "https://api.icloud.apple.com.evil.com/",
    "https://api-icloud-apple.com/",
    "https://xn--pple-43d.com/",
    "https://apple.co/",
    "https://api.icloud.apple.com:8443/",
    "http://api.icloud.apple.com/",
    "http://api.icloud.apple.com:443/",
    "https://example.com/.apple.com",
    "https://example.com/?https://api.icloud.apple.com/",
    "https://example.com/#@api.icloud.apple.com/",
    "https://localhost/",
    "https://127.0.0.1/",
    "http://127.0.0.1.evil.com/",
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1:8585/",
    "http://[::1]:8585/",
]
FRIENDLY = [
    "https://api.icloud.apple.com/v1/status/1",
    "https://API.iCloud.APPLE.com/v1",
    "HTTPS://api.icloud.apple.com",
    "https://api.icloud.apple.com:443/",
    "https://p1-data_exports.apple.com/",
    "https://gateway.icloud.com/status?x=@evil.com",
]
hosts = st.one_of(
    st.sampled_from(["api.icloud.apple.com", "evil.com", "[::1]", "127.0.0.1", "localhost", "xn--pple-43d.com", ""]),
    st.text(alphabet="aZ09.-_:@%[]\\/#?;ß。\t\n ", max_size=12),
)
urls = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["https", "http", "HTTPS", "file", "https:", "", "ws"]),
        st.sampled_from(["://", ":/", "://user@", "://user:pw@", ":\\\\", "://\\", "//"]),
        hosts,
        st.sampled_from(["", ".", ".apple.com", "\\.apple.com", "@api.icloud.apple.com", "%2eapple.com"]),
        st.sampled_from(["", ":443", ":0443", ":80", ":", ":0", ":65536", ":x", "@x"]),
        st.sampled_from(
            ["", "/", "/a?b#c", "?b", "#c", "/\\", "/@evil.com", "/ü", "/ ", "/%0d%0a", "//evil.com", "/../x"]
        ),
    ),
) | st.text(max_size=40)


class TestTrust:
    @pytest.mark.parametrize("url", TRICKS)
    def test_a_trick_has_no_origin(self, url: str) -> None:
        assert Origin.of(url) is None
        with pytest.raises(ApnsUntrustedUrlError, match="is no status URL"):
            check_status_url(account(), url)

    @pytest.mark.parametrize("url", FOREIGN)
    def test_a_foreign_host_gets_no_token(self, url: str) -> None:
        with pytest.raises(ApnsUntrustedUrlError, match="The token was not sent to"):
            request_status(account(), url)

    @pytest.mark.parametrize("url", FRIENDLY)
    def test_apples_hosts_get_it(self, url: str) -> None:
        request = request_status(account(), url)
        assert (request.method, request.url) == ("GET", url)
        assert request.headers[TOKEN_HEADER] == TOKEN

    @pytest.mark.parametrize("url", [None, 7, b"https://api.icloud.apple.com/", ["https://api.icloud.apple.com/"]])
    def test_what_is_no_text_is_no_status_url(self, url: Any) -> None:
        with pytest.raises(ApnsUntrustedUrlError, match="is no status URL"):
            request_status(account(), url)

    @settings(max_examples=500)
    @given(urls)
    @example("https://[::1]:443/")
    @example("https://xn--80ak6aa92e.com:00443/")
    def test_every_parser_agrees_about_an_origin(self, url: str) -> None:
        origin = Origin.of(url)
        if origin is None:
            return
        host = origin.host.strip("[]")
        assert urlsplit(url).hostname == host
        assert str(parse_url(url).host).strip("[]") == host
        assert str(URL(url, encoded=True).raw_host).lower() == host
        assert urlsplit(url).port or origin.port == origin.port
        assert (parse_url(url).port or origin.port) == origin.port
        assert URL(url, encoded=True).port == origin.port
        assert urlsplit(url).scheme == parse_url(url).scheme == URL(url, encoded=True).scheme == origin.scheme
        assert urlsplit(url).username is parse_url(url).auth is URL(url, encoded=True).user is None
        host.encode("idna")  # as the socket module does

    @settings(max_examples=500)
    @given(urls)
    def test_the_token_goes_to_trusted_hosts_alone(self, url: str) -> None:
        try:
            request = request_status(account(), url)
        except ApnsUntrustedUrlError:
            return
        parsed = URL(request.url, encoded=True)
        assert parsed.scheme == "https"
        assert parsed.port == 443
        assert str(parsed.raw_host).lower().endswith((".apple.com", ".icloud.com"))

    def test_the_connections_own_host_is_trusted_with_its_port(self) -> None:
        own = account(host="https://apns.example.com:8443/base")
        assert check_status_url(own, "https://apns.example.com:8443/status")
        for url in (
            "https://apns.example.com/status",
            "http://apns.example.com:8443/",
            "https://x.apns.example.com:8443/",
        ):
            with pytest.raises(ApnsUntrustedUrlError):
                check_status_url(own, url)

    @pytest.mark.parametrize(
        "trusted_hosts",
        ["Status.example.com, other.example.com:8443", ["status.example.com", "other.example.com:8443"]],
    )
    def test_further_hosts_can_be_named(self, trusted_hosts: object) -> None:
        trusting = account(extra={"trusted_hosts": trusted_hosts})
        for url in (
            "https://status.example.com/1",
            "https://STATUS.example.com:444/1",
            "https://other.example.com:8443/1",
        ):
            assert check_status_url(trusting, url) == url
        for url in ("https://other.example.com/1", "http://status.example.com/1", "https://a.status.example.com/1"):
            with pytest.raises(ApnsUntrustedUrlError):
                check_status_url(trusting, url)

    def test_the_error_names_the_host_and_the_cure(self) -> None:
        with pytest.raises(ApnsUntrustedUrlError, match=r'{"trusted_hosts": \["status\.example\.com"\]}'):
            check_status_url(account(), "https://status.example.com/1")

    @pytest.mark.parametrize(
        ("url", "is_loopback"),
        [
            ("http://localhost:1/", True),
            ("http://127.0.0.1/", True),
            ("http://127.255.255.254/", True),
            ("http://[::1]/", True),
            ("http://127.0.0.256/", False),
            ("http://127.1/", False),
            ("http://127.0.0.1.evil.com/", False),
            ("http://localhost.evil.com/", False),
            ("http://0.0.0.0/", False),
            ("http://2130706433/", False),
        ],
    )
    def test_plain_http_is_for_loopback_alone(self, url: str, is_loopback: bool) -> None:
        origin = Origin.of(url)
        assert origin is not None
        assert origin.is_loopback is is_loopback
        assert origin.is_private_enough is is_loopback


class TestAccount:
    def test_apples_own_api(self) -> None:
        read = account()
        assert (read.team_id, read.token, read.app_id) == ("A1B2C3D4E5", TOKEN, "com.example.app")
        assert read.api_url == APPLE_API_URL
        assert TOKEN not in repr(read)

    @pytest.mark.parametrize(
        ("host", "port", "schema", "url"),
        [
            (None, None, None, APPLE_API_URL),
            ("  ", None, None, APPLE_API_URL),
            ("https://proxy.example.com/apns/", None, None, "https://proxy.example.com/apns"),
            ("proxy.example.com", None, None, "https://proxy.example.com"),
            ("proxy.example.com", 8443, None, "https://proxy.example.com:8443"),
            ("proxy.example.com", 8443, "https", "https://proxy.example.com:8443"),
            ("https://proxy.example.com:8443/apns", 9, None, "https://proxy.example.com:8443/apns"),
            ("https://proxy.example.com/apns", 9, None, "https://proxy.example.com:9/apns"),
            ("localhost", 8585, "http", "http://localhost:8585"),
            ("http://[::1]", 8585, None, "http://[::1]:8585"),
            ("http://127.0.0.1:8585", None, None, "http://127.0.0.1:8585"),
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
            ({"password": "two words"}, "copy it again, in one piece"),
            ({"password": "line\nbreak"}, "copy it again, in one piece"),
            ({"password": "tökén"}, "copy it again, in one piece"),
            ({"host": "http://apns.example.com"}, "plain http"),
            ({"host": "apns.example.com", "schema": "http"}, "plain http"),
            ({"host": "https://user@apns.example.com"}, "is no API base URL"),
            ({"host": "https://apns.example.com?x=1"}, "is no API base URL"),
            ({"host": "https://apns.example.com/#x"}, "is no API base URL"),
            ({"host": "not a host"}, "is no API base URL"),
            ({"host": "apns.example.com", "schema": "ftp"}, "is no API base URL"),
            ({"host": "https://[::1", "port": 80}, "is no API base URL"),
            ({"host": "https://", "port": 80}, "is no API base URL"),
            ({"extra": {"trusted_hosts": 7}}, "trusted_hosts of connection 'my_conn' must be a list"),
            ({"extra": {"trusted_hosts": ["a", 7]}}, "trusted_hosts of connection 'my_conn' must be a list"),
            ({"extra": {"trusted_hosts": "https://a.example.com"}}, "trusted_hosts of connection 'my_conn' must be"),
            ({"extra": {"trusted_hosts": ["a.example.com/"]}}, "trusted_hosts of connection 'my_conn' must be a list"),
            ({"extra": {"trusted_hosts": ["*.example.com"]}}, "trusted_hosts of connection 'my_conn' must be a list"),
            ({"extra": {"trusted_hosts": {"a": 1}}}, "trusted_hosts of connection 'my_conn' must be a list"),
        ],
    )
    def test_the_error_names_the_field(self, changes: dict[str, Any], told: str) -> None:
        with pytest.raises(ApnsConnectionError, match=told) as raised:
            account(**changes)
        assert "tökén" not in str(raised.value)

    @given(st.text(max_size=30) | urls, st.none() | st.integers(), st.none() | st.text(max_size=8))
    def test_any_host_is_read_or_a_clear_error(self, host: str, port: int | None, schema: str | None) -> None:
        try:
            origin = Origin.of(account(host=host, port=port, schema=schema).api_url)
        except ApnsConnectionError:
            return
        assert origin is not None
        assert origin.is_private_enough

    def test_the_token_is_stripped(self) -> None:
        assert account(password=f"\n {TOKEN}\t").token == TOKEN

    def test_app_id(self) -> None:
        assert account().resolve_app_id(None) == "com.example.app"
        assert account().resolve_app_id("com.example.other") == "com.example.other"
        with pytest.raises(ApnsConnectionError, match=r"Connection 'my_conn' has no App bundle ID.*app_id"):
            account(extra={}).resolve_app_id(None)


class TestRequests:
    def test_the_post(self) -> None:
        request = request_export(account(), export_request(Dataset.CHANNEL, CHANNEL_ID), "com.example.app")
        assert request.method == "POST"
        assert request.url == (
            f"{APPLE_API_URL}/v1/dataExports/apns/teams/A1B2C3D4E5/appId/com.example.app"
            "/datasetName/broadcastchannelmetrics/request"
        )
        assert request.headers[TOKEN_HEADER] == TOKEN
        assert request.headers["Content-Type"] == "application/json"
        assert json.loads(request.body or b"")["channelId"] == CHANNEL_ID

    @given(
        st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1),
        st.text(alphabet="/.%?#@\\ü:", min_size=1),
    )
    def test_no_app_id_leads_elsewhere(self, app_id: str, team_id: str) -> None:
        request = request_export(dataclasses.replace(account(), team_id=team_id), export_request(), app_id)
        parsed = URL(request.url, encoded=True)
        assert parsed.raw_host == "api.icloud.apple.com"
        assert len(parsed.raw_path.split("/")) == 11
        assert not parsed.raw_query_string

    def test_the_download_carries_no_token(self) -> None:
        request = request_download(Secret(SIGNED_URL), "report")
        assert request.url == SIGNED_URL
        assert TOKEN_HEADER not in request.headers
        assert request.headers["Accept-Encoding"] == "gzip"

    @pytest.mark.parametrize(
        "url",
        [
            "http://store.example.com/data.csv?Signature=s3cret",
            "file:///etc/passwd?s3cret",
            "ftp://a/?s3cret",
            "//a?s3cret",
            "http://[::1?s3cret",
            "https://user:s3cret@a/",
        ],
    )
    def test_a_download_is_https_and_its_url_a_secret(self, url: str) -> None:
        with pytest.raises(ApnsUntrustedUrlError, match="is not an https URL") as raised:
            request_download(Secret(url), "report")
        assert "s3cret" not in traceback_with_locals(raised.value)

    def test_nothing_shows_a_secret(self) -> None:
        export = read_export_status(
            answer(body={"status": "SUCCESS", "downloadDetails": {"dataUrl": SIGNED_URL}}), account(), STATUS_URL
        )
        shown = [
            account(),
            request_status(account(), STATUS_URL),
            request_download(Secret(SIGNED_URL), "report"),
            export,
        ]
        assert "s3cret" not in repr(shown) + str(shown)
        assert TOKEN not in repr(shown) + str(shown)
        assert "s3cret" not in repr(answer(headers={"Location": SIGNED_URL}, body=SIGNED_URL.encode()))

    def test_the_server_may_be_shown(self) -> None:
        assert request_download(Secret(SIGNED_URL), "report").server == "https://store.example.com:443"


class TestRequested:
    """The answer to a request for an export."""

    def read(self, got: HttpAnswer, request: ExportRequest | None = None, **changes: Any) -> Export:
        return read_export_requested(got, account(**changes), request or export_request(), "com.example.app")

    def test_accepted(self) -> None:
        export = self.read(answer(body={"statusUrl": STATUS_URL, "requestedAt": "2024-11-11 18:01:00Z"}))
        assert export == Export(STATUS_URL, "PROCESSING", datetime(2024, 11, 11, 18, 1, tzinfo=timezone.utc))
        assert not export.is_ready

    def test_a_foreign_status_url_is_not_taken(self) -> None:
        with pytest.raises(ApnsUntrustedUrlError):
            self.read(answer(body={"statusUrl": "https://evil.com/"}))

    @pytest.mark.parametrize("body", [{}, {"statusUrl": None}, {"statusUrl": ""}, {"statusUrl": 7}])
    def test_no_status_url(self, body: object) -> None:
        with pytest.raises(ApnsServiceError, match="has no statusUrl"):
            self.read(answer(body=body))

    def test_an_unknown_channel(self) -> None:
        with pytest.raises(ApnsNotFoundError, match=r"knows no channel .* of app com.example.app .*environment"):
            self.read(answer(404), export_request(Dataset.CHANNEL, CHANNEL_ID))

    def test_404_without_a_channel(self) -> None:
        with pytest.raises(ApnsNotFoundError, match="Check the Team ID and the app's bundle identifier"):
            self.read(answer(404))

    def test_badly_formed_with_apples_reason(self) -> None:
        with pytest.raises(ApnsRefusedError, match=r"badly formed .400.: 'supported date range is x to y'"):
            self.read(answer(400, {"reason": "supported date range is x to y"}))

    def test_a_refused_token(self) -> None:
        with pytest.raises(ApnsTokenError, match=r"connection 'my_conn'.*401.*CloudKit Console"):
            self.read(answer(401))

    def test_a_token_for_another_dataset(self) -> None:
        claims = json.dumps({"scope": ["POST /v1/appId/com.example.app/datasetName/deliverymetrics/request"]}).encode()
        token = f"aaaaaaaa.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.bbbbbbbb"
        with pytest.raises(ApnsTokenError, match="It is for dataset deliverymetrics, not broadcastapplicationmetric"):
            self.read(answer(401), password=token)

    @pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
    def test_what_time_can_mend(self, status: int) -> None:
        with pytest.raises(ApnsServiceError, match=str(status)) as raised:
            self.read(answer(status, headers={"RETRY-AFTER": "7"}))
        assert raised.value.retry_after == 7
        assert raised.value.slow_down is (status in (429, 503))

    @pytest.mark.parametrize("status", [300, 301, 302, 307, 308, 304])
    def test_a_redirect_is_not_followed(self, status: int) -> None:
        with pytest.raises(ApnsServiceError, match="the token was not sent on"):
            self.read(answer(status, headers={"Location": "https://evil.com/"}))

    @pytest.mark.parametrize("status", [402, 403, 405, 410, 451])
    def test_other_refusals_are_final(self, status: int) -> None:
        with pytest.raises(ApnsRefusedError, match=str(status)):
            self.read(answer(status))


class TestStatus:
    """The answer to a request for the status."""

    def read(self, body: object, status: int = 200) -> Export:
        return read_export_status(answer(status, body), account(), STATUS_URL)

    @pytest.mark.parametrize("key", ["dataUrl", "dataURL"])
    def test_ready(self, key: str) -> None:
        export = self.read(
            {
                "status": "SUCCESS",
                "requestedAt": "2024-02-14T18:32:30.947Z",
                "downloadDetails": {key: SIGNED_URL, "expiresAt": "2024-02-14T18:53:14.762922Z"},
            }
        )
        assert export.is_ready
        assert export.check() is export
        assert export.data_url == SIGNED_URL
        assert export.requested_at == datetime(2024, 2, 14, 18, 32, 30, 947_000, tzinfo=timezone.utc)
        assert export.expires_at == datetime(2024, 2, 14, 18, 53, 14, 762_922, tzinfo=timezone.utc)

    @pytest.mark.parametrize("status", ["PROCESSING", "processing", "ARCHIVED", "QUEUED"])
    def test_wait_on(self, status: str) -> None:
        export = self.read({"status": status})
        assert not export.is_ready
        assert export.check() is export

    @pytest.mark.parametrize(
        ("status", "told"), [("FAILED", "within 24 hours"), ("EXPIRED", "Request the export again")]
    )
    def test_ended(self, status: str, told: str) -> None:
        with pytest.raises(ApnsExportFailedError, match=told) as raised:
            self.read({"status": status}).check()
        assert STATUS_URL in str(raised.value)

    @pytest.mark.parametrize("details", [None, {}, [], "soon", {"dataUrl": None}, {"dataUrl": 7}, {"dataUrl": ""}])
    def test_ready_but_no_url(self, details: object) -> None:
        with pytest.raises(ApnsServiceError, match="gives no download URL"):
            self.read({"status": "SUCCESS", "downloadDetails": details})

    @pytest.mark.parametrize("body", [{}, {"status": None}, {"status": ""}, {"status": ["SUCCESS"]}])
    def test_no_status(self, body: object) -> None:
        with pytest.raises(ApnsServiceError, match="has no status"):
            self.read(body)

    def test_404_means_the_token_in_one_of_apples_articles(self) -> None:
        with pytest.raises(ApnsTokenError, match=r"404.*'my_conn'"):
            self.read(b"", 404)

    def test_an_odd_status_can_be_shown(self) -> None:
        export = self.read({"status": "odd\n\x1b[31m\ud800" + "x" * 100})
        assert export.status.isprintable()
        assert len(export.status) <= 40


JUNK = [
    b"",
    b"<html><body>Sign in</body></html>",
    b"[]",
    b"null",
    b'"SUCCESS"',
    b"200",
    b"{",
    b'{"status": NaN',
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b"[" * 100_000,
    '{"statusUrl": "x"}'.encode("utf-16")[:-1],
    b"\xff\xfe\x00",
    b"9" * 5000,
]


class TestUndocumentedAnswers:
    @pytest.mark.parametrize("body", JUNK)
    @pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500])
    def test_junk_is_a_short_clear_error(self, status: int, body: bytes) -> None:
        for read in (
            lambda: read_export_requested(answer(status, body), account(), export_request(), "com.example.app"),
            lambda: read_export_status(answer(status, body), account(), STATUS_URL),
        ):
            with pytest.raises(ApnsError) as raised:
                read()
            assert str(raised.value).isprintable()
            assert len(str(raised.value)) < 1000
            if status == 200:
                assert type(raised.value) is ApnsServiceError

    @given(
        st.integers(200, 599),
        st.binary(max_size=200)
        | st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text()
            | st.sampled_from(["SUCCESS", STATUS_URL]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["status", "statusUrl", "requestedAt", "downloadDetails", "dataUrl", "expiresAt", "reason"]
                    ),
                    inner,
                )
            ),
            max_leaves=12,
        ).map(lambda value: json.dumps(value).encode()),
        st.dictionaries(st.sampled_from(["Retry-After", "Date", "Location"]), st.text(max_size=40)),
    )
    def test_any_answer_is_an_export_or_an_error_of_the_family(
        self, status: int, body: bytes, headers: dict[str, str]
    ) -> None:
        got = answer(status, body, headers)
        for read in (
            lambda: read_export_requested(got, account(), export_request(), "com.example.app"),
            lambda: read_export_status(got, account(), STATUS_URL),
            lambda: follow_download(got, request_download(Secret(SIGNED_URL), "report")),
        ):
            try:
                read()
            except ApnsError as error:
                assert str(error).isprintable()  # noqa: PT017
                assert len(str(error)) < 1000  # noqa: PT017

    @pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500])
    @pytest.mark.parametrize(
        "body",
        [
            f"you sent {TOKEN}".encode(),
            json.dumps({"reason": f"bad token {TOKEN}"}).encode(),
            json.dumps([SIGNED_URL]).encode(),
            json.dumps([SIGNED_URL]).replace("/", "\\/").replace("&", "\\u0026").encode(),
            f"<a href='{SIGNED_URL}'>".encode(),
            f"see {SIGNED_URL}, please".encode(),
            b"token aaaaaaaaaa.bbbbbbbbbb.s3cretcccccc",
        ],
    )
    def test_what_the_server_echoes_stays_secret(self, status: int, body: bytes) -> None:
        for read in (
            lambda: read_export_requested(answer(status, body), account(), export_request(), "com.example.app"),
            lambda: read_export_status(answer(status, body), account(), STATUS_URL),
        ):
            with pytest.raises(ApnsError) as raised:
                read()
            assert TOKEN not in str(raised.value)
            assert "s3cret" not in str(raised.value)


class TestDownloadAnswers:
    request = request_download(Secret(SIGNED_URL), "report")

    def test_the_report_follows(self) -> None:
        assert follow_download(answer(200), self.request) is None

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize(
        ("location", "url"),
        [
            ("https://other.example.com/x?sig=1", "https://other.example.com/x?sig=1"),
            ("/x?sig=1", "https://store.example.com/x?sig=1"),
            ("//other.example.com/x", "https://other.example.com/x"),
        ],
    )
    def test_a_redirect_is_followed_without_the_token(self, status: int, location: str, url: str) -> None:
        target = follow_download(answer(status, headers={"location": location}), self.request)
        assert target is not None
        assert target.url == url
        assert TOKEN_HEADER not in target.headers
        assert "sig=1" not in repr(target)

    @pytest.mark.parametrize(
        "location",
        [
            "http://other.example.com/?s3cret",
            "file:///etc/passwd?s3cret",
            "ftp://other/?s3cret",
            "https://u@other/?s3cret",
            "https://[::1?s3cret",
            "https://[s3cret/",
        ],
    )
    def test_a_redirect_to_anything_but_https_is_not_followed(self, location: str) -> None:
        with pytest.raises(ApnsError) as raised:
            follow_download(answer(302, headers={"Location": location}), self.request)
        assert isinstance(raised.value, ApnsUntrustedUrlError)
        assert "s3cret" not in traceback_with_locals(raised.value)

    @pytest.mark.parametrize("status", [201, 204, 206, 302, 304, 400, 401, 403, 404, 410])
    def test_anything_else_may_be_an_expired_url_and_is_tried_again(self, status: int) -> None:
        with pytest.raises(
            ApnsServiceError, match=f"answered with {status} by https://store.example.com:443"
        ) as raised:
            follow_download(answer(status), self.request)
        assert should_retry(raised.value)

    @pytest.mark.parametrize("status", [429, 503])
    def test_the_store_may_ask_to_slow_down(self, status: int) -> None:
        with pytest.raises(ApnsServiceError) as raised:
            follow_download(answer(status, headers={"Retry-After": "2"}), self.request)
        assert (raised.value.retry_after, raised.value.slow_down) == (2, True)


class TestTimestamps:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2024-11-11 18:01:00Z", datetime(2024, 11, 11, 18, 1)),
            ("2024-11-11T18:01:00Z", datetime(2024, 11, 11, 18, 1)),
            ("2024-02-14T18:32:30.947Z", datetime(2024, 2, 14, 18, 32, 30, 947_000)),
            ("2024-02-14T18:53:14.762922Z", datetime(2024, 2, 14, 18, 53, 14, 762_922)),
            ("2024-02-14T18:53:14.762922123Z", datetime(2024, 2, 14, 18, 53, 14, 762_922)),
            ("2024-02-14T18:53:14+00:00", datetime(2024, 2, 14, 18, 53, 14)),
        ],
    )
    def test_both_of_apples_spellings(self, text: str, expected: datetime) -> None:
        assert read_timestamp(text) == expected.replace(tzinfo=timezone.utc)

    @given(st.datetimes(), st.sampled_from(["T", " "]), st.sampled_from(["seconds", "milliseconds", "microseconds"]))
    def test_every_moment_reads_back(self, moment: datetime, separator: str, precision: str) -> None:
        text = moment.isoformat(separator, precision)
        expected = datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
        assert read_timestamp(f"{text}Z") == expected

    @pytest.mark.parametrize(
        "value",
        [
            None,
            7,
            "",
            "soon",
            "2024-13-01T00:00:00Z",
            "2024-01-01T00:00:61Z",
            "2024-01-01T00:00:00+02:00",
            "2024-01-01T00:00:00",
        ],
    )
    def test_anything_else_is_unknown(self, value: object) -> None:
        assert read_timestamp(value) is None

    @given(st.text() | st.from_regex(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?"))
    def test_nothing_is_ever_raised(self, text: str) -> None:
        read_timestamp(text)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("0", 0),
            ("7", 7),
            (" 7 ", 7),
            ("1.5", 1.5),
            ("86400", 86_400),
            (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
            ("Tue, 10 Mar 2026 18:01:30 GMT", 30),
        ],
    )
    def test_seconds_or_a_date(self, value: str, seconds: float) -> None:
        assert read_retry_after(value, NOW) == seconds

    @pytest.mark.parametrize(
        "value",
        [
            None,
            "",
            "-1",
            "1000000000",
            "86401",
            "1e9",
            "soon",
            "inf",
            "NaN",
            "٣",
            "Tue, 10 Mar 2026 18:00:59 GMT",
            "Tue, 10 Mar 2099 18:00:59 GMT",
            "Wed, 31 Feb 2026 00:00:00 GMT",
            "9" * 5000,
        ],
    )
    def test_what_is_not_sensible_says_nothing(self, value: str | None) -> None:
        assert read_retry_after(value, NOW) is None

    @given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d [-+]?[A-Z0-9]{0,6}"))
    @example("Mon, 01 Jan 0001 00:00:00 +2359")
    @example("Fri, 31 Dec 9999 23:59:59 -2359")
    def test_any_text_is_a_sensible_wait_or_none(self, text: str) -> None:
        seconds = read_retry_after(text, NOW)
        assert seconds is None or 0 <= seconds <= 86_400

    def test_a_date_is_by_the_servers_own_clock(self) -> None:
        headers = {"Date": "Thu, 01 Jan 2026 00:00:00 GMT", "Retry-After": "Thu, 01 Jan 2026 00:00:20 GMT"}
        assert busy(answer(503, headers=headers), "export").retry_after == 20


class TestRetries:
    @pytest.mark.parametrize(
        ("error", "retried"),
        [
            (ApnsServiceError("x"), True),
            (ApnsReportError("x"), True),
            (ApnsServiceError("x", retry_after=MAX_RETRY_AFTER), True),
            (ApnsServiceError("x", retry_after=MAX_RETRY_AFTER + 1), False),
            (ApnsTokenError("x"), False),
            (ApnsNotFoundError("x"), False),
            (ValueError("x"), False),
            (KeyboardInterrupt(), False),
            (None, False),
        ],
    )
    def test_what_is_tried_again(self, error: BaseException | None, retried: bool) -> None:
        assert should_retry(error) is retried

    @given(st.floats(0, MAX_RETRY_AFTER), st.integers(1, 50))
    def test_retry_after_is_obeyed(self, asked: float, tries: int) -> None:
        assert asked <= retry_delay(ApnsServiceError("x", retry_after=asked), tries) <= asked + 1

    @given(st.integers(1, 1000))
    def test_backoff_grows_and_is_capped(self, tries: int) -> None:
        expected = min(MAX_BACKOFF, 2.0 ** (tries - 1))
        assert expected * 0.8 <= retry_delay(ApnsServiceError("x"), tries) <= expected * 1.2

    def test_clients_do_not_come_back_in_step(self) -> None:
        for error in (ApnsServiceError("x"), ApnsServiceError("x", retry_after=5)):
            assert len({retry_delay(error, 3) for _ in range(20)}) > 10

    @given(st.integers(0, 100_000), st.floats(0.01, 3600), st.floats(0, 1e7))
    def test_polls_slow_down_to_the_ceiling(self, polls: int, ceiling: float, now: float) -> None:
        longest = min(ceiling, 2 * 1.5 ** min(polls, 50))
        delays = [poll_delay(polls, ceiling, now) for _ in range(500)]
        assert 0.8 * longest <= min(delays) <= max(delays) <= longest
        assert poll_delay(0, 60, now) <= 2 < 0.8 * 60 <= poll_delay(20, 60, now)

    @given(st.integers(0, 20), st.floats(1, 600), st.floats(0, 1e6))
    def test_polls_do_not_come_in_step(self, polls: int, ceiling: float, now: float) -> None:
        due = Counter(round(now + poll_delay(polls, ceiling, now), 6) for _ in range(1000))
        assert max(due.values()) < 150

    @given(st.floats(1, 600))
    def test_polls_that_are_due_at_about_the_same_time_share_a_moment(self, ceiling: float) -> None:
        due = {round(now + poll_delay(9, ceiling, now), 6) for now in (number / 4000 for number in range(1000))}
        assert len(due) < 80

    @pytest.mark.parametrize("status", range(200, 600))
    def test_transient_statuses(self, status: int) -> None:
        assert is_transient(status) is (status in (408, 429) or status >= 500)


class TestNetworkFailure:
    request = request_download(Secret(SIGNED_URL), "report")

    def test_tells_the_root_cause_and_not_the_url(self) -> None:
        try:
            try:
                raise ConnectionRefusedError(111, "Connection refused")
            except OSError as cause:
                raise RuntimeError(f"Max retries exceeded with url: {SIGNED_URL}") from cause
        except RuntimeError as error:
            failure = network_failure(self.request, error)
        assert str(failure) == "No answer from https://store.example.com:443 about the report: Connection refused."
        assert should_retry(failure)

    def test_an_error_that_is_only_an_argument(self) -> None:
        failure = network_failure(self.request, RuntimeError(RuntimeError(TimeoutError(110, "timed out"))))
        assert "timed out" in str(failure)

    def test_a_circle_of_causes_ends(self) -> None:
        first, second = RuntimeError("a"), RuntimeError("b")
        first.__cause__, second.__cause__ = second, first
        assert "RuntimeError" in str(network_failure(self.request, first))

    def test_an_origin_is_shown_for_a_request_that_has_none(self) -> None:
        assert HttpRequest("report", "GET", "nonsense", {}).server == "the server"


def test_claims_stand_in_the_account() -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": 2_000_000_000}).encode()).decode().rstrip("=")
    read = account(password=f"aaaa.{claims}.bbbb")
    assert read.claims == TokenClaims(datetime.fromtimestamp(2_000_000_000, timezone.utc))
