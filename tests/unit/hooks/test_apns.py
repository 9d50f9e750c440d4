from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_apns import shared
from airflow_provider_apns.emulator import Emulator, Fault
from airflow_provider_apns.exceptions import (
    ApnsConnectionError,
    ApnsError,
    ApnsExportFailedError,
    ApnsInvalidRequestError,
    ApnsNotFoundError,
    ApnsRefusedError,
    ApnsReportError,
    ApnsReportTooLargeError,
    ApnsServiceError,
    ApnsStorageError,
    ApnsTokenError,
    ApnsUntrustedUrlError,
)
from airflow_provider_apns.exports import MAX_TRIES, Dataset, Export, ExportRequest, Window
from airflow_provider_apns.hooks import apns
from airflow_provider_apns.hooks.apns import ApnsAsyncHook, ApnsHook
from tests.support.ports import free_ports
from tests.unit.conftest import Connect, StartApple
from tests.unit.helpers import day, traceback_with_locals

WEEK = (day(-7), day(-1))
DATASETS = ["application", "channel", "delivery"]
UNKNOWN = "AAAAAAAAAAAAAAAAAAAAAA=="


def channel_of(apple: Emulator, dataset: str) -> str | None:
    return apple.channel_ids[0] if dataset == "channel" else None


class Sync:
    """The hook for workers, asked as a test asks either of them."""

    async def request(
        self, dataset: str = "application", channel_id: str | None = None, app_id: str | None = None
    ) -> Export:
        return ApnsHook().request_export(dataset, *WEEK, channel_id, app_id)

    async def look(self, status_url: str) -> Export:
        return ApnsHook().get_export(status_url)

    async def download(self, status_url: str, path: Path, dataset: str = "application", **options: Any) -> bytes:
        ApnsHook(**options).download_export(status_url, str(path), dataset=dataset)
        return path.read_bytes()


class Async:
    """The hook for event loops, asked in the same way."""

    async def request(
        self, dataset: str = "application", channel_id: str | None = None, app_id: str | None = None
    ) -> Export:
        request = ExportRequest(Dataset.parse(dataset), Window.parse(*WEEK), channel_id)
        async with ApnsAsyncHook() as hook:
            return await hook.request_export(request, app_id)

    async def look(self, status_url: str) -> Export:
        async with ApnsAsyncHook() as hook:
            return await hook.get_export(status_url)

    async def download(self, status_url: str, path: Path, dataset: str = "application", **options: Any) -> bytes:
        async with ApnsAsyncHook(**options) as hook:
            file = io.BytesIO()
            await hook.download_export(status_url, file, Dataset.parse(dataset))
            return file.getvalue()


Hook = Sync | Async


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def hook(request: pytest.FixtureRequest) -> Hook:
    """Both transports: everything here holds for either."""
    chosen: Callable[[], Hook] = request.param
    return chosen()


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "report.csv"


@pytest.fixture
def quick_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "CONNECT_TIMEOUT", 0.3)
    monkeypatch.setattr(shared, "READ_TIMEOUT", 0.3)


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """All that is logged, at DEBUG: Airflow's own loggers go elsewhere, differently in each version."""
    caplog.set_level(logging.DEBUG)
    for cls in (ApnsHook, ApnsAsyncHook):
        monkeypatch.setattr(cls, "log", logging.getLogger("tests.hooks"))
    for name in ("urllib3", "requests", "aiohttp", "asyncio"):
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    return caplog


class TestTheWayThrough:
    @pytest.mark.parametrize("dataset", DATASETS)
    async def test_request_look_download(self, hook: Hook, apple: Emulator, destination: Path, dataset: str) -> None:
        channel_id = channel_of(apple, dataset)
        requested = await hook.request(dataset, channel_id)
        assert not requested.is_ready
        assert requested.requested_at is not None
        ready = await hook.look(requested.status_url)
        assert ready.is_ready
        assert ready.expires_at is not None
        data = await hook.download(requested.status_url, destination, dataset)
        assert data == apple.csv(dataset, *WEEK, channel_id)
        assert (apple.ledger.posts, apple.ledger.gets, apple.ledger.downloads) == (1, 2, 1)
        assert [record.had_token for record in apple.ledger.records] == [True, True, True, False]

    async def test_the_same_request_again_is_the_same_export(self, hook: Hook, apple: Emulator) -> None:
        assert (await hook.request()).status_url == (await hook.request()).status_url
        assert apple.ledger.exports_created == 1

    async def test_another_app_id_than_the_connections(self, hook: Hook, apple: Emulator) -> None:
        with pytest.raises(ApnsTokenError):
            await hook.request(app_id="com.example.other")
        assert "/appId/com.example.other/" in apple.ledger.records[0].path

    @pytest.mark.parametrize("spelling", ["dataUrl", "dataURL"])
    async def test_both_of_apples_spellings(self, hook: Hook, apple: Emulator, spelling: str) -> None:
        apple.configure(data_url_key=spelling)
        export = await hook.request()
        assert (await hook.look(export.status_url)).data_url

    @pytest.mark.parametrize("trait", ["bom", "crlf", "reordered", "extra", "header-only"])
    async def test_a_csv_as_apple_may_come_to_write_it(
        self, hook: Hook, apple: Emulator, destination: Path, trait: str
    ) -> None:
        apple.configure(csv=trait)
        export = await hook.request()
        assert await hook.download(export.status_url, destination) == apple.csv("application", *WEEK)

    async def test_over_tls_with_the_authority_that_the_environment_names(
        self, hook: Hook, start_apple: StartApple, monkeypatch: pytest.MonkeyPatch, destination: Path
    ) -> None:
        apple = start_apple(tls=True)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(apple.ca_path))
        export = await hook.request()
        assert export.status_url.startswith("https://")
        assert await hook.download(export.status_url, destination)

    async def test_an_unknown_certificate_is_refused(
        self, hook: Hook, start_apple: StartApple, short_waits: list[float]
    ) -> None:
        apple = start_apple(tls=True)
        with pytest.raises(ApnsServiceError, match=r"certificate|self-signed"):
            await hook.request()
        assert apple.ledger.posts == 0

    def test_download_tells_what_was_written(self, apple: Emulator, destination: Path) -> None:
        hook = ApnsHook()
        export = hook.request_export("application", *WEEK)
        download = hook.download_export(export.status_url, str(destination))
        data = apple.csv("application", *WEEK)
        assert (download.path, download.size) == (str(destination), len(data))
        assert download.sha256 == hashlib.sha256(data).hexdigest()

    def test_what_must_not_be_overwritten_stays_and_nothing_is_asked(self, apple: Emulator, destination: Path) -> None:
        destination.write_text("old")
        with pytest.raises(ApnsStorageError, match="exists already"):
            ApnsHook().download_export(f"{apple.url}/v1/x", str(destination), overwrite=False)
        assert destination.read_text() == "old"
        assert apple.ledger.records == []


# Kinds that a second or third try mends, by endpoint.
CONNECTION = [
    "reset",
    "close",
    "reset-body",
    "cut-length",
    "cut-chunked",
    "garbage",
    "stall:seconds=1",
    "stall-body:seconds=1",
]
STATUSES = ["408", "429", "500", "502", "503", "504", "429:retry_after=0", "503:retry_after=0"]
NO_ANSWER = [
    "html",
    "empty",
    "deep-json",
    "broken-gzip",
    "cut-gzip",
    "shape-list",
    "shape-nulls",
    "redirect",
    "redirect-same",
]
API_ONLY = ["nan", "huge-json:size=3000000", "shape-object", "shape-types"]
TRANSIENT = [
    *(f"{endpoint}:{kind}" for endpoint in ("request", "status", "download") for kind in (*CONNECTION, *STATUSES)),
    *(f"{endpoint}:{kind}" for endpoint in ("request", "status") for kind in (*NO_ANSWER, *API_ONLY)),
    *(
        f"download:{kind}"
        for kind in (
            "html",
            "empty",
            "broken-gzip",
            "cut-gzip",
            "cut-close",
            "utf-16",
            "latin-1",
            "403",
            "404",
            "410",
            "401",
            "400",
            "wrong-columns",
            "wrong-dataset",
            "cut-row",
            "url-expired",
            "redirect-loop",
            "redirect-same",
        )
    ),
    "status:no-details",
    "status:url-expired",
    "status:url-elsewhere",
    "status:unknown-status",
]


def twice(fault: str) -> str:
    endpoint, kind, *options = fault.split(":")
    return f"{endpoint}:{kind}:{','.join([*options, 'times=2'])}"


@pytest.mark.usefixtures("quick_timeouts", "short_waits")
class TestTransientFailures:
    @pytest.mark.parametrize("fault", TRANSIENT)
    async def test_twice_in_a_row_is_mended(self, hook: Hook, apple: Emulator, destination: Path, fault: str) -> None:
        apple.inject(twice(fault))
        export = await hook.request()
        data = await hook.download(export.status_url, destination)
        assert data == apple.csv("application", *WEEK)
        assert apple.ledger.exports_created == 1
        assert len([record for record in apple.ledger.records if record.fault]) == 2

    @pytest.mark.parametrize(
        "fault",
        [
            "request:utf-16",
            "status:utf-16",
            "request:gzip-unlabelled",
            "status:gzip-unasked",
            "download:gzip-unlabelled",
            "download:gzip-unasked",
            "request:bad-timestamp",
            "status:bad-timestamp",
            "status:url-undated",
        ],
    )
    async def test_harmless_oddities(self, hook: Hook, apple: Emulator, destination: Path, fault: str) -> None:
        apple.inject(f"{fault}:times=forever")
        export = await hook.request()
        assert await hook.download(export.status_url, destination) == apple.csv("application", *WEEK)
        assert apple.ledger.gets == apple.ledger.downloads == 1

    @pytest.mark.parametrize(
        "fault",
        [
            "request:500",
            "request:html",
            "status:503",
            "status:empty",
            "download:500",
            "download:cut-gzip",
            "download:wrong-columns",
            "download:redirect-loop",
            "status:unknown-status",
        ],
    )
    async def test_for_ever_ends_after_a_few_tries(
        self, hook: Hook, apple: Emulator, destination: Path, fault: str
    ) -> None:
        destination.write_text("old")
        apple.inject(f"{fault}:times=forever")
        with pytest.raises(ApnsServiceError):
            await hook.download((await hook.request()).status_url, destination)
        endpoint = fault.partition(":")[0]
        tries = [record for record in apple.ledger.records if record.fault and record.endpoint == endpoint]
        assert len(tries) == MAX_TRIES
        assert destination.read_text() == "old"
        assert [path.name for path in destination.parent.iterdir()] == ["report.csv"]

    async def test_failures_of_both_requests_of_a_download_do_not_multiply(
        self, hook: Hook, apple: Emulator, destination: Path
    ) -> None:
        export = await hook.request()
        apple.inject("status:500:times=3", "download:500:times=forever")
        with pytest.raises(ApnsServiceError):
            await hook.download(export.status_url, destination)
        assert apple.ledger.gets == MAX_TRIES

    @pytest.mark.parametrize("value", ["1", "2"])
    async def test_retry_after_is_obeyed(
        self, hook: Hook, apple: Emulator, short_waits: list[float], value: str
    ) -> None:
        apple.inject(f"request:429:retry_after={value}")
        await hook.request()
        assert len(short_waits) == 1
        assert int(value) <= short_waits[0] <= int(value) + 1

    @pytest.mark.parametrize("value", ["-1", "1000000000", "soon"])
    async def test_an_absurd_retry_after_is_not(
        self, hook: Hook, apple: Emulator, short_waits: list[float], value: str
    ) -> None:
        apple.inject(f"request:503:retry_after={value}")
        await hook.request()
        assert short_waits[0] < 2

    async def test_a_long_wait_is_left_to_airflow(self, hook: Hook, apple: Emulator, short_waits: list[float]) -> None:
        apple.inject("request:429:retry_after=3600")
        with pytest.raises(ApnsServiceError, match="429") as raised:
            await hook.request()
        assert raised.value.retry_after == 3600
        assert short_waits == []

    async def test_nobody_listens(self, hook: Hook, apple: Emulator) -> None:
        apple.stop()
        with pytest.raises(
            ApnsServiceError, match=f"No answer from {apple.url} about the export of the application dataset"
        ):
            await hook.request()

    @pytest.mark.usefixtures("quick_timeouts")
    async def test_an_answer_that_takes_too_long(
        self, hook: Hook, apple: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("airflow_provider_apns.hooks.apns.MAX_TRIES", 1)
        apple.inject("request:stall:seconds=1")
        with pytest.raises(ApnsServiceError, match=r"No answer from .*: TimeoutError\.$"):
            await hook.request()

    async def test_what_the_caller_was_handling_is_not_the_reason(self, hook: Hook, apple: Emulator) -> None:
        apple.stop()
        try:
            raise LookupError
        except LookupError:
            with pytest.raises(ApnsServiceError, match="No answer from") as raised:
                await hook.request()
        assert "LookupError" not in str(raised.value)

    async def test_a_host_that_is_not_there(self, hook: Hook, apple: Emulator, connect: Connect) -> None:
        connect(apple, host="https://no-such-host.invalid")
        with pytest.raises(ApnsServiceError, match=r"No answer from https://no-such-host.invalid:443"):
            await hook.request()

    async def test_a_download_url_that_expires_while_it_is_used(
        self, hook: Hook, apple: Emulator, destination: Path
    ) -> None:
        apple.inject("status:url-expiring:seconds=0")
        export = await hook.request()
        assert await hook.download(export.status_url, destination)
        assert [apple.ledger.count("download", status) for status in (403, 200)] == [1, 1]
        assert apple.ledger.gets == 2


@pytest.mark.usefixtures("short_waits")
class TestLastingFailures:
    @pytest.mark.parametrize(
        ("fault", "cls"),
        [
            ("request:400", ApnsRefusedError),
            ("request:401", ApnsTokenError),
            ("request:403", ApnsRefusedError),
            ("request:404", ApnsNotFoundError),
            ("status:400", ApnsRefusedError),
            ("status:401", ApnsTokenError),
            ("status:403", ApnsRefusedError),
            ("status:404", ApnsTokenError),
            ("request:bad-url", ApnsUntrustedUrlError),
            ("status:bad-url", ApnsUntrustedUrlError),
            ("status:failed", ApnsExportFailedError),
            ("download:bomb", ApnsReportTooLargeError),
            ("status:url-elsewhere:location=http://store.example.com/?s3cret", ApnsUntrustedUrlError),
            ("status:url-elsewhere:location=file:///etc/passwd?s3cret", ApnsUntrustedUrlError),
            ("download:redirect:location=http://store.example.com/?s3cret", ApnsUntrustedUrlError),
        ],
    )
    async def test_fails_at_once_with_the_class_that_fits(
        self, hook: Hook, apple: Emulator, destination: Path, fault: str, cls: type[ApnsError]
    ) -> None:
        destination.write_text("old")
        name, _, options = fault.partition(":location")
        apple.inject(f"{name}:times=forever" + (f",location{options}" if options else ""))
        with pytest.raises(cls) as raised:
            await hook.download((await hook.request()).status_url, destination, max_bytes=100_000)
        assert type(raised.value) is cls
        assert len([record for record in apple.ledger.records if record.fault]) == 1
        assert destination.read_text() == "old"
        assert [path.name for path in destination.parent.iterdir()] == ["report.csv"]
        assert "s3cret" not in traceback_with_locals(raised.value)

    async def test_an_unknown_channel_is_named(self, hook: Hook, apple: Emulator) -> None:
        with pytest.raises(ApnsNotFoundError, match=f"{UNKNOWN} of app {apple.app_id}"):
            await hook.request("channel", UNKNOWN)

    @pytest.mark.parametrize(("fate", "word"), [("fail", "FAILED"), ("expire", "EXPIRED")])
    async def test_an_export_that_ended_without_a_report(
        self, hook: Hook, apple: Emulator, destination: Path, fate: str, word: str
    ) -> None:
        apple.configure(**{fate: 1.0})
        export = await hook.request()
        assert (await hook.look(export.status_url)).status == word
        with pytest.raises(ApnsExportFailedError, match=word):
            await hook.download(export.status_url, destination)
        assert apple.ledger.downloads == 0

    async def test_the_report_of_another_dataset(self, hook: Hook, apple: Emulator, destination: Path) -> None:
        export = await hook.request("delivery")
        with pytest.raises(ApnsReportError, match="is not the CSV of the application dataset"):
            await hook.download(export.status_url, destination)

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (("news", *WEEK), "Unknown dataset 'news'"),
            (("application", day(-1), day(-7)), "is before start_date"),
            (("application", day(-1), day(-1)), "Apple exports no single day"),
            (("application", day(-7), day(0)), "is not over yet"),
            (("application", day(-31), day(-1)), "more than 30 days ago"),
            (("application", "soon", day(-1)), "start_date must be a day"),
            (("channel", *WEEK), "channel_id is missing"),
            (("channel", *WEEK, "news!"), "is not base64"),
            (("delivery", *WEEK, UNKNOWN), "channel dataset only"),
            (("application", *WEEK, None, None, 5), "from 20 to 60"),
        ],
    )
    def test_bad_arguments_reach_no_server(self, apple: Emulator, arguments: tuple[Any, ...], told: str) -> None:
        with pytest.raises(ApnsInvalidRequestError, match=told):
            ApnsHook().request_export(*arguments)
        assert apple.ledger.connections == 0

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"login": ""}, "has no Team ID"),
            ({"password": ""}, "has no data export token"),
            ({"extra": {}}, "has no App bundle ID"),
            ({"host": "http://apns.example.com"}, "plain http"),
            ({"password": "a tok\nen"}, "copy it again"),
        ],
    )
    async def test_an_incomplete_connection_reaches_no_server(
        self, hook: Hook, apple: Emulator, connect: Connect, changes: dict[str, Any], told: str
    ) -> None:
        connect(apple, **changes)
        with pytest.raises(ApnsConnectionError, match=told) as raised:
            await hook.request()
        assert apple.ledger.connections == 0
        assert "a tok" not in traceback_with_locals(raised.value)


class TestTheTokensWay:
    @pytest.mark.parametrize("endpoint", ["request", "status"])
    @pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
    async def test_the_api_redirects_and_is_not_followed(
        self, hook: Hook, apple: Emulator, short_waits: list[float], endpoint: str, code: int
    ) -> None:
        export = await hook.request()
        apple.inject(f"{endpoint}:redirect:times=forever,code={code}")
        with pytest.raises(ApnsServiceError, match="the token was not sent on"):
            await (hook.request() if endpoint == "request" else hook.look(export.status_url))
        assert apple.ledger.count("trap") == 0

    @pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
    async def test_the_store_redirects_and_is_followed_without_it(
        self, hook: Hook, apple: Emulator, destination: Path, code: int
    ) -> None:
        first, second = await hook.request(), await hook.request("delivery")
        target = (await hook.look(second.status_url)).data_url
        assert target is not None
        apple.inject(Fault("download", "redirect", code=code, location=str(target)))
        data = await hook.download(first.status_url, destination, "delivery")
        assert data == apple.csv("delivery", *WEEK)

    async def test_a_foreign_status_url_gets_no_request(
        self, hook: Hook, apple: Emulator, start_apple: StartApple, connect: Connect
    ) -> None:
        other = start_apple()
        connect(apple)
        for url in (
            f"{other.url}/v1/x",
            apple.url.replace("127.0.0.1", "localhost") + "/v1/x",
            "https://evil.com/",
            "file:///etc/passwd",
        ):
            with pytest.raises(ApnsUntrustedUrlError):
                await hook.look(url)
        assert apple.ledger.connections == other.ledger.connections == 0

    async def test_a_status_url_on_a_host_that_the_connection_names(
        self, hook: Hook, start_apple: StartApple, connect: Connect
    ) -> None:
        apple = start_apple(status_host="localhost")
        with pytest.raises(ApnsUntrustedUrlError, match='"trusted_hosts": \\["localhost"\\]'):
            await hook.request()
        connect(apple, extra={"app_id": apple.app_id, "trusted_hosts": "localhost"})
        export = await hook.request()
        assert (await hook.look(export.status_url)).is_ready

    async def test_a_netrc_adds_nothing(
        self, hook: Hook, apple: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, destination: Path
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login someone password something\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        sent: list[dict[str, str]] = []
        original = apple._service._note  # what the server saw, headers included

        def note(request: Any, *args: Any, **kwargs: Any) -> None:
            sent.append(dict(request.headers))
            original(request, *args, **kwargs)

        monkeypatch.setattr(apple._service, "_note", note)
        await hook.download((await hook.request()).status_url, destination)
        assert len(sent) == 3
        assert not any(name.lower() == "authorization" for headers in sent for name in headers)

    async def test_a_replaced_token_is_picked_up(self, apple: Emulator, connect: Connect) -> None:
        hook = ApnsHook()
        export = hook.request_export("application", *WEEK)
        async with ApnsAsyncHook() as async_hook:
            await async_hook.get_export(export.status_url)
            apple.rotate_token("the-new-token")
            connect(apple)
            assert hook.get_export(export.status_url).is_ready
            assert (await async_hook.get_export(export.status_url)).is_ready
        assert apple.ledger.count("status", 401) == 2

    @pytest.mark.parametrize("dataset", ["application", "delivery"])
    async def test_a_token_that_was_not_replaced_is_tried_once(self, hook: Hook, apple: Emulator, dataset: str) -> None:
        export = await hook.request(dataset)
        apple.rotate_token("the-new-token")
        with pytest.raises(ApnsTokenError, match="apns_default"):
            await hook.look(export.status_url)
        assert apple.ledger.gets == 1

    async def test_an_expired_token_reaches_no_server(self, hook: Hook, start_apple: StartApple) -> None:
        apple = start_apple(jwt=True, token_expires_in_days=-1)
        with pytest.raises(ApnsTokenError, match=r"expired on \d{4}-\d\d-\d\d.*CloudKit Console"):
            await hook.request()
        assert apple.ledger.connections == 0

    @pytest.mark.parametrize(("days", "warned"), [(13.5, True), (15, False)])
    async def test_is_warned_about_from_14_days_ahead(
        self, hook: Hook, start_apple: StartApple, logs: pytest.LogCaptureFixture, days: float, warned: bool
    ) -> None:
        start_apple(jwt=True, token_expires_in_days=days)
        await hook.request()
        assert ("in 13 days. Make a new data export token" in logs.text) is warned

    async def test_a_token_for_another_dataset_is_told(self, hook: Hook, start_apple: StartApple) -> None:
        start_apple(jwt=True, datasets="delivery")
        with pytest.raises(ApnsTokenError, match="It is for dataset deliverymetrics, not broadcastapplicationmetric"):
            await hook.request()

    @pytest.mark.parametrize(
        "fault",
        [
            None,
            "download:cut-gzip",
            "download:reset",
            "download:wrong-columns",
            "download:redirect-loop",
            "download:garbage",
            "status:empty",
            "download:500",
            "download:stall-body:seconds=1",
        ],
    )
    async def test_neither_token_nor_signed_url_is_in_the_debug_log_or_a_traceback(
        self,
        hook: Hook,
        start_apple: StartApple,
        destination: Path,
        logs: pytest.LogCaptureFixture,
        short_waits: list[float],
        quick_timeouts: None,
        fault: str | None,
    ) -> None:
        apple = start_apple(jwt=True)
        export = await hook.request()
        if fault:
            apple.inject(f"{fault}{',' if fault.count(':') > 1 else ':'}times=forever")
        shown = ""
        try:
            await hook.download(export.status_url, destination)
        except ApnsError as error:
            assert fault
            shown = traceback_with_locals(error)
        signature = "Signature="
        formatted = "\n".join(map(logging.Formatter().format, logs.records))
        assert signature not in formatted + shown
        assert apple.token not in formatted + shown
        if isinstance(hook, Sync):
            assert "urllib3.connectionpool" in {record.name for record in logs.records}


class TestTestConnection:
    def test_it_works(self, apple: Emulator) -> None:
        works, text = ApnsHook().test_connection()
        assert works
        assert text == f"Apple accepts the token of team {apple.team_id} for the application dataset of {apple.app_id}."

    @pytest.mark.parametrize("dataset", DATASETS)
    @pytest.mark.parametrize("jwt", [True, False])
    def test_tells_the_tokens_dataset(self, start_apple: StartApple, dataset: str, jwt: bool) -> None:
        start_apple(datasets=dataset, jwt=jwt, token="" if jwt else "an-opaque-token")
        works, text = ApnsHook().test_connection()
        assert works, text
        assert f"for the {dataset} dataset" in text
        until = (datetime.now(timezone.utc) + timedelta(days=180)).date()
        assert (f"It expires on {until}." in text) is jwt

    def test_a_wrong_token(self, apple: Emulator, connect: Connect) -> None:
        connect(apple, password="wrong-token")
        works, text = ApnsHook().test_connection()
        assert not works
        assert "does not accept the data export token of connection 'apns_default'" in text
        assert "CloudKit Console" in text
        assert "wrong-token" not in text

    @pytest.mark.parametrize(
        ("changes", "told"),
        [
            ({"login": ""}, "no Team ID: put your Apple Developer Team ID into its login field"),
            ({"password": ""}, "no data export token"),
            ({"extra": {}}, "no App bundle ID"),
            ({"login": "ANOTHER"}, "401"),
        ],
    )
    def test_what_is_missing_or_wrong(
        self, apple: Emulator, connect: Connect, changes: dict[str, Any], told: str
    ) -> None:
        connect(apple, **changes)
        works, text = ApnsHook().test_connection()
        assert not works
        assert told in text

    @pytest.mark.usefixtures("short_waits")
    def test_an_unreachable_host(self, apple: Emulator, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
        (port,) = free_ports(1)
        connect(apple, host=f"http://127.0.0.1:{port}")
        works, text = ApnsHook().test_connection()
        assert not works
        assert f"No answer from http://127.0.0.1:{port}" in text
        assert "refused" in text
        assert "Trying again" not in caplog.text

    def test_an_expired_token(self, start_apple: StartApple) -> None:
        start_apple(jwt=True, token_expires_in_days=-1)
        works, text = ApnsHook().test_connection()
        assert not works
        assert "expired on" in text

    @pytest.mark.usefixtures("short_waits")
    def test_a_service_that_is_down_is_not_waited_for(self, apple: Emulator, caplog: pytest.LogCaptureFixture) -> None:
        apple.inject("request:503:times=forever")
        works, text = ApnsHook().test_connection()
        assert not works
        assert "503" in text
        assert apple.ledger.posts == 1

    def test_no_such_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AIRFLOW_CONN_APNS_DEFAULT", raising=False)
        hook = ApnsHook()
        monkeypatch.setattr(hook, "get_connection", lambda conn_id: (_ for _ in ()).throw(LookupError("not defined")))
        assert hook.test_connection() == (False, "LookupError: not defined")


class TestTheTransports:
    def test_the_session_knows_no_token(self, apple: Emulator) -> None:
        hook = ApnsHook()
        hook.request_export("application", *WEEK)
        assert apple.token not in json.dumps(dict(hook.get_conn().headers))
        assert hook.get_conn() is hook.get_conn()

    async def test_hooks_of_one_event_loop_share_their_connections(self, apple: Emulator) -> None:
        async with ApnsAsyncHook() as first:
            export = await first.request_export(ExportRequest(Dataset.DELIVERY, Window.parse(*WEEK)))
            for _ in range(5):
                async with ApnsAsyncHook() as other:
                    await other.get_export(export.status_url)
        assert apple.ledger.connections == 1

    def test_one_hook_keeps_its_connection(self, apple: Emulator) -> None:
        hook = ApnsHook()
        for _ in range(3):
            hook.request_export("application", *WEEK)
        assert apple.ledger.connections == 1

    async def test_a_429_slows_the_whole_hook_whose_requests_then_do_not_come_in_step(self, apple: Emulator) -> None:
        apple.inject("request:429:retry_after=1")
        requests = [ExportRequest(Dataset.CHANNEL, Window.parse(*WEEK), channel) for channel in apple.channel_ids]
        async with ApnsAsyncHook() as hook:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(apns, "retry_delay", lambda error, tries: 2.0)
                import asyncio

                first = asyncio.ensure_future(hook.request_export(requests[0]))
                while apple.ledger.posts < 1:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.05)
                await asyncio.gather(first, *map(hook.request_export, requests[1:]))
        times = [record.time for record in apple.ledger.records]
        assert len(times) == len(requests) + 1
        assert times[1] - times[0] >= 1.9
        assert times[-1] - times[1] >= 0.1

    @pytest.mark.parametrize(
        ("server", "proxy"),
        [
            ("https://api.icloud.apple.com:443", "http://proxy.example.com:3128"),
            ("https://internal.example.com:443", None),
            ("http://127.0.0.1:8585", None),
            ("http://localhost:8585", None),
            ("http://[::1]:8585", None),
        ],
    )
    def test_the_environments_proxy_is_used_but_not_for_this_machine(
        self, monkeypatch: pytest.MonkeyPatch, server: str, proxy: str | None
    ) -> None:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, "http://proxy.example.com:3128")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "internal.example.com")
        apns.proxy_for.cache_clear()
        try:
            assert apns.proxy_for(server) == proxy
        finally:
            apns.proxy_for.cache_clear()
