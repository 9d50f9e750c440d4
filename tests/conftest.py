"""Nothing here touches the user's Airflow: the tests have an AIRFLOW_HOME of their own, gone when they end."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

# Airflow reads its configuration when it is first imported, so this comes before any import of it. Variables such as
# AIRFLOW_CONN_APNS_DEFAULT or AIRFLOW__SECRETS__BACKEND in the user's shell would leak into the tests as well.
for name in [name for name in os.environ if name.startswith("AIRFLOW_")]:
    del os.environ[name]
AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="apns-tests-"))
atexit.register(shutil.rmtree, AIRFLOW_HOME, ignore_errors=True)
(AIRFLOW_HOME / "dags").mkdir()
os.environ.update(
    AIRFLOW_HOME=str(AIRFLOW_HOME),
    AIRFLOW__CORE__DAGS_FOLDER=str(AIRFLOW_HOME / "dags"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{AIRFLOW_HOME / 'airflow.db'}",
)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name what may be made anew each time (gzip with its time, keys): a test has the same name in each process."""
    is_long = (isinstance(val, bytes) and len(val) > 16) or (isinstance(val, str) and "\n" in val and len(val) > 100)
    return argname if is_long else None  # not its length: that of gzip in gzip changes with the time, too


@pytest.hookimpl(wrapper=True)
def pytest_assertrepr_compare() -> Generator[None, object, object]:
    """
    Tell what differs as briefly on a CI machine as elsewhere.

    Where one of these variables is set, pytest compares line by line, without a limit: hours for objects of megabytes.
    """
    with pytest.MonkeyPatch.context() as environment:
        for variable in ("CI", "BUILD_NUMBER"):
            environment.delenv(variable, raising=False)
        return (yield)


@pytest.fixture
def airflow_home() -> Path:
    """The AIRFLOW_HOME of this test run."""
    return AIRFLOW_HOME


@pytest.fixture(scope="session")
def airflow_db() -> Path:
    """An initialised metadata database in this run's AIRFLOW_HOME; everything that uses dag.test() needs it."""
    migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
    outcome = subprocess.run(migrate, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return AIRFLOW_HOME / "airflow.db"
