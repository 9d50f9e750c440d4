"""The emulator as a program of its own: its one line, its options, its end, and its life after a kill."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from datetime import datetime, timezone

import pytest


class Program:
    """A running emulator, seen from outside."""

    def __init__(self, *options):
        command = [sys.executable, "-m", "airflow_provider_apns.emulator", "--port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.line = self.process.stdout.readline()
        found = re.search(r"AIRFLOW_CONN_APNS_DEFAULT='(.*?)'", self.line)
        assert found, self.process.stderr.read()
        connection = json.loads(found[1])
        self.url, self.token = connection["host"], connection["password"]
        self.team_id, self.app_id = connection["login"], connection["extra"]["app_id"]
        self.channel_ids = ()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        rest, errors = self.process.communicate(timeout=5)
        return self.process.returncode, rest, errors


@pytest.fixture
def run():
    running = []

    def _run(*options):
        running.append(Program(*options))
        return running[-1]

    yield _run
    for program in running:
        if program.process.poll() is None:
            program.process.kill()
        program.process.communicate()


@pytest.fixture
def talk(start):
    """Make a client for a program: the same as for an emulator in this process."""
    kind = type(start())
    return lambda program: kind(program, lambda: datetime.now(timezone.utc))


def test_prints_one_line_with_all_that_is_needed_and_ends_at_once(run, talk):
    program = run("--processing-seconds", "0")
    client = talk(program)

    assert re.fullmatch(
        r"APNs emulator listening on http://127\.0\.0\.1:\d+ - "
        r"connection: AIRFLOW_CONN_APNS_DEFAULT='\{.*\}'\n",
        program.line,
    )
    assert client.download(client.data_url()).status == 200
    assert program.end(signal.SIGINT) == (0, "", "")


def test_options_reach_the_service(run, talk):
    program = run(
        "--token", "t", "--team-id", "TEAM", "--app-id", "org.example", "--dataset", "delivery",
        "--csv", "crlf", "--csv", "extra", "--processing-polls", "1", "--processing-seconds", "0",
        "--fault", "request:503", "--data-url-key", "dataURL",
    )  # fmt: skip
    client = talk(program)
    assert (program.token, program.team_id, program.app_id) == ("t", "TEAM", "org.example")
    assert [client.request("delivery").status for _ in range(2)] == [503, 200]
    assert client.request("application").status == 401
    status_url = client.request("delivery").json["statusUrl"]
    assert client.status(status_url).json["status"] == "PROCESSING"
    url = client.status(status_url).json["downloadDetails"]["dataURL"]
    assert client.download(url).body.startswith(b"Push Type,Status,Date (UTC),Count,Environment\r\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fault", "status:nonsense"), "unknown kind"),
        (("--dataset", "nonsense"), "invalid choice"),
        (("--host", "192.0.2.1"), "python -m airflow_provider_apns.emulator: "),
    ],
)
def test_mistakes_are_told_in_a_line(options, message):
    command = [sys.executable, "-m", "airflow_provider_apns.emulator", "--port", "0", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=10)
    assert ended.returncode != 0
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_exports_and_ledger_survive_a_kill(run, talk, tmp_path):
    options = ("--state", str(tmp_path / "deep" / "state.jsonl"), "--processing-polls", "1")
    options += ("--processing-seconds", "0")
    first = run(*options)
    client = talk(first)
    asked = client.request().json["statusUrl"]
    assert client.status(asked).json["status"] == "PROCESSING"
    client.send("POST", f"{first.url}/_emulator/token", body=json.dumps({"token": "rotated"}))
    first.end(signal.SIGKILL)

    with (tmp_path / "deep" / "state.jsonl").open("a") as state:
        state.write('{"record": [17')  # a line that the kill has torn
    second = run(*options)
    client = talk(second)

    assert second.token == "rotated"
    again = client.request().json["statusUrl"]
    assert again.rpartition("/")[2] == asked.rpartition("/")[2]
    assert client.status(again).json["status"] == "SUCCESS"
    ledger = client.send("GET", f"{second.url}/_emulator/ledger").json
    assert (ledger["posts"], ledger["exports_created"], ledger["gets"]) == (2, 1, 2)
