"""The servers beside Airflow: each a process of its own on a free port of loopback, which can die and come back."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.debian import Unavailable, install
from tests.support.ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root
BUCKET = "metrics"
S3_KEYS = {"aws_access_key_id": "S3RVER", "aws_secret_access_key": "S3RVER"}  # s3rver knows only these


class Server:
    """
    A program that listens on a port of loopback, in a process group of its own.

    :param name: for messages
    :param command: how to start it; may be replaced between two starts
    :param port: where it answers
    :param output: the file that its output is added to
    """

    def __init__(self, name: str, command: Sequence[object], port: int, output: Path) -> None:
        self.name = name
        self.command = [str(part) for part in command]
        self.port = port
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout: float = 60) -> None:
        """Start it; return when it accepts connections. It ends with this process at the latest."""
        atexit.register(self.stop)
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"The {self.name} did not come up:\n{self._output.read_text()[-3000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end; after ten seconds, make it."""
        self._end(signal.SIGINT, signal.SIGKILL)

    def _end(self, *signals: signal.Signals) -> None:
        if self._process is None:
            return
        for number in signals:
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(self._process.pid, number)
                self._process.wait(timeout=10)
                break
        self._process.wait()
        self._process = None

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


def find_program(name: str, *packages: str) -> Path:
    """
    Return where a program is; where Debian's packages can be installed, install it first.

    :raises Unavailable: if it is not there and cannot be installed
    """
    if not _look(name):
        install(*packages)
    if found := _look(name):
        return found
    raise Unavailable(f"{name} is missing, although {packages} are installed.")


def _look(name: str) -> Path | None:
    """Look on the PATH, and where Debian keeps PostgreSQL's programs, the newest first."""
    if found := shutil.which(name):
        return Path(found)
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return versions[-1] if versions else None


def installed_by_npm(pinned: Path, program: str) -> Path:
    """
    Return a program of a package that npm installs, at the versions that a lockfile names, into an ignored folder.

    :param pinned: a folder with package.json and package-lock.json
    :param program: its name
    :raises Unavailable: if there is no npm on this machine, and none can be installed
    """
    npm = find_program("npm", "nodejs", "npm")
    home = ROOT / ".venvs" / pinned.name
    lock = (pinned / "package-lock.json").read_bytes()
    done = home / "installed-from.json"
    if not done.is_file() or done.read_bytes() != lock:
        shutil.copytree(pinned, home, dirs_exist_ok=True)
        quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        subprocess.run([npm, "ci", *quiet], cwd=home, check=True)
        done.write_bytes(lock)
    return home / "node_modules" / ".bin" / program


def postgresql_program(name: str) -> Path:
    """Return one of PostgreSQL's programs, all of one version: initdb may be linked to from elsewhere."""
    return find_program("initdb", "postgresql").resolve().with_name(name)


def postgresql(folder: Path) -> Server:
    """Return a PostgreSQL server with an empty database ``airflow``, owned by the user ``airflow``."""
    initdb = postgresql_program("initdb")
    data = folder / "data"
    data.mkdir(parents=True)
    as_user: list[str] = []
    if not os.geteuid():
        as_user = ["setpriv", f"--reuid={UNPRIVILEGED}", "--regid=nogroup", "--clear-groups"]
        shutil.chown(data, UNPRIVILEGED)
    subprocess.run(
        [*as_user, initdb, "--pgdata", data, "--username=airflow", "--auth=trust", "--encoding=UTF8", "--no-sync"],
        cwd="/",
        env=os.environ | {"LC_ALL": "C.UTF-8"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    (port,) = free_ports(1)
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "200",
        "fsync": "off",  # it is not PostgreSQL that is killed here
    }
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    command = [*as_user, postgresql_program("postgres"), "-D", data, "-p", port, *options]
    server = Server("PostgreSQL", command, port, folder / "output.txt")
    server.start()
    subprocess.run([postgresql_program("createdb"), *as_client(server), "airflow"], check=True)
    return server


def as_client(server: Server) -> list[str]:
    """Return how PostgreSQL's programs reach a server."""
    return ["--host=127.0.0.1", f"--port={server.port}", "--username=airflow"]


def redis(folder: Path) -> Server:
    """Return a Redis server that keeps every command that it was ever given, for the search for secrets."""
    program = find_program("redis-server", "redis-server")
    (port,) = free_ports(1)
    folder.mkdir(parents=True)
    where = ["--bind", "127.0.0.1", "--port", port, "--dir", folder]
    history = ["--save", "", "--appendonly", "yes", "--auto-aof-rewrite-percentage", 0]
    server = Server("Redis", [program, *where, *history], port, folder / "output.txt")
    server.start()
    return server


def s3(folder: Path) -> Server:
    """
    Return an S3 server, not yet started, that keeps its objects in files.

    moto, which the other tests use, keeps them in memory: killed, it would come back empty.
    """
    (port,) = free_ports(1)
    folder.mkdir(parents=True)
    program = installed_by_npm(Path(__file__).with_name("s3rver"), "s3rver")
    command = [program, "--directory", folder / "data", "--no-vhost-buckets"]
    command += ["--address", "127.0.0.1", "--port", port, "--configure-bucket", BUCKET]
    return Server("S3 API", command, port, folder / "output.txt")


def emulator(folder: Path, token: str, **options: object) -> Server:
    """Return Apple's emulator, not yet started; its state and its certificate authority survive it."""
    folder.mkdir(parents=True)
    (port,) = free_ports(1)
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "airflow_provider_apns.emulator", "--port", port, "--tls", "--tls-dir", folder]
    command += ["--state", folder / "journal.jsonl", *arguments, f"--token={token}"]
    return Server("emulator", command, port, folder / "output.txt")
