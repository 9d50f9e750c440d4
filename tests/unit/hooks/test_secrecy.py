"""Where the token and signed URLs go, and where they never do."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import traceback
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_apns.emulator import Emulator, Fault
from airflow_provider_apns.exceptions import ApnsError, ApnsServiceError, ApnsUntrustedUrlError
from airflow_provider_apns.protocol.exchanges import TOKEN_HEADER
from tests.unit.batches.alarm import Alarm, alarm
from tests.unit.conftest import Connect, StartApple
from tests.unit.helpers import traceback_with_locals
from tests.unit.hooks.conftest import WEEK, Sync, Transport
from tests.unit.hooks.raw_server import RawServer, answer
from tests.unit.hooks.test_transports import injected

REDIRECTS = [301, 302, 303, 307, 308]


class TestTheTokensWay:
    @pytest.mark.parametrize("code", REDIRECTS)
    @pytest.mark.usefixtures("short_waits")
    async def test_the_api_redirects_and_is_not_followed(self, hook: Transport, apple: Emulator, code: int) -> None:
        export = await hook.request()
        apple.inject(*(f"{endpoint}:redirect:times=forever,code={code}" for endpoint in ("request", "status")))
        for asking in (hook.request(), hook.look(export.status_url)):
            with pytest.raises(ApnsServiceError, match="the token was not sent on"):
                await asking
        assert apple.ledger.count("trap") == 0

    @pytest.mark.parametrize("code", REDIRECTS)
    async def test_the_store_redirects_and_is_followed_without_it(
        self, hook: Transport, apple: Emulator, code: int
    ) -> None:
        first, second = await hook.request(), await hook.request("delivery")
        target = (await hook.look(second.status_url)).data_url
        assert target is not None
        apple.inject(Fault("download", "redirect", code=code, location=str(target)))
        assert await hook.download(first.status_url, "delivery") == apple.csv("delivery", *WEEK)

    async def test_a_foreign_status_url_gets_no_request(
        self, hook: Transport, apple: Emulator, start_apple: StartApple, connect: Connect
    ) -> None:
        other = start_apple()
        connect(apple)
        for url in (f"{other.url}/v1/x", apple.url.replace("127.0.0.1", "localhost") + "/v1/x", "https://evil.com/"):
            with pytest.raises(ApnsUntrustedUrlError):
                await hook.look(url)
        assert apple.ledger.connections == other.ledger.connections == 0

    async def test_nothing_is_sent_but_what_the_request_has(
        self, hook: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password something\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        with RawServer() as server:
            monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", server.connection())
            document = {"status": "SUCCESS", "downloadDetails": {"dataUrl": f"{server.url}/data?signed"}}
            status = answer(200, json.dumps(document).encode(), b"Set-Cookie: session=1; Path=/")
            report = answer(200, b"Push Type,Status,Date (UTC),Count\n")
            server.answer_to = lambda target: status if target == "/status" else report
            for _ in range(2):
                await hook.download(f"{server.url}/status", "delivery")
        sent = [set(re.findall(r"^([\w-]+):", request, re.MULTILINE)) for request in server.requests]
        common = {"Host", "Accept-Encoding", "User-Agent"}
        assert [names - {"Accept", "Connection"} for names in sent] == [common | {TOKEN_HEADER}, common] * 2


FAULTS = [
    *("cut-gzip", "reset", "wrong-columns", "redirect-loop", "garbage", "500", "403", "stall-body:seconds=1"),
    *("redirect:location=https://[::1/?Signature=", "redirect:location=http://store.example.com/?Signature="),
]


class TestLogsAndTracebacks:
    """With all that the libraries log at DEBUG, and with all local variables, neither has the token or a signed URL."""

    @pytest.fixture
    def apple(self, start_apple: StartApple) -> Emulator:
        return start_apple(jwt=True)

    @pytest.fixture(autouse=True)
    def nothing_is_told(self, apple: Emulator, logs: pytest.LogCaptureFixture) -> Iterator[None]:
        yield
        self.check(apple, "\n".join(map(logging.Formatter().format, logs.records)))

    def check(self, apple: Emulator, shown: str) -> None:
        assert apple.token not in shown
        assert "Signature=" not in shown

    async def test_of_a_success(self, hook: Transport, apple: Emulator, logs: pytest.LogCaptureFixture) -> None:
        asyncio.get_running_loop().set_debug(True)
        assert await hook.download((await hook.request()).status_url)
        heard = {record.name for record in logs.records}
        assert ("urllib3.connectionpool" if isinstance(hook, Sync) else "asyncio") in heard

    @pytest.mark.parametrize("fault", [*(f"download:{fault}" for fault in FAULTS), "status:empty", "request:401"])
    @pytest.mark.usefixtures("short_waits", "quick_timeouts")
    async def test_of_a_failure(self, hook: Transport, apple: Emulator, fault: str) -> None:
        apple.inject(injected(fault, "forever"))
        with pytest.raises(ApnsError) as raised:
            await hook.download((await hook.request()).status_url)
        self.check(apple, traceback_with_locals(raised.value))

    @pytest.mark.parametrize("fault", ["status:stall", "download:stall", "download:stall-body"])
    async def test_of_an_interruption(self, hook: Transport, apple: Emulator, fault: str) -> None:
        export = await hook.request()
        assert await hook.download(export.status_url)  # which loads what takes its time
        apple.inject(f"{fault}:seconds=5")
        self.check(apple, await interrupted(hook, hook.download(export.status_url)))

    async def test_of_an_interruption_before_it_is_connected(
        self, hook: Transport, apple: Emulator, connect: Connect
    ) -> None:
        await hook.request()
        with ExitStack() as stack:
            crowded = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            for each in [stack.enter_context(socket.socket()) for _ in range(4)]:
                each.setblocking(False)
                each.connect_ex(crowded.getsockname())
            connect(apple, host=f"http://127.0.0.1:{crowded.getsockname()[1]}")
            self.check(apple, await interrupted(hook, hook.request()))


async def interrupted(hook: Transport, asking: Coroutine[Any, Any, Any]) -> str:
    """What is shown when something is ended from outside: in a worker by an alarm."""
    if isinstance(hook, Sync):
        with pytest.raises(Alarm) as raised, alarm(0.5):
            await asking
    else:
        task = asyncio.ensure_future(asking)
        asyncio.get_running_loop().call_later(0.5, task.cancel)
        with pytest.raises(asyncio.CancelledError) as raised:
            await task
    assert "step_through" in "".join(traceback.format_exception(raised.value))
    return traceback_with_locals(raised.value)
