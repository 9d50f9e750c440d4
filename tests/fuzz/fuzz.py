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
    from airflow_provider_apns import bodies, exports, reports, tokens
    from airflow_provider_apns.exceptions import ApnsError

NOW = datetime(2026, 3, 10, 18, 1, tzinfo=timezone.utc)
MAX_BYTES = 1 << 20
HOST = "metrics.example.com"
TOKEN = "fuzz-token-0123456789"
ACCOUNT = exports.Account.read(
    "apns_default", login="TEAM", password=TOKEN, extra={"app_id": "com.example.app", "trusted_hosts": HOST}
)
REQUEST = exports.ExportRequest(exports.Dataset.CHANNEL, exports.Window(date(2026, 3, 1), date(2026, 3, 2)), "AAAA")
STATUS_URL = "https://api.icloud.apple.com/v1/status/1"

HEADERS = ["Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding", "Retry-After", "Date", "Location"]


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
    """What an answer of the API means."""
    status = data.ConsumeIntInRange(100, 599) if data.ConsumeBool() else 200
    answer = exports.HttpAnswer(status, headers_of(data), NOW, data.ConsumeBytes(1 << 14))
    for read in (
        lambda: exports.read_export_requested(answer, ACCOUNT, REQUEST, "com.example.app"),
        lambda: exports.read_export_status(answer, ACCOUNT, STATUS_URL),
    ):
        try:
            export = read()
        except ApnsError as error:
            assert TOKEN not in str(error)
            assert len(str(error)) < 2000
            assert str(error).isprintable()
            exports.retry_delay(error, 1)
        else:
            assert len(export.status) <= 40
            assert export.status.isprintable()
            assert "Signature" not in repr(export)


def csv(data: atheris.FuzzedDataProvider) -> None:
    """Apple's CSV, as it is checked and as it is read, in pieces of any size."""
    dataset = data.PickValueInList(list(exports.Dataset))
    check, reader = reports.CsvCheck(dataset, "report"), reports.ReportReader(dataset, "report")
    pieces = [data.ConsumeBytes(data.ConsumeIntInRange(1, 4096)) for _ in range(8)]
    for reads in (check, reader):
        rows: list[reports.Row] = []
        try:
            for piece in pieces:
                rows += reads.feed(piece) or []
            rows += reads.finish() or []
        except ApnsError as error:
            assert len(str(error)) < 2000
        for row in rows:
            assert len(row) == len(reader.columns)
            for value, column in zip(row, reader.columns, strict=True):
                assert value is None or isinstance(value, TYPES[column.kind])
                assert value is None or column.kind != "count" or 0 <= value < 2**63


TYPES: dict[str, type] = {"date": date, "string": str, "count": int, "boolean": bool}


def timestamps(data: atheris.FuzzedDataProvider) -> None:
    """Apple's timestamps, and days as DAG authors write them."""
    text = data.ConsumeUnicode(64)
    moment = exports.read_timestamp(text)
    assert moment is None or moment.tzinfo
    try:
        assert type(exports.read_date(text, "start_date")) is date
    except ApnsError:
        pass


def retry_after(data: atheris.FuzzedDataProvider) -> None:
    """Retry-After and Date headers."""
    headers = {"Retry-After": data.ConsumeUnicode(70), "Date": data.ConsumeUnicode(70)}
    error = exports.busy(exports.HttpAnswer(429, headers, NOW), "export")
    assert error.retry_after is None or 0 <= error.retry_after <= 86_400
    assert 0 <= exports.retry_delay(error, data.ConsumeIntInRange(1, 10)) <= 86_401
    if exports.should_retry(error):
        assert exports.retry_delay(error, 1) <= exports.MAX_RETRY_AFTER + 1


def jwt(data: atheris.FuzzedDataProvider) -> None:
    """Tokens that read as a JWT, nearly or not at all."""
    claims = data.ConsumeBytes(1 << 13)
    payload = base64.urlsafe_b64encode(claims).decode().rstrip("=") if data.ConsumeBool() else claims.decode("latin-1")
    read = tokens.TokenClaims.read(f"e30.{payload}.c2ln")
    try:
        read.check_expiry(NOW, "apns_default")
    except ApnsError as error:
        assert str(error).isprintable()
    notice = read.renewal_notice(NOW, "apns_default")
    assert notice is None or notice.isprintable()
    mismatch = read.scope_mismatch("com.example.app", "deliverymetrics")
    assert mismatch is None or mismatch.isprintable()
    try:
        exports.Account.read(
            "c", login="T", password=f"e30.{payload}.c2ln", extra={"trusted_hosts": data.ConsumeUnicode(40)}
        )
    except ApnsError as error:
        assert len(payload) < 8 or payload not in str(error)


def body(data: atheris.FuzzedDataProvider) -> None:
    """A body off the wire: decompressed within its limit, and whole."""
    headers, limit = headers_of(data), data.ConsumeIntInRange(1, MAX_BYTES)
    packed = data.ConsumeBool()
    chunks = [data.ConsumeBytes(data.ConsumeIntInRange(1, 2048)) for _ in range(6)]
    if packed:
        whole = gzip.compress(b"".join(chunks) * data.ConsumeIntInRange(1, 300), mtime=0)
        cut = whole[: data.ConsumeIntInRange(0, len(whole))] if data.ConsumeBool() else whole
        chunks = [cut[at : at + 700] for at in range(0, len(cut), 700)]
    size = 0
    try:
        decoder = bodies.BodyDecoder(headers, limit, "report")
        for chunk in chunks:
            for piece in decoder.feed(chunk):
                size += len(piece)
                assert size <= limit
                assert len(piece) <= MAX_BYTES
        size += sum(map(len, decoder.rest()))
        decoder.check_whole()
    except ApnsError:
        pass
    else:
        assert size == decoder.size <= limit
    answer = bodies.AnswerBody(headers, limit)
    for chunk in chunks:
        if not answer.feed(chunk):
            break
    assert len(answer.decoded()) <= limit


def urls(data: atheris.FuzzedDataProvider) -> None:
    """URLs that came from anywhere: what another parser sees there is what was trusted."""
    url = data.ConsumeUnicode(200)
    if data.ConsumeBool():
        url = f"https://{data.PickValueInList([HOST, 'api.icloud.apple.com', 'apple.com'])}{url}"
    try:
        exports.check_status_url(ACCOUNT, url)
    except ApnsError as error:
        assert str(error).isprintable()
    else:
        host = urlsplit(url).hostname or ""
        assert host == HOST or re.search(r"\.(apple|icloud)\.com$", host), url
        assert urlsplit(url).scheme == "https"
        assert urlsplit(url).username is None
    try:
        request = exports.request_download(tokens.Secret(url), "report")
        assert urlsplit(url).scheme in ("https", "http")
        assert exports.TOKEN_HEADER not in request.headers
        answer = exports.HttpAnswer(302, {"Location": data.ConsumeUnicode(200)}, NOW)
        exports.follow_download(answer, request)
    except ApnsError as error:
        assert str(error).isprintable()


Target = Callable[[atheris.FuzzedDataProvider], None]
TARGETS: dict[str, Target] = {
    target.__name__: target for target in (answers, csv, timestamps, retry_after, jwt, body, urls)
}

SEEDS = [
    b'{"statusUrl": "https://api.icloud.apple.com/v1/status/1", "requestedAt": "2024-11-11 18:01:00Z"}',
    b'{"status": "SUCCESS", "downloadDetails": {"dataUrl": "https://a.example.com/d?Signature=1", "expiresAt": '
    b'"2024-02-14T18:53:14.762922Z"}}',
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
            found = FINDINGS / name
            command = [
                sys.executable,
                "-m",
                "tests.fuzz.fuzz",
                name,
                *options,
                f"-artifact_prefix={found}-",
                str(corpus),
            ]
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
