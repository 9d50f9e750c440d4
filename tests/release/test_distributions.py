"""What `make build` has put into dist/: it holds what it should and nothing else, and works when it is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import airflow_provider_apns

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
CONSTRAINTS = ROOT / "constraints" / "airflow-3.3.2.txt"
VERSION = airflow_provider_apns.__version__
PACKAGE = {
    str(path.relative_to(ROOT))
    for path in (ROOT / "airflow_provider_apns").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
}

USERS_TEST = """
from datetime import date, timedelta

from airflow_provider_apns.transfers.apns_to_object_storage import ApnsToObjectStorageOperator


def test_report_arrives(apns_emulator, tmp_path):
    day = date.today() - timedelta(days=2)
    path = f"file://{tmp_path}/report.csv"
    task = ApnsToObjectStorageOperator(
        task_id="metrics", dataset="application", first_day=day, last_day=day, path=path, deferrable=False
    )
    assert task.execute({})["rows"] == 1
"""

PARQUET_TEST = USERS_TEST.replace("csv", "parquet")

CHANNELS_TEST = """
import pytest

from airflow_provider_apns.hooks.apns import ApnsHook


@pytest.mark.apns_emulator(channels_port=0)
def test_channels_are_listed(apns_emulator):
    assert sorted(ApnsHook().list_channels()) == sorted(apns_emulator.channel_ids)
"""

REFUSED_TEST = f"""
import pytest

from airflow_provider_apns.hooks.apns import ApnsHook
{PARQUET_TEST}
report_arrives = test_report_arrives


def test_report_arrives(apns_emulator, tmp_path):
    with pytest.raises(Exception, match="needs pyarrow: pip install"):
        report_arrives(apns_emulator, tmp_path)
    assert apns_emulator.ledger.posts == 0


def test_channels_are_listed(apns_emulator):
    with pytest.raises(Exception, match="Listing channels needs a package that is not installed"):
        ApnsHook().list_channels()
"""


def store_test(scheme: str, library: str, connection: str) -> str:
    return f"""
from airflow.sdk import ObjectStoragePath


def test_store(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_MY_STORE", {connection!r})
    assert type(ObjectStoragePath("{scheme}://my_store@bucket/key").fs).__module__.split(".")[0] == "{library}"
"""


AWS = '{"conn_type": "aws", "login": "AKIATESTTESTTESTTEST", "password": "made-up"}'
GOOGLE = '{"conn_type": "google_cloud_platform", "extra": {"is_anonymous": true}}'
AZURE = (
    '{"conn_type": "wasb", "extra": {"connection_string": '
    '"DefaultEndpointsProtocol=https;AccountName=account;AccountKey=bWFkZS11cA==;EndpointSuffix=core.windows.net"}}'
)


@pytest.fixture(scope="module")
def wheel() -> Path:
    return ROOT / "dist" / f"airflow_provider_apns-{VERSION}-py3-none-any.whl"


def test_nothing_else_was_built(wheel: Path) -> None:
    sdist = f"airflow_provider_apns-{VERSION}.tar.gz"
    assert {path.name for path in wheel.parent.iterdir()} - {".gitignore"} == {wheel.name, sdist}


def test_wheel_holds_the_package(wheel: Path) -> None:
    info = f"airflow_provider_apns-{VERSION}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    assert names == PACKAGE | {
        f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    }
    assert "provider_info = airflow_provider_apns:get_provider_info" in entry_points
    assert "airflow_provider_apns = airflow_provider_apns.emulator.pytest_plugin" in entry_points


def test_sdist_holds_the_sources(wheel: Path) -> None:
    top = f"airflow_provider_apns-{VERSION}"
    with tarfile.open(wheel.parent / f"{top}.tar.gz") as archive:
        names = {member.name.removeprefix(f"{top}/") for member in archive.getmembers() if member.isfile()}
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    sources = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = ("airflow_provider_apns/", "docs/", "example_dags/", "tests/")
    files = {"CHANGELOG.md", "LICENSE", "README.md", "mkdocs.yml", "pyproject.toml"}
    assert names >= PACKAGE
    assert files <= names
    assert names - PACKAGE - files - {"PKG-INFO", ".gitignore"} <= {
        name for name in sources if name.startswith(folders)
    }


def test_no_path_of_this_machine(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            assert not re.search(rb"/(work|root|home)/", archive.read(name)), name


@pytest.mark.parametrize(
    ("extra", "test"),
    [
        pytest.param(None, USERS_TEST, id="none"),
        pytest.param(None, REFUSED_TEST, id="none, and what needs one is asked for"),
        pytest.param("parquet", PARQUET_TEST, id="parquet"),
        pytest.param("channels,emulator", CHANNELS_TEST, id="channels and emulator"),
        pytest.param("amazon", store_test("s3", "s3fs", AWS), id="amazon"),
        pytest.param("google", store_test("gs", "gcsfs", GOOGLE), id="google"),
        pytest.param("azure", store_test("abfs", "adlfs", AZURE), id="azure"),
    ],
)
def test_installed_alone(wheel: Path, tmp_path: Path, extra: str | None, test: str) -> None:
    """In an environment with only the wheel, Airflow and pytest, a user's test of ten lines passes."""
    venv = tmp_path / "venv"
    package = f"{wheel}[{extra}]" if extra else str(wheel)
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, venv], check=True)
    install = [UV, "pip", "install", "--quiet", "--python", venv, "--constraints", CONSTRAINTS]
    subprocess.run([*install, package, "pytest"], check=True)
    if test is REFUSED_TEST:  # Airflow may bring them, too.
        subprocess.run([UV, "pip", "uninstall", "--quiet", "--python", venv, "pyarrow", "h2"], check=True)

    project = tmp_path / "project"
    project.mkdir()
    (project / "test_mine.py").write_text(test)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    outcome = subprocess.run(
        [venv / "bin" / "python", "-m", "pytest", "-q", "."],
        cwd=project,
        env=env | {"AIRFLOW_HOME": str(tmp_path / "airflow")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
