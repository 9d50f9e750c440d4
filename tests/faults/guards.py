"""
Take each guard away, once, and see that a test fails: `make guards` (all of them), or ``--only redirect``.

Each entry is a change of the package's text in a copy of the tree; a guard that has moved is an error here, so that the
table in docs/guards.md, which ``--write`` makes, is about the code as it is.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

HOOK = "hooks/apns.py"
UNIT = "tests/unit"
HOOK_TESTS = f"{UNIT}/hooks/test_apns.py"
SECRETS = "tests/integration/test_secrets.py"
REGRESSIONS = "tests/faults/test_regressions.py"

LIMIT = 300
"""Seconds that a guard's test may take: without the guard, some things never end."""


class Guard(NamedTuple):
    """One guard: what it is for, how to take it away, and the test that must fail then."""

    name: str
    file: str
    old: str
    new: str
    test: str
    also: tuple[tuple[str, str], ...] = ()


CHAINED = (
    "            failure = _failure(request, error, handled)\n"
    "        # Outside of the handler: the library's error quotes the URL, and must not be chained to ours."
)

GUARDS = [
    Guard(
        "API answers that redirect are not followed (worker)",
        HOOK,
        "allow_redirects=False,\n                proxies",
        "allow_redirects=True,\n                proxies",
        f"{REGRESSIONS} -k 'api_that_redirects'",
        (("session = _Session()", "session = requests.Session()"),),
    ),
    Guard(
        "API answers that redirect are not followed (triggerer)",
        HOOK,
        "allow_redirects=False,\n                proxy",
        "allow_redirects=True,\n                proxy",
        f"{HOOK_TESTS} -k 'api_redirects'",
    ),
    Guard(
        "`requests` does not even read a redirect's target or body",
        HOOK,
        "session = _Session()",
        "session = requests.Session()",
        "matrix --only 'redirect to a broken URL'",
    ),
    Guard(
        "status URLs only on trusted hosts",
        "exports.py",
        "if not account.trusts(origin):",
        "if False:",
        f"{UNIT}/test_exports.py -k 'foreign_host_gets_no_token'",
    ),
    Guard(
        "trusted hosts only over https",
        "exports.py",
        "        if not origin.is_private_enough:\n            return False\n",
        "",
        f"{UNIT}/test_exports.py -k 'trusted_hosts_alone or foreign_host_gets_no_token'",
    ),
    Guard(
        "Apple's hosts only on port 443",
        "exports.py",
        "origin.host.endswith(APPLE_DOMAINS) and origin.port == 443",
        "origin.host.endswith(APPLE_DOMAINS)",
        f"{UNIT}/test_exports.py -k 'trusted_hosts_alone or foreign_host_gets_no_token'",
    ),
    Guard(
        "URLs that parsers may read differently are refused",
        "exports.py",
        r'_PATH = re.compile(r"[\x21-\x5b\x5d-\x7e]*")',
        r'_PATH = re.compile(r"[\s\S]*")',
        f"{UNIT}/test_exports.py -k 'trick_has_no_origin'",
    ),
    Guard(
        "no token header on the download",
        "exports.py",
        "url=data_url, headers=dict(_HEADERS))",
        "url=data_url, headers={TOKEN_HEADER: '', **_HEADERS})",
        f"{UNIT}/test_exports.py -k 'download_carries_no_token'",
    ),
    Guard(
        "downloads only over https (plain http on loopback)",
        "exports.py",
        "if origin is None or not origin.is_private_enough:\n        raise ApnsUntrustedUrlError(\n            f",
        "if origin is None:\n        raise ApnsUntrustedUrlError(\n            f",
        f"{UNIT}/test_exports.py -k 'download_is_https'",
    ),
    Guard(
        "length of the body checked",
        "bodies.py",
        "if self._expected is not None and self.received != self._expected:",
        "if False:",
        f"{UNIT}/test_bodies.py -k 'plain_cut_anywhere'",
    ),
    Guard(
        "a body whose end nothing marks is refused",
        "bodies.py",
        "if self._expected is None and not self._chunked and self._gzip is None:",
        "if False:",
        f"{UNIT}/test_bodies.py -k 'nothing_tells'",
    ),
    Guard(
        "end of gzip checked",
        "bodies.py",
        "if self._gzip is not None and not self._gzip.eof:",
        "if False:",
        f"{UNIT}/test_bodies.py -k 'gzip_cut_anywhere'",
    ),
    Guard(
        "decompressed size limited (`max_bytes`)",
        "bodies.py",
        "if self.size > self._max_bytes:",
        "if False:",
        f"{UNIT}/test_bodies.py -k 'bomb'",
    ),
    Guard(
        "compressed size limited",
        "bodies.py",
        "if self.received > self._max_bytes + _PIECE:",
        "if False:",
        f"{REGRESSIONS} -k 'without_an_end'",
    ),
    Guard(
        "answers of the API limited to 1 MiB",
        "bodies.py",
        "return len(self._raw) <= self._max_bytes",
        "return True",
        f"{UNIT}/test_bodies.py -k 'no_more_is_read'",
    ),
    Guard(
        "header of the CSV checked",
        "reports.py",
        "header_dataset(header, self._expected, self._what, head)",
        "pass",
        f"{UNIT}/test_reports.py -k 'anything_else_does_not'",
    ),
    Guard(
        "last line of the CSV checked",
        "reports.py",
        "if len(fields) != self._columns:",
        "if False:",
        f"{UNIT}/test_reports.py -k 'row_that_is_cut'",
    ),
    Guard(
        "text of the CSV checked",
        "reports.py",
        "self._text.decode(piece, final)",
        "pass",
        f"{REGRESSIONS} -k 'another_charset'",
    ),
    Guard(
        "local objects written beside, then renamed",
        "storage.py",
        'beside = f"{folder}{slash}.{name}.{uuid.uuid4().hex}.part"',
        "beside = target",
        f"{UNIT}/test_storage.py -k 'old_object'",
    ),
    Guard(
        "what was written beside is removed on failure",
        "storage.py",
        "fs.rm_file(beside)",
        "pass",
        f"{UNIT}/test_storage.py -k 'old_object'",
    ),
    Guard(
        "uploads discarded on failure",
        "storage.py",
        "handle.closed = True\n",
        "handle.close()\n",
        f"{UNIT}/test_storage.py -k 'failing_block'",
        (("block_size=_BLOCK_SIZE, autocommit=False)", "block_size=_BLOCK_SIZE)"),),
    ),
    Guard(
        "parts of an upload dropped on failure",
        "multipart.py",
        'if self._upload is not None:\n            self._call("abort_multipart_upload")',
        "pass",
        f"{UNIT}/test_storage.py -k 'failing_block'",
    ),
    Guard(
        "checksums only for a store that confirms them",
        "multipart.py",
        "if self._create() == self._checksum or named:",
        "if self._create() or True:",
        f"{UNIT}/test_multipart.py -k 'does_not_confirm'",
    ),
    Guard(
        "a part's bytes stay until it has been sent",
        "multipart.py",
        "self._parts[-len(self._sending)].result()",
        "pass",
        f"{UNIT}/test_multipart.py -k 'in_their_order'",
    ),
    Guard(
        "bytes on the disk before the rename",
        "storage.py",
        "_sync(handle)\n        fs.mv",
        "fs.mv",
        f"{UNIT}/test_storage.py -k 'on_the_disk'",
    ),
    Guard(
        "a folder is no destination",
        "storage.py",
        "if fs.isdir(target):",
        "if False:",
        f"{UNIT}/test_storage.py -k 'folder_is_not_a_destination'",
    ),
    Guard(
        "tries are bounded",
        "exports.py",
        "MAX_TRIES = 7",
        "MAX_TRIES = 700",
        f"{REGRESSIONS} -k 'few_requests'",
    ),
    Guard(
        "tries do not multiply (worker)",
        HOOK,
        "data_url = _ready(self._look(status_url))",
        "data_url = _ready(self.get_export(status_url))",
        f"{HOOK_TESTS} -k 'do_not_multiply'",
    ),
    Guard(
        "tries do not multiply (event loop)",
        HOOK,
        "data_url = _ready(await self._look(status_url))",
        "data_url = _ready(await self.get_export(status_url))",
        f"{HOOK_TESTS} -k 'do_not_multiply'",
    ),
    Guard(
        "an absurd Retry-After is not obeyed",
        "exports.py",
        "return seconds if 0 <= seconds <= 86_400 else None",
        "return seconds",
        f"{REGRESSIONS} -k 'absurd_wait'",
    ),
    Guard(
        "a long Retry-After is left to Airflow",
        "exports.py",
        "isinstance(error, ApnsServiceError) and (error.retry_after or 0) <= MAX_RETRY_AFTER",
        "isinstance(error, ApnsServiceError)",
        f"{HOOK_TESTS} -k 'long_wait_is_left'",
    ),
    Guard(
        "an expired token is refused before any request",
        "tokens.py",
        "if self.expires_at is not None and self.expires_at <= now:",
        "if False:",
        f"{UNIT}/test_tokens.py -k 'expired_token_is_refused'",
    ),
    Guard(
        "a replaced token is picked up (worker)",
        HOOK,
        "return self.account.token != refused",
        "return False",
        f"{HOOK_TESTS} -k 'replaced_token_is_picked_up'",
    ),
    Guard(
        "a replaced token is picked up (triggerer)",
        HOOK,
        "return (await self.get_account()).token != refused.token",
        "return False",
        "tests/integration/test_token_life.py -m 'not live'",
    ),
    Guard(
        "a refused token is not taken from another's earlier lookup",
        "shared.py",
        "self._number <= asked",
        "self._number < asked",
        f"{UNIT}/test_shared.py -k 'read_before'",
    ),
    Guard(
        "secrets mask themselves",
        "tokens.py",
        "return \"'***'\"",
        "return str.__repr__(self)",
        f"{UNIT}/test_tokens.py -k 'Secret'",
    ),
    Guard(
        "Airflow masks the token in logs",
        HOOK,
        "_compat.mask_secret(str(account.token))",
        "pass",
        f"{REGRESSIONS} -k 'masked'",
    ),
    Guard(
        "Airflow's supervisor is told of secrets outside of the event loop",
        "_compat.py",
        "return await sync_to_async(lambda: read(connection))()",
        "return read(connection)",
        f"{REGRESSIONS} -k 'supervisor'",
    ),
    Guard(
        "no thread's frame has the connection as an argument",
        "_compat.py",
        "return await sync_to_async(lambda: read(connection))()",
        "return await sync_to_async(read)(connection)",
        "matrix --only 'status · shape-null · for ever · event loop'",
    ),
    Guard(
        "urllib3's DEBUG lines hide signed URLs",
        HOOK,
        '"***" if isinstance(arg, str) and "/" in arg else arg',
        "arg",
        f"{SECRETS} -k 'TestLogs'",
    ),
    Guard(
        "urllib3's warnings hide signed URLs",
        HOOK,
        '("urllib3.connectionpool", "urllib3.connection")',
        '("urllib3.connectionpool",)',
        f"{REGRESSIONS} -k 'broken_header'",
    ),
    Guard(
        "a library's error is not chained to ours (worker)",
        HOOK,
        CHAINED + "\n        raise failure\n\n    def test_connection",
        "            raise _failure(request, error, handled)\n\n    def test_connection",
        f"{SECRETS} -k 'failed_download'",
    ),
    Guard(
        "a library's error is not chained to ours (event loop)",
        HOOK,
        CHAINED + " `from None`",
        CHAINED.replace("handled)\n", "handled)\n            failure.__cause__ = error\n") + " `from None`",
        f"{SECRETS} -k 'failed_download'",
        (("raise failure from None\n\n\nasync def", "raise failure\n\n\nasync def"),),
    ),
    Guard(
        "an interruption leaves the library's frames behind",
        HOOK,
        "return error.with_traceback(None)",
        "return error",
        f"{SECRETS} -k 'interruption'",
    ),
    Guard(
        "aiohttp's answers do not show their URL",
        "shared.py",
        "        response_class=_Response,\n",
        "",
        f"{SECRETS} -k 'failed_download'",
    ),
    Guard(
        "a bad connection's traceback has no password (worker)",
        HOOK,
        "failure = error.with_traceback(None)\n    else:",
        "failure = error\n    else:",
        f"{SECRETS} -k 'bad_connection'",
    ),
    Guard(
        "a bad connection's traceback has no password (triggerer)",
        HOOK,
        "failure = error.with_traceback(None)\n        # Outside of the handler: the frames of the thread",
        "failure = error\n        # Outside of the handler: the frames of the thread",
        f"{SECRETS} -k 'bad_connection'",
    ),
    Guard(
        "what a server echoes is not quoted",
        "exports.py",
        'text.replace(hide, "***")',
        "text",
        f"{UNIT}/test_exports.py -k 'echoes'",
    ),
    Guard(
        "errors that no retry can mend fail the task at once",
        "exceptions.py",
        "        if error.retryable:\n            raise\n",
        "        raise\n",
        f"{UNIT}/test_exceptions.py",
    ),
]


def command(guard: Guard) -> list[str]:
    module, *arguments = shlex.split(guard.test)
    if module == "matrix":
        return [sys.executable, "-m", "tests.faults.matrix", *arguments]
    return [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", "--hypothesis-seed=1", module, *arguments]


def run(guard: Guard, tree: Path) -> tuple[int, str]:
    env = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(command(guard), cwd=tree, env=env, stdout=told, stderr=told, start_new_session=True)
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            print(f"\nended after {LIMIT} seconds", file=told, flush=True)
        finally:
            end(process)
        told.seek(0)
        return process.returncode, told.read()


def end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a test, with the servers that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def try_guard(guard: Guard, tree: Path) -> str:
    """Take a guard away, run its test and put it back; return what is wrong, or nothing."""
    path = tree / "airflow_provider_apns" / guard.file
    text = without = path.read_text()
    for old, new in ((guard.old, guard.new), *guard.also):
        if without.count(old) != 1:
            return f"has moved: {old!r} is there {without.count(old)} times"
        without = without.replace(old, new)
    path.write_text(without)
    try:
        code, told = run(guard, tree)
    finally:
        path.write_text(text)
    if code == 0:
        return "no test fails without it"
    if not any(word in told for word in ("FAILED ", "LOST ", "LEAK ")):
        return f"its test could not run:\n{told[-1500:]}"
    return ""


def document() -> str:
    rows = "\n".join(f"| {guard.name} | `{guard.file}` | `{guard.test}` |" for guard in GUARDS)
    return f"""# Guards, and the tests that fail without them

`make guards` takes each of these {len(GUARDS)} guards out of a copy of the package, one at a time, and runs the test
beside it, which must fail. The table is written by that command (`python -m tests.faults.guards --write`). A test that
begins with `matrix` is a part of the [fault matrix](fault-matrix.md).

| Guard | File | Test that fails without it |
| --- | --- | --- |
{rows}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.guards", description="Take each guard away, once.")
    parser.add_argument("--only", default="", metavar="TEXT", help="guards whose name or file has this")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table there")
    options = parser.parse_args()
    chosen = [guard for guard in GUARDS if options.only in guard.name or options.only in guard.file]
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="apns-guards-") as name:
        tree = Path(name)
        for part in ("airflow_provider_apns", "tests", "example_dags", "docs"):
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        for guard in chosen:
            problem = try_guard(guard, tree)
            wrong += bool(problem)
            print(f"{'WRONG' if problem else 'ok'}: {guard.name} {problem}", flush=True)
    print(f"{len(chosen) - wrong} passed, {wrong} failed")
    if options.write and not wrong:
        options.write.write_text(document())
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
