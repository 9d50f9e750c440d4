"""Answers from something else, and answers that are almost right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from airflow_provider_apns.emulator.answers import body_of, json_answer, xml_error
from airflow_provider_apns.emulator.datasets import APPLICATION, DELIVERY
from airflow_provider_apns.emulator.faults.fault import Scene, kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_SIGN_IN = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><form>Sign in</form></body></html>\n"
_FAR_AWAY = "2100-01-01T00:00:00.000000Z"
_MEBIBYTE = 1 << 20


@kind("empty", "an empty body with status 200")
async def _empty(scene: Scene) -> web.StreamResponse:
    answer = await scene.genuine()
    return web.Response(status=answer.status, content_type=answer.content_type)


@kind("huge-json", "the right JSON, followed by padding up to `size` bytes (50 MB)")
async def _huge_json(scene: Scene) -> web.StreamResponse:
    is_json = scene.fault.endpoint != "download"
    head = body_of(await scene.genuine())[:-1] if is_json else b'{"status": "SUCCESS"'
    body = _padded(head, scene.fault.size or 50 * _MEBIBYTE)
    return web.Response(body=body, content_type="application/json")


async def _padded(head: bytes, size: int) -> AsyncIterator[bytes]:
    yield head + b', "padding": "'
    for _ in range(size // _MEBIBYTE):
        yield b"x" * _MEBIBYTE
    yield b'"}'


def _replace(name: str, what: str, body: bytes, content_type: str = "application/json") -> None:
    @kind(name, what)
    async def send(scene: Scene) -> web.StreamResponse:
        return web.Response(body=body, content_type=content_type)


_replace("html", "a sign-in page with status 200", _SIGN_IN, "text/html")
_replace("deep-json", "JSON nested 100,000 deep", b'{"a":' * 100_000 + b"1" + b"}" * 100_000)
_replace(
    "nan", "JSON with NaN, which is not valid JSON", b'{"statusUrl": NaN, "status": NaN, "requestedAt": -Infinity}'
)

_SHAPES: dict[str, Any] = {
    "list": [{"statusUrl": "https://example.com/", "status": "SUCCESS"}],
    "null": None,
    "string": "SUCCESS",
    "number": 200,
    "object": {},
    "types": {"statusUrl": 7, "status": ["SUCCESS"], "requestedAt": {}, "downloadDetails": "soon"},
    "nulls": {"statusUrl": None, "status": None, "requestedAt": None, "downloadDetails": None},
    "nested": {"data": {"statusUrl": "https://example.com/", "status": "SUCCESS"}},
    "error": {"error": {"code": "INTERNAL", "message": "something went wrong"}},
}

for _name, _document in _SHAPES.items():
    _replace(f"shape-{_name}", f"JSON of the wrong shape: {_name}", json.dumps(_document).encode())


def _edit(name: str, what: str, *endpoints: str, **changes: Any) -> None:
    @kind(name, what, *endpoints)
    async def send(scene: Scene) -> web.StreamResponse:
        return _edited(await scene.genuine(), **changes)


def _edited(answer: web.Response, **changes: Any) -> web.Response:
    """Change keys of the genuine answer, or remove them with ``None``. A refusal stays as it is."""
    if answer.status != 200:
        return answer
    document = json.loads(body_of(answer)) | changes
    return json_answer({key: value for key, value in document.items() if value is not None})


_edit("bad-timestamp", "an invalid timestamp", "request", "status", requestedAt="the day before yesterday")
_edit("unknown-status", "a status word that Apple does not document", "status", status="ARCHIVED", downloadDetails=None)
_edit("failed", "FAILED, but only this time", "status", status="FAILED", downloadDetails=None)
_edit("no-details", "SUCCESS without a download URL", "status", status="SUCCESS", downloadDetails=None)


@kind("bad-url", "an invalid URL", "request", "status")
async def _bad_url(scene: Scene) -> web.StreamResponse:
    answer = await scene.genuine()
    if scene.fault.endpoint == "request":
        return _edited(answer, statusUrl="http://[::1")
    return _ready(answer, {"dataUrl": "http://[::1", "expiresAt": _FAR_AWAY})


@kind("url-elsewhere", "SUCCESS with a download URL at `location`, or in this server's trap", "status")
async def _url_elsewhere(scene: Scene) -> web.StreamResponse:
    url = scene.fault.location or f"{scene.origin}/trap"
    return _ready(await scene.genuine(), {"dataUrl": url, "expiresAt": _FAR_AWAY})


@kind("url-expired", "SUCCESS with an expired download URL; at `download`, the answer to one", "status", "download")
async def _url_expired(scene: Scene) -> web.StreamResponse:
    if scene.fault.endpoint == "download":
        return xml_error(403, "Request has expired")
    return _ready(await scene.genuine(), _signed(scene, -1))


@kind("url-expiring", "SUCCESS with a download URL that lives only `seconds` (1)", "status")
async def _url_expiring(scene: Scene) -> web.StreamResponse:
    return _ready(await scene.genuine(), _signed(scene, scene.seconds(1)))


@kind("url-undated", "SUCCESS with a download URL without an expiry", "status")
async def _url_undated(scene: Scene) -> web.StreamResponse:
    answer = await scene.genuine()
    details = _signed(scene)
    details.pop("expiresAt", None)
    return _ready(answer, details)


def _ready(answer: web.Response, details: dict[str, str]) -> web.Response:
    return _edited(answer, status="SUCCESS", downloadDetails=details)


def _signed(scene: Scene, seconds: float | None = None) -> dict[str, str]:
    export = scene.apple.find(scene.request.match_info["export_id"])
    return scene.apple.details(export, seconds) if export else {}


def _damage(name: str, what: str, change: Callable[[bytes], bytes], *endpoints: str) -> None:
    @kind(name, what, *endpoints)
    async def send(scene: Scene) -> web.StreamResponse:
        answer = await scene.genuine()
        answer.body = change(body_of(answer))
        return answer


def _with_a_letter(body: bytes) -> str:
    before, after = ("{", '{"caf\u00e9": 1, ') if body.startswith(b"{") else ("\n", ",caf\u00e9\n")
    return body.decode().replace(before, after, 1)


def _without_last_column(csv: bytes) -> bytes:
    return b"".join(line.rpartition(b",")[0] + b"\n" for line in csv.splitlines())


def _of_another_dataset(csv: bytes) -> bytes:
    other = APPLICATION if csv.startswith(b"Push Type") else DELIVERY
    return ",".join(other.columns).encode() + b"\n" + csv.partition(b"\n")[2]


def _without_last_field(csv: bytes) -> bytes:
    return csv.rpartition(b",")[0]


_damage("utf-16", "the right text in UTF-16", lambda body: _with_a_letter(body).encode("utf-16"))
_damage(
    "latin-1",
    "the right text with a letter in Latin-1, which is not UTF-8",
    lambda body: _with_a_letter(body).encode("latin-1"),
)
_damage("wrong-columns", "a CSV without one of the documented columns", _without_last_column, "download")
_damage("wrong-dataset", "the CSV header of another dataset", _of_another_dataset, "download")
_damage("cut-row", "a CSV that ends in the middle of a row, with correct framing", _without_last_field, "download")
_damage(
    "bad-number",
    "a CSV with a count that is not a number",
    lambda csv: _without_last_field(csv) + b",many\n",
    "download",
)
