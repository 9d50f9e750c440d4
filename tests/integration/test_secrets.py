"""No token, key or signed URL is found anywhere, whatever happens: in all of Airflow, and in any traceback."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import logging
import signal
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_apns.emulator import Emulator
from tests.support.airflow_live import AirflowDeployment
from tests.support.secrets_search import find_secrets, forms

pytestmark = pytest.mark.integration

DAG_FILE = Path(__file__).parent / "dags" / "secrets.py"

TOKEN = "secret-token+with/odd=characters"
REFUSED_TOKEN = "another-secret+token/that-is-refused"

TODAY = datetime.now(timezone.utc).date()
DAYS = {"first_day": TODAY - timedelta(days=3), "last_day": TODAY - timedelta(days=1)}

CHANNEL_CASES = {
    "good": "",
    "failed": "status:failed:times=forever",
    "stalled": "download:stall:times=forever,seconds=30",
    # How a download can go wrong; the mapped task of that index has to end so.
    "bad-header": "download:bad-header:times=forever",
    "refused": "download:403:times=forever",
    "sign-in page": "download:html:times=forever",
    "cut": "download:cut-length:times=forever",
    "bomb": "download:bomb:times=forever,size=8000000",
    "led astray": "download:redirect:times=forever,location=http://metrics.example.com/trap",
    "status cut": "status:cut-close:times=forever",
    "no status": "status:html:times=forever",
}
MENDED = {"good", "bad-header"}


class ChannelService(Emulator):
    """Keeps the tokens that come to its list of channels."""

    def __init__(self, fault: str, **options: Any) -> None:
        super().__init__(token=TOKEN, channels=3, channels_port=0, **options)
        self.inject(fault)
        self.tokens: set[str] = set()

    def _listed(self, scope: dict[str, Any], headers: dict[str, str], fault: str | None) -> list[str]:
        self.tokens.add(headers["authorization"].removeprefix("bearer "))
        return super()._listed(scope, headers, fault)

    def connection(self, **changes: str) -> dict[str, Any]:
        connection: dict[str, Any] = json.loads(self.connection_json)
        return connection | {"extra": connection["extra"] | changes}

    def secrets(self) -> dict[str, str]:
        """Return the key, each of its lines, and each token with its signature."""
        texts = [self.key.pem, *self.key.pem.splitlines()[1:-1]]
        for token in self.tokens:
            texts += [token, token.rpartition(".")[2]]
        return {f"{self.key.id} {number}": text for number, text in enumerate(texts)}


@pytest.mark.live
class TestAirflow:
    """Success and each failure, mapped and in a batch, deferred and not, with DEBUG logs, on a whole deployment."""

    @pytest.fixture(scope="class")
    @staticmethod
    def apple() -> Iterator[Emulator]:
        with Emulator(token=TOKEN, channels=len(CHANNEL_CASES)) as apple:
            for channel_id, fault in zip(apple.channel_ids, CHANNEL_CASES.values(), strict=True):
                if fault:
                    apple.inject(f"{fault},match={channel_id}")
            yield apple

    @pytest.fixture(scope="class")
    @staticmethod
    def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ChannelService]]:
        """One that lists its channels at the third request, and one that never does, whose key is another."""
        tls = tmp_path_factory.mktemp("tls")
        with (
            ChannelService("channels:503:times=2", tls_dir=tls) as listing,
            ChannelService("channels:503:times=forever", tls_dir=tls, seed=1) as unavailable,
        ):
            yield [listing, unavailable]

    @pytest.fixture(scope="class")
    @staticmethod
    def airflow(
        tmp_path_factory: pytest.TempPathFactory, apple: Emulator, services: list[ChannelService]
    ) -> Iterator[AirflowDeployment]:
        home = tmp_path_factory.mktemp("airflow")
        listing, unavailable = services
        other, broken = unavailable.key.pem, listing.key.pem.splitlines()
        env = {
            "REQUESTS_CA_BUNDLE": str(listing.ca_path),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
            "APNS_TEST_CHANNELS": json.dumps(apple.channel_ids),
            "APNS_TEST_LAKE": f"file://{home.parent / 'lake'}",
        }
        (home / "dags").mkdir()
        (home / "dags" / DAG_FILE.name).write_text(DAG_FILE.read_text())
        with AirflowDeployment(home, env=env) as deployment:
            connection = json.loads(apple.connection_json)
            refused = connection | {"password": REFUSED_TOKEN}
            connections = {
                "apns_default": connection,
                "apns_refused": refused,
                "apns_incomplete": refused | {"login": ""},
                "apns_listing": listing.connection(),
                "apns_unavailable": unavailable.connection(),
                "apns_other_key": listing.connection(key_id=unavailable.key.id, private_key=other),
                "apns_broken_key": listing.connection(private_key="\n".join([*broken[:2], broken[-1]])),
            }
            # Not `connections add`: Airflow's audit log keeps its arguments, and masks the password alone.
            file = home.with_suffix(".json")
            file.write_text(json.dumps(connections))
            deployment.cli("connections", "import", str(file))
            yield deployment

    def test_nothing_is_left_anywhere(
        self, airflow: AirflowDeployment, apple: Emulator, services: list[ChannelService]
    ) -> None:
        run = airflow.trigger("secrets", conf={"today": str(TODAY)})
        assert airflow.wait_for_run(run, timeout=400) == "failed"

        odd = ["good", *list(CHANNEL_CASES)[3:]]
        for task in airflow.metadata.task_instances(run):
            if task.task_id == "download_mapped":
                wanted = "success" if odd[task.map_index] in MENDED else "failed"
            else:
                wanted = "failed" if task.task_id.endswith("_failed") else "success"
            assert (task.task_id, task.map_index, task.state) == (task.task_id, task.map_index, wanted)
        assert apple.ledger.violations == []

        needles = {"token": TOKEN, "refused token": REFUSED_TOKEN, "signed URL": apple.signature_mark}
        for service in services:
            assert len(service.tokens) > 3  # each process has its own signature
            assert service.ledger.violations == []
            needles |= service.secrets()
        airflow.stop()
        assert find_secrets(airflow.home, needles, fernet_key=airflow.fernet_key) == []
        # The search is worth something: what it searched is what was logged.
        logs = [path.read_text() for path in (airflow.home / "logs").rglob("attempt=*.log*")]
        assert any("/datasetName/broadcastapplicationmetric/status/" in log for log in logs)
        assert any("debug" in log.lower() for log in logs)


# -- tracebacks --------------------------------------------------------------------------------------------------------


def with_traceback_module(error: BaseException) -> str:
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format(chain=True))


def with_rich(error: BaseException) -> str:
    from rich.console import Console
    from rich.traceback import Traceback

    text = io.StringIO()
    shown = Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, locals_max_length=None, locals_max_string=None
    )
    Console(file=text, width=20_000).print(shown)
    return text.getvalue()


def with_structlog(error: BaseException) -> str:
    from structlog.tracebacks import ExceptionDictTransformer

    told = ExceptionDictTransformer(show_locals=True, locals_max_string=100_000, locals_max_length=10_000)
    return json.dumps(told((type(error), error, error.__traceback__)))


TRACEBACKS = [with_traceback_module, with_rich, with_structlog]


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it is chained to, shown or not."""
    waiting, seen = [error], set[int]()
    while waiting:
        error = waiting.pop()
        if id(error) not in seen:
            seen.add(id(error))
            yield error
            waiting += [other for other in (error.__cause__, error.__context__) if other]


def assert_shows_nothing(error: BaseException, *needles: str) -> None:
    for linked in chain(error):
        for tell in TRACEBACKS:
            text = tell(linked).encode()
            found = [form for needle in needles for form, data in forms(needle).items() if data in text]
            assert not found, f"{tell.__name__} shows a secret of {type(linked).__name__} in these forms: {found}"


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    from airflow_provider_apns.protocol import retries

    monkeypatch.setattr(retries, "retry_delay", lambda error, tries: 0.001)
    with Emulator(token=TOKEN, channels=1) as apple:
        monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", apple.connection_json)
        yield apple


def request(apple: Emulator) -> str:
    from airflow_provider_apns.hooks.apns import ApnsHook

    return ApnsHook().request_export("application", **DAYS).status_url


def download_in_worker(status_url: str, folder: Path) -> None:
    from airflow_provider_apns.hooks.apns import ApnsHook

    ApnsHook(max_bytes=1 << 20).download_export(status_url, str(folder / "x.csv"))


def download_in_event_loop(status_url: str, folder: Path) -> None:
    from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook
    from airflow_provider_apns.protocol.datasets import Dataset

    async def download() -> None:
        async with ApnsAsyncHook(max_bytes=1 << 20) as hook:
            report = await hook.download_report(status_url, Dataset.APPLICATION)
        (folder / "x.csv").write_bytes(report.body)

    asyncio.run(download())


DOWNLOADS = [download_in_worker, download_in_event_loop]


def connect_wrongly(apple: Emulator, wrong: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {name: value.format(TOKEN) for name, value in wrong.items()}
    monkeypatch.setenv("AIRFLOW_CONN_APNS_DEFAULT", json.dumps(json.loads(apple.connection_json) | fields))


class TestTracebacks:
    """Those that print local variables; `make fault-matrix` does the same for each of its fields."""

    @pytest.mark.parametrize("download", DOWNLOADS)
    @pytest.mark.parametrize("fault", ["403", "html", "reset", "reset-body", "bomb", "redirect-loop", "url-expired"])
    def test_of_a_failed_download(
        self, apple: Emulator, tmp_path: Path, download: Callable[[str, Path], None], fault: str
    ) -> None:
        status_url = request(apple)
        apple.inject(f"download:{fault}:times=forever,size=8000000")
        with pytest.raises(Exception) as raised:  # noqa: PT011
            download(status_url, tmp_path)
        assert_shows_nothing(raised.value, TOKEN, apple.signature_mark)

    @pytest.mark.parametrize("download", DOWNLOADS)
    @pytest.mark.parametrize("endpoint", ["status", "download"])
    def test_of_an_interruption(
        self, apple: Emulator, tmp_path: Path, download: Callable[[str, Path], None], endpoint: str
    ) -> None:
        """An ``execution_timeout`` is raised by a signal, deep in the HTTP library, and is no error of ours."""

        class Interruption(BaseException):
            pass

        def interrupt(number: int, frame: object) -> None:
            raise Interruption

        status_url = request(apple)
        apple.inject(f"{endpoint}:stall:times=forever,seconds=20")
        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        try:
            with pytest.raises(Interruption) as raised:
                download(status_url, tmp_path)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert_shows_nothing(raised.value, TOKEN, apple.signature_mark)

    def test_of_a_wait_that_is_cancelled(self, apple: Emulator) -> None:
        from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook

        status_url = request(apple)
        apple.inject("status:stall:seconds=20")

        async def look() -> None:
            async with ApnsAsyncHook() as hook:
                await asyncio.wait_for(hook.get_export(status_url), 0.5)

        with pytest.raises(asyncio.TimeoutError) as raised:
            asyncio.run(look())
        assert_shows_nothing(raised.value, TOKEN)

    @pytest.mark.parametrize(
        "wrong", [{"login": ""}, {"password": "two {}"}, {"host": "http://metrics.example.com"}, {"host": "::"}]
    )
    def test_of_a_bad_connection(
        self, apple: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]
    ) -> None:
        status_url = request(apple)
        connect_wrongly(apple, wrong, monkeypatch)
        for download in DOWNLOADS:
            with pytest.raises(Exception) as raised:  # noqa: PT011
                download(status_url, tmp_path)
            assert_shows_nothing(raised.value, TOKEN)

    def test_of_an_answer_that_says_too_much(self, apple: Emulator, tmp_path: Path) -> None:
        """A signed URL in an answer that cannot be used is not quoted, nor is the answer a local variable."""
        status_url = request(apple)
        for fault in (
            "status:shape-types",
            "status:cut-close",
            "status:utf-16",
            "status:latin-1",
            "status:unknown-status",
        ):
            apple.inject(f"{fault}:times=forever")
            for download in DOWNLOADS:
                try:
                    download(status_url, tmp_path)
                except Exception as error:
                    assert_shows_nothing(error, TOKEN, apple.signature_mark)
            apple.clear_faults()

    def test_the_search_finds_what_is_there(self) -> None:
        def fail(token: str) -> None:
            raise ValueError("no")

        with pytest.raises(ValueError, match="no") as raised:
            fail(TOKEN)
        for tell in TRACEBACKS:
            assert TOKEN in tell(raised.value)


class TestLogs:
    @pytest.mark.parametrize("download", DOWNLOADS)
    @pytest.mark.parametrize("fault", ["", "bad-header", "reset-body", "redirect-loop"])
    def test_at_debug(
        self,
        apple: Emulator,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
        download: Callable[[str, Path], None],
        fault: str,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        status_url = request(apple)
        if fault:
            apple.inject(f"download:{fault}:times=2")
        try:
            download(status_url, tmp_path)
        except Exception as error:
            logging.getLogger(__name__).exception("It went wrong: %r", error)
        told = caplog.text + "".join(capfd.readouterr()) + "".join(map(str, (r.__dict__ for r in caplog.records)))
        for needle in (TOKEN, apple.signature_mark):
            assert not [form for form, data in forms(needle).items() if data.decode("latin-1") in told]


class TestRepr:
    def test_of_every_object(self, apple: Emulator) -> None:
        from airflow_provider_apns.hooks.apns import ApnsHook
        from airflow_provider_apns.hooks.apns_async import ApnsAsyncHook
        from airflow_provider_apns.protocol import exchanges
        from airflow_provider_apns.protocol.messages import HttpAnswer, HttpRequest
        from airflow_provider_apns.triggers.apns import ApnsExportTrigger

        hook = ApnsHook()
        export = hook.get_export(request(apple))
        assert apple.signature_mark[4:] in str(export.data_url)
        account = hook.account

        async def account_of_async_hook() -> list[Any]:
            async with ApnsAsyncHook() as other:
                return [await other.get_account(), other, other.__dict__]

        objects: list[Any] = [
            export,
            dataclasses.replace(export),
            [export],
            {"export": export},
            hook,
            hook.__dict__,
            hook.get_conn().__dict__,
            account,
            account.token,
            [account.token],
            account.claims,
            next(exchanges.get_export(account, export.status_url)),
            HttpRequest("report", "GET", export.data_url, {}),  # type: ignore[arg-type]
            HttpAnswer(200, {"Location": str(export.data_url)}, datetime.now(timezone.utc), b"x" + TOKEN.encode()),
            ApnsExportTrigger(status_url=export.status_url, apns_conn_id="apns_default", poke_interval=1).serialize(),
            *asyncio.run(account_of_async_hook()),
        ]
        for thing in objects:
            for text in (repr(thing), f"{thing}", f"{thing!r:>10}"):
                for needle in (TOKEN, apple.signature_mark):
                    assert not [form for form, data in forms(needle).items() if data.decode("latin-1") in text], type(
                        thing
                    )
