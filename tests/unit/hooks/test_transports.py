"""What both transports do on the way from a request to a report, and what they make of failures."""

from __future__ import annotations

import pytest

from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import (
    ApnsError,
    ApnsExportFailedError,
    ApnsNotFoundError,
    ApnsRefusedError,
    ApnsReportTooLargeError,
    ApnsServiceError,
    ApnsTokenError,
    ApnsUntrustedUrlError,
)
from airflow_provider_apns.protocol.retries import MAX_TRIES
from tests.unit.conftest import Connect
from tests.unit.helpers import traceback_with_locals
from tests.unit.hooks.conftest import WEEK, Transport


class TestTheWayThrough:
    @pytest.mark.parametrize("dataset", ["application", "channel", "delivery"])
    async def test_request_look_download(self, hook: Transport, apple: Emulator, dataset: str) -> None:
        channel_id = apple.channel_ids[0] if dataset == "channel" else None
        requested = await hook.request(dataset, channel_id)
        assert not requested.is_ready
        assert requested.requested_at is not None
        ready = await hook.look(requested.status_url)
        assert ready.is_ready
        assert ready.expires_at is not None
        assert await hook.download(requested.status_url, dataset) == apple.csv(dataset, *WEEK, channel_id)
        assert (apple.ledger.posts, apple.ledger.gets, apple.ledger.downloads) == (1, 2, 1)
        assert [record.had_token for record in apple.ledger.records] == [True, True, True, False]

    async def test_another_app_id_than_the_connections(self, hook: Transport, apple: Emulator) -> None:
        with pytest.raises(ApnsTokenError):
            await hook.request(app_id="com.example.other")
        assert "/appId/com.example.other/" in apple.ledger.records[0].path


CONNECTION = ["reset", "close", "reset-body", "cut-length", "cut-chunked", "garbage", "stall:seconds=1"]
BUSY = ["408", "429", "500", "503:retry_after=0", "stall-body:seconds=1"]
BROKEN = ["html", "empty", "broken-gzip", "cut-gzip", "redirect-same"]
NO_JSON = ["nan", "deep-json", "huge-json:size=3000000", "shape-object", "shape-types", "shape-list", "shape-nulls"]
NO_REPORT = ["400", "401", "403", "404", "url-expired", "redirect-loop", "cut-close"]
NO_CSV = ["utf-16", "latin-1", "wrong-columns", "wrong-dataset", "cut-row"]
TRANSIENT = {
    "request": CONNECTION + BUSY + BROKEN + NO_JSON,
    "status": CONNECTION + BUSY + BROKEN + NO_JSON + ["no-details", "url-expired", "url-elsewhere", "unknown-status"],
    "download": CONNECTION + BUSY + BROKEN + NO_REPORT + NO_CSV,
}


def injected(fault: str, times: int | str) -> str:
    endpoint, kind, *options = fault.split(":", 2)
    return f"{endpoint}:{kind}:{','.join([f'times={times}', *options])}"


@pytest.mark.usefixtures("quick_timeouts", "short_waits")
class TestTransientFailures:
    @pytest.mark.parametrize("fault", [f"{endpoint}:{kind}" for endpoint, kinds in TRANSIENT.items() for kind in kinds])
    async def test_twice_in_a_row_is_made_good(self, hook: Transport, apple: Emulator, fault: str) -> None:
        apple.inject(injected(fault, 2))
        assert await hook.download((await hook.request()).status_url) == apple.csv("application", *WEEK)
        assert apple.ledger.exports_created == 1
        assert len([record for record in apple.ledger.records if record.fault]) == 2

    @pytest.mark.parametrize(
        "fault",
        ["request:500", "request:html", "status:empty", "status:no-details", "download:503", "download:redirect-loop"],
    )
    async def test_for_ever_ends_after_a_few_tries(self, hook: Transport, apple: Emulator, fault: str) -> None:
        apple.inject(injected(fault, "forever"))
        with pytest.raises(ApnsServiceError):
            await hook.download((await hook.request()).status_url)
        tries = [each for each in apple.ledger.records if each.fault and each.endpoint == fault.partition(":")[0]]
        assert len(tries) == MAX_TRIES

    async def test_those_of_both_requests_of_a_download_do_not_multiply(self, hook: Transport, apple: Emulator) -> None:
        export = await hook.request()
        apple.inject("status:500:times=3", "download:500:times=forever")
        with pytest.raises(ApnsServiceError):
            await hook.download(export.status_url)
        assert apple.ledger.gets == MAX_TRIES

    async def test_retry_after_is_obeyed(self, hook: Transport, apple: Emulator, short_waits: list[float]) -> None:
        apple.inject("request:429:retry_after=5")
        await hook.request()
        (wait,) = short_waits
        assert 5 <= wait <= 6

    async def test_a_long_wait_is_left_to_airflow(
        self, hook: Transport, apple: Emulator, short_waits: list[float]
    ) -> None:
        apple.inject("request:429:retry_after=3600")
        with pytest.raises(ApnsServiceError, match="429") as raised:
            await hook.request()
        assert raised.value.retry_after == 3600
        assert short_waits == []

    @pytest.mark.parametrize(
        ("host", "told"),
        [
            ("http://127.0.0.1:{}", "Connection refused"),
            ("http://localhost:{}", "Connection refused"),  # which may have two addresses
            ("https://no-such-host.invalid", "(?i:.*name.*)"),
        ],
    )
    async def test_nobody_listens(
        self, hook: Transport, apple: Emulator, connect: Connect, host: str, told: str
    ) -> None:
        apple.stop()
        server = host.format(apple.url.rpartition(":")[2])
        connect(apple, host=server)
        try:
            raise LookupError  # what the caller is handling is not the reason
        except LookupError:
            with pytest.raises(
                ApnsServiceError, match=rf"^No answer from {server} to the request for the export of .*: {told}\.$"
            ):
                await hook.request()

    async def test_an_answer_that_takes_too_long(self, hook: Transport, apple: Emulator) -> None:
        apple.inject("request:stall:seconds=1,times=forever")
        with pytest.raises(ApnsServiceError, match=r"No answer from .*: it took too long\.$"):
            await hook.request()

    async def test_a_download_url_that_expires_while_it_is_used(self, hook: Transport, apple: Emulator) -> None:
        apple.inject("status:url-expiring:seconds=0")
        assert await hook.download((await hook.request()).status_url)
        assert [apple.ledger.count("download", status) for status in (403, 200)] == [1, 1]
        assert apple.ledger.gets == 2


@pytest.mark.usefixtures("short_waits")
class TestLastingFailures:
    @pytest.mark.parametrize(
        ("fault", "cls"),
        [
            ("request:400", ApnsRefusedError),
            ("request:404", ApnsNotFoundError),
            ("request:bad-url", ApnsUntrustedUrlError),
            ("status:401", ApnsTokenError),
            ("status:failed", ApnsExportFailedError),
            ("status:url-elsewhere:location=http://store.example.com/?s3cret", ApnsUntrustedUrlError),
            ("download:redirect:location=http://store.example.com/?s3cret", ApnsUntrustedUrlError),
            ("download:bomb", ApnsReportTooLargeError),
        ],
    )
    async def test_ends_at_once_with_the_class_that_fits(
        self, hook: Transport, apple: Emulator, fault: str, cls: type[ApnsError]
    ) -> None:
        apple.inject(injected(fault, "forever"))
        with pytest.raises(cls) as raised:
            await hook.download((await hook.request()).status_url, max_bytes=100_000)
        assert type(raised.value) is cls
        assert len([record for record in apple.ledger.records if record.fault]) == 1
        assert "s3cret" not in traceback_with_locals(raised.value)
