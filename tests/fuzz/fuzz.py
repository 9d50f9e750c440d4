"""
Coverage-guided fuzzing of everything that reads bytes from outside: only errors of the provider's family come out.

    python -m tests.fuzz.fuzz                    every target, FUZZ_SECONDS (60) each
    python -m tests.fuzz.fuzz TARGET [FILE]      one target, or one input that a run has found

A run fails when anything but an ``ApnsError`` is raised, when one input takes longer than ten seconds or more memory
than half a gigabyte, or when what comes out breaks a promise, such as a size that passes its limit.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import date, datetime, timezone
from pathlib import Path
from urllib.parse import urlsplit

import atheris

with atheris.instrument_imports(include=["airflow_provider_apns"]):
    from airflow_provider_apns.exceptions import ApnsError
    from airflow_provider_apns.protocol import bodies, channel_ids, days, exchanges, retries
    from airflow_provider_apns.protocol.account import APPLE_API_URL, Account
    from airflow_provider_apns.protocol.datasets import Dataset
    from airflow_provider_apns.protocol.exports import ExportRequest
    from airflow_provider_apns.protocol.messages import MAX_ANSWER_BYTES, HttpAnswer
    from airflow_provider_apns.protocol.tokens import TokenClaims
    from airflow_provider_apns.reports import reading, writing

NOW = datetime(2026, 3, 10, 18, 1, tzinfo=timezone.utc)
MAX_BYTES = 1 << 20
HOST = "metrics.example.com"
TOKEN = "fuzz-token-0123456789"
ACCOUNT = Account.read(
    "apns_default", login="TEAM", password=TOKEN, extra={"app_id": "com.example.app", "trusted_hosts": HOST}
)
REQUEST = ExportRequest(Dataset.CHANNEL, days.Days(date(2026, 3, 1), date(2026, 3, 2)), "AAAA")
STATUS_URL = "https://api.icloud.apple.com/v1/status/1"
READY = b'{"status": "SUCCESS", "downloadDetails": {"dataUrl": "https://a.example.com/d?Signature=1"}}'

HEADERS = ["Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding", "Retry-After", "Date", "Location"]
TYPES: dict[str, type] = {"date": date, "string": str, "count": int, "boolean": bool}


def headers_of(data: atheris.FuzzedDataProvider) -> dict[str, str]:
    """Return headers as an HTTP library gives them."""
    values = ["gzip", "identity", "chunked", "10", "120", "Tue, 10 Mar 2026 18:01:00 GMT", "https://a.example.com/x"]
    return {
        data.PickValueInList(HEADERS): (
            data.PickValueInList(values) if data.ConsumeBool() else data.ConsumeBytes(40).decode("latin-1")
        )
        for _ in range(data.ConsumeIntInRange(0, 4))
    }


def answers(data: atheris.FuzzedDataProvider) -> None:
    """What answers mean, and what is sent next."""
    exchange = data.PickValueInList(
        [
            lambda: exchanges.request_export(ACCOUNT, REQUEST, "com.example.app"),
            lambda: exchanges.get_export(ACCOUNT, STATUS_URL),
            lambda: exchanges.download_export(ACCOUNT, STATUS_URL, MAX_BYTES),
        ]
    )()
    try:
        request = next(exchange)
        while True:
            assert TOKEN not in repr(request)
            assert exchanges.TOKEN_HEADER not in request.headers or request.server == APPLE_API_URL
            status = data.ConsumeIntInRange(100, 599) if data.ConsumeBool() else 200
            body = READY if data.ConsumeBool() else data.ConsumeBytes(1 << 12)
            request = exchange.send(HttpAnswer(status, headers_of(data), NOW, body))
    except StopIteration as end:
        assert "Signature" not in repr(end.value) or isinstance(end.value, bytes)
        assert isinstance(end.value, bytes) or (len(end.value.status) <= 40 and end.value.status.isprintable())
    except ApnsError as error:
        assert TOKEN not in str(error)
        assert "Signature" not in str(error)
        assert len(str(error)) < 2000
        assert str(error).isprintable()


def csv(data: atheris.FuzzedDataProvider) -> None:
    """Apple's CSV, and what is written of it."""
    dataset = data.PickValueInList([*Dataset, None])
    try:
        report = reading.read_report(data.ConsumeBytes(1 << 14), dataset, "report")
    except ApnsError as error:
        assert len(str(error)) < 2000
        return
    for row in report.rows:
        for value, column in zip(row, report.columns, strict=True):
            assert value is None or isinstance(value, TYPES[column.kind])
            assert value is None or column.kind != "count" or 0 <= value < 2**63
    lines = writing.write_rows(report.rows, report.columns, "jsonl").decode().split("\n")
    assert len([json.loads(line) for line in lines if line]) == len(report.rows)
    writing.write_rows(report.rows, report.columns, "csv")


def texts(data: atheris.FuzzedDataProvider) -> None:
    """Days and channel ids as DAG authors write them, Apple's timestamps, and the headers Retry-After and Date."""
    headers = {"Retry-After": data.ConsumeUnicode(70), "Date": data.ConsumeUnicode(70)}
    seconds = retries.retry_after_of(HttpAnswer(429, headers, NOW))
    assert seconds is None or 0 <= seconds <= 86_400
    text = data.ConsumeUnicode(64)
    moment = exchanges.read_timestamp(text)
    assert moment is None or moment.tzinfo
    for read in (lambda: days.read_day(text, "first_day"), lambda: channel_ids.read_channel_ids(text)):
        try:
            assert read()
        except ApnsError as error:
            assert len(str(error)) < 2000


def jwt(data: atheris.FuzzedDataProvider) -> None:
    """Tokens that read as a JWT, nearly or not at all."""
    claims = data.ConsumeBytes(1 << 13)
    payload = base64.urlsafe_b64encode(claims).decode().rstrip("=") if data.ConsumeBool() else claims.decode("latin-1")
    token = f"e30.{payload}.c2ln"
    read = TokenClaims.read(token)
    try:
        read.check_expiry(NOW, "apns_default")
    except ApnsError as error:
        assert str(error).isprintable()
    for told in (read.renewal_notice(NOW, "apns_default"), read.scope_mismatch("com.example.app", "deliverymetrics")):
        assert told is None or told.isprintable()
    try:
        Account.read("c", login="T", password=token, extra={"trusted_hosts": data.ConsumeUnicode(40)})
    except ApnsError as error:
        assert len(payload) < 8 or payload not in str(error)


def body(data: atheris.FuzzedDataProvider) -> None:
    """A body off the wire: decompressed within its limit, and whole."""
    headers, limit = headers_of(data), data.ConsumeIntInRange(1, MAX_BYTES)
    content = data.ConsumeBytes(1 << 13)
    for _ in range(data.ConsumeIntInRange(0, 4)):
        content = gzip.compress(content * data.ConsumeIntInRange(1, 300), mtime=0)
        if data.ConsumeBool():
            content = content[: data.ConsumeIntInRange(0, len(content))]
    answer = HttpAnswer(200, headers, NOW, content)
    try:
        assert len(bodies.read_body(answer, limit, "report")) <= limit
    except ApnsError as error:
        assert len(str(error)) < 500
    assert len(bodies.read_answer(answer)) <= MAX_ANSWER_BYTES


def urls(data: atheris.FuzzedDataProvider) -> None:
    """URLs that came from anywhere: what another parser sees there is what was trusted."""
    url = data.ConsumeUnicode(200)
    if data.ConsumeBool():
        url = f"https://{data.PickValueInList([HOST, 'api.icloud.apple.com', 'apple.com'])}{url}"
    try:
        ACCOUNT.check_status_url(url)
    except ApnsError as error:
        assert str(error).isprintable()
    else:
        host = urlsplit(url).hostname or ""
        assert host == HOST or re.search(r"\.(apple|icloud)\.com$", host), url
        assert urlsplit(url).scheme == "https"
        assert urlsplit(url).username is None
    download = exchanges.download_export(ACCOUNT, STATUS_URL, MAX_BYTES)
    next(download)
    details = {"status": "SUCCESS", "downloadDetails": {"dataUrl": url}}
    try:
        for answer in (
            HttpAnswer(200, {}, NOW, json.dumps(details).encode()),
            HttpAnswer(302, {"Location": data.ConsumeUnicode(200)}, NOW),
        ):
            request = download.send(answer)
            assert request.url.isascii()
            assert urlsplit(request.url).scheme in ("https", "http")
            assert exchanges.TOKEN_HEADER not in request.headers
    except ApnsError as error:
        assert str(error).isprintable()


Target = Callable[[atheris.FuzzedDataProvider], None]
TARGETS: dict[str, Target] = {target.__name__: target for target in (answers, csv, texts, jwt, body, urls)}

SEEDS = [
    b'{"statusUrl": "https://api.icloud.apple.com/v1/status/1", "requestedAt": "2024-11-11 18:01:00Z"}',
    b'{"status": "SUCCESS", "downloadDetails": {"expiresAt": "2024-02-14T18:53:14.762922123Z"}}',
    READY,
    b"Date (UTC),Broadcasts Published,Broadcasts Delivered,Total Subscriptions,Unique Subscribers\n"
    b"2026-03-01,1,2,3,-1\n",
    b"Push Type,Status,Date (UTC),Count\nalert,delivered,2026-03-01,10\r\n",
    b"2024-02-14T18:32:30.947Z",
    b"Tue, 10 Mar 2026 18:01:00 GMT",
    json.dumps({"exp": 1800000000, "scope": ["POST /v1/appId/com.example.app/datasetName/deliverymetrics"]}).encode(),
    gzip.compress(b"Push Type,Status,Date (UTC),Count\n" * 50, mtime=0),
    b"https://user@metrics.example.com:443/a?b#c",
]


FINDINGS = Path("build/fuzz")
"""Where the inputs are kept that something is wrong with."""


def run_all() -> int:
    """Run every target in a process of its own."""
    seconds = os.environ.get("FUZZ_SECONDS", "60")
    failed = []
    FINDINGS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in TARGETS:
            corpus = Path(folder) / name
            corpus.mkdir()
            for number, seed in enumerate(SEEDS):
                (corpus / str(number)).write_bytes(seed)
            options = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=512", "-max_len=20000"]
            options.append(f"-artifact_prefix={FINDINGS / name}-")
            command = [sys.executable, "-m", "tests.fuzz.fuzz", name, *options, str(corpus)]
            outcome = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
            told = outcome.stdout + outcome.stderr
            runs = re.findall(r"#(\d+)\s+DONE\s+cov: (\d+)", told)
            print(f"{name}: {runs[-1][0]} inputs, coverage {runs[-1][1]}" if runs else f"{name}: FAILED", flush=True)
            if outcome.returncode or not runs:
                failed.append(name)
                print(told[-6000:])
    print(f"{len(TARGETS) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def main() -> int:
    if len(sys.argv) < 2:
        return run_all()
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, lambda data: target(atheris.FuzzedDataProvider(data)))
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
