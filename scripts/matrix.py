"""The Airflow releases that we support, each with the world it was released into.

    python scripts/matrix.py test [ONLY ...]       run the tests on every world, or on those whose name starts so
    python scripts/matrix.py compile [VERSION ...] write constraints/airflow-VERSION.txt anew

A world is one Airflow release on one Python with every other package as it was in that release's days: what a user
who followed that release's installation guide has. Standard library only, so that it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).with_name("uv")

# Of each Airflow release, the day after which its world takes no more packages: some days after the release itself.
DAYS = {
    "2.11.2": "2026-03-21",
    "3.0.6": "2025-09-05",
    "3.1.8": "2026-03-21",
    "3.2.2": "2026-06-05",
    "3.3.2": "2026-11-20",
}
NEWEST = "3.3.2"

# Older worlds have the oldest common-compat that we accept: users take it with this package, whatever their Airflow.
COMPAT = ("apache-airflow-providers-common-compat", "2026-03-21")

PARALLEL = ["--numprocesses", "auto", "--dist", "worksteal"]

# What the tests need. The newest world also pins every other extra and the developers' tools.
EXTRAS = ["amazon", "channels", "emulator", "parquet"]


class World(NamedTuple):
    """One Airflow release on one Python."""

    airflow: str
    python: str

    @property
    def name(self) -> str:
        return f"{self.airflow}-py{self.python}"

    @property
    def constraints(self) -> Path:
        return ROOT / "constraints" / f"airflow-{self.airflow}.txt"

    @property
    def venv(self) -> Path:
        return ROOT / ".venvs" / self.name


WORLDS = [
    World("2.11.2", "3.10"),
    World("3.0.6", "3.11"),
    World("3.1.8", "3.12"),
    World("3.2.2", "3.13"),
    World("3.3.2", "3.10"),
    World("3.3.2", "3.13"),
]


class Result(NamedTuple):
    """What became of one world: the last column of the table."""

    world: World
    passed: bool
    outcome: str
    seconds: float


def interpreters(version: str) -> Iterator[str]:
    """Yield the places where a Python of this minor version may be: the PATH, then pyenv's versions."""
    if found := shutil.which(f"python{version}"):
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True))
    yield sys.executable


def find_python(version: str) -> str | None:
    """Return a Python of this minor version that runs: a pyenv shim on the PATH may not."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    for candidate in interpreters(version):
        answer = subprocess.run([candidate, "-c", program], capture_output=True, text=True, check=False)
        if answer.stdout.strip() == version:
            return candidate
    return None


def build(world: World, python: str) -> None:
    """Make the world's environment, unless it is there and nothing that it is made from has changed."""
    sources = world.constraints.read_bytes() + (ROOT / "pyproject.toml").read_bytes() + python.encode()
    stamp, digest = world.venv / "built-from", hashlib.sha256(sources).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return
    subprocess.run([UV, "venv", "--quiet", "--clear", "--python", python, world.venv], check=True)
    package = f"{ROOT}[{','.join(EXTRAS)}]"
    subprocess.run(
        [
            *(UV, "pip", "install", "--quiet", "--python", world.venv, "--constraints", world.constraints),
            *("--editable", package, "--group", f"{ROOT / 'pyproject.toml'}:test", f"apache-airflow=={world.airflow}"),
        ],
        check=True,
    )
    stamp.write_text(digest)


def run_tests(world: World) -> tuple[bool, str]:
    """Run the unit tests and the main job there; return whether they passed and pytest's own summary."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment["PATH"] = f"{world.venv / 'bin'}{os.pathsep}{environment['PATH']}"
    command = [world.venv / "bin" / "python", "-m", "pytest", "-m", "not integration or main_job", *PARALLEL]
    summary = "pytest did not come to its end"
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if match := re.fullmatch(r"=+ (.*\bin [\d.]+s.*?) =+", line.strip()):
                summary = match[1]
    return process.returncode == 0, summary


def test(only: list[str]) -> int:
    worlds = [world for world in WORLDS if not only or world.name.startswith(tuple(only))]
    if not worlds:
        print(f"No world begins with {' or '.join(only)}. There are: {', '.join(w.name for w in WORLDS)}")
        return 2
    results = []
    for world in worlds:
        print(f"\n#### Airflow {world.airflow} on Python {world.python}", flush=True)
        started = time.monotonic()
        if python := find_python(world.python):
            try:
                build(world, python)
                passed, outcome = run_tests(world)
            except subprocess.CalledProcessError as error:
                passed, outcome = False, f"not installed: {error.cmd[1]} exited {error.returncode}"
        else:
            passed, outcome = False, f"no Python {world.python} found on the PATH or in pyenv"
        results.append(Result(world, passed, outcome, time.monotonic() - started))
    print(f"\n{'Airflow':10}{'Python':8}{'':8}{'seconds':>8}  outcome")
    for world, passed, outcome, seconds in results:
        print(f"{world.airflow:10}{world.python:8}{'passed' if passed else 'FAILED':8}{seconds:8.0f}  {outcome}")
    return 0 if all(result.passed for result in results) else 1


def compile_constraints(versions: list[str]) -> int:
    for version in versions or DAYS:
        newest = version == NEWEST
        extras = ["--all-extras"] if newest else [argument for extra in EXTRAS for argument in ("--extra", extra)]
        days = ["--exclude-newer", DAYS[version]]
        if DAYS[version] < COMPAT[1]:
            days += ["--exclude-newer-package", "=".join(COMPAT)]
        subprocess.run(
            [
                *(UV, "pip", "compile", "--quiet", "--universal", "--python-version", "3.10", *days),
                *("--no-header", "--no-annotate", "--no-emit-index-url", "--upgrade", *extras),
                *("--group", "dev" if newest else "test", "--constraints", "-", "pyproject.toml"),
                *("--output-file", f"constraints/airflow-{version}.txt"),
            ],
            cwd=ROOT,
            input=f"apache-airflow=={version}\n".encode(),
            check=True,
        )
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["test", "compile"])
    parser.add_argument("only", nargs="*", help="Airflow versions, or how the names of worlds begin")
    arguments = parser.parse_args()
    sys.exit({"test": test, "compile": compile_constraints}[arguments.action](arguments.only))
