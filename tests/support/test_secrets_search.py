"""The search finds what was planted, in every form: a search that finds nothing proves nothing by itself."""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.fernet import Fernet

from tests.support.secrets_search import find_secrets

SECRET = 'https://storage.example/data.csv?sig="a+b/c=="&key=æ'
KEY = Fernet.generate_key().decode()

PLANTED = {
    "plain": SECRET.encode(),
    "url-encoded": quote(SECRET, safe="").encode(),
    "json": json.dumps({"url": SECRET}).encode(),
    "json in json": json.dumps(json.dumps({"url": SECRET})).encode(),
    "base64, first alignment": base64.b64encode(SECRET.encode()),
    "base64, second alignment": base64.b64encode(b"x" + SECRET.encode()),
    "base64, third alignment": base64.urlsafe_b64encode(b"xy" + SECRET.encode() + b"zzzz"),
    "gzip": gzip.compress(b"before " + SECRET.encode()),
    "gzip, cut off": gzip.compress(SECRET.encode() + bytes(range(256)) * 9)[:-40],
    "zlib": zlib.compress(SECRET.encode()),
    "base64 of gzip": b'{"data": "%s"}' % base64.b64encode(gzip.compress(SECRET.encode())),
    "fernet": b"kwargs=" + Fernet(KEY).encrypt(SECRET.encode()),
    "fernet of zlib": Fernet(KEY).encrypt(zlib.compress(SECRET.encode())),
}


@pytest.mark.parametrize("form", PLANTED)
def test_finds_it_in_a_file(tmp_path: Path, form: str) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "attempt=1.log").write_bytes(PLANTED[form])
    found = find_secrets(tmp_path, {"url": SECRET}, fernet_key=KEY)
    assert {(hit.needle, hit.place.split(" > ")[0]) for hit in found} == {("url", "logs/attempt=1.log")}
    assert SECRET not in repr(found)


@pytest.mark.parametrize("form", PLANTED)
@pytest.mark.parametrize("column_type", ["TEXT", "BLOB"])
def test_finds_it_in_a_database(tmp_path: Path, form: str, column_type: str) -> None:
    value: bytes | str = PLANTED[form]
    if column_type == "TEXT" and not form.startswith(("gzip", "zlib")):
        value = PLANTED[form].decode()
    with closing(sqlite3.connect(tmp_path / "airflow.db")) as database, database:
        database.execute(f'CREATE TABLE "trigger" (id INTEGER, kwargs {column_type})')
        database.execute('INSERT INTO "trigger" VALUES (1, ?)', [value])
    places = {hit.place.split(" > ")[0] for hit in find_secrets(tmp_path, {"url": SECRET}, fernet_key=KEY)}
    assert "airflow.db:trigger.kwargs" in places


def test_finds_a_deleted_row(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "airflow.db")) as database:
        database.execute("PRAGMA secure_delete = OFF")
        database.execute('CREATE TABLE "trigger" (kwargs TEXT)')
        database.execute('INSERT INTO "trigger" VALUES (?)', [PLANTED["fernet"].decode()])
        database.commit()
        database.execute('DELETE FROM "trigger"')
        database.commit()
    assert [hit.place for hit in find_secrets(tmp_path, {"url": SECRET}, fernet_key=KEY)] == ["airflow.db > fernet"]


def test_its_own_connection_may_hold_it(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "airflow.db")) as database, database:
        database.execute("CREATE TABLE connection (conn_id TEXT, password TEXT)")
        database.execute("INSERT INTO connection VALUES ('apns_default', ?)", [PLANTED["fernet"].decode()])
    assert find_secrets(tmp_path, {"url": SECRET}, fernet_key=KEY) == []


def test_finds_it_in_a_file_name(tmp_path: Path) -> None:
    (tmp_path / "a-token-in-a-file-name.log").touch()
    assert find_secrets(tmp_path, {"token": "a-token-in-a-file-name"}) != []


def test_finds_nothing_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"status https://storage.example/data.csv " + Fernet(KEY).encrypt(b"harmless"))
    assert find_secrets(tmp_path, {"url": SECRET}, fernet_key=KEY) == []


def test_refuses_a_needle_that_chance_would_find(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too short"):
        find_secrets(tmp_path, {"token": "abc"})
