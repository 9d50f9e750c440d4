"""Every way in which an answer can go wrong, by name.

A kind that replaces the answer leaves the service alone, as a proxy or a firewall in between would. A kind
that damages the answer lets the service do its work first: the export exists, only the client does not learn
of it.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import repeat
from typing import TYPE_CHECKING, Any

from airflow_provider_apns.emulator.body import Body
from airflow_provider_apns.emulator.settings import APPLICATION, DELIVERY
from airflow_provider_apns.emulator.wire import JSON, Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from aiohttp import web

    from airflow_provider_apns.emulator.wire import Scene

    Trick = Callable[[Scene], Awaitable[web.StreamResponse]]

EVERYWHERE = ("request", "status", "download")

_SIGN_IN = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><form>Sign in</form></body></html>\n"
_FAR_AWAY = "2100-01-01T00:00:00.000000Z"
_SIGNED = ("status", "download")
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    :param trick: does it
    :param endpoints: where it can happen
    :param what: what it does, in a few words
    """

    trick: Trick
    endpoints: tuple[str, ...]
    what: str


KINDS: dict[str, Kind] = {}


def kind(name: str, what: str, *endpoints: str) -> Callable[[Trick], Trick]:
    """Register a kind of fault.

    :param name: how it is called in a fault specification
    :param what: what it does, in a few words
    :param endpoints: where it can happen; everywhere if none are given
    """

    def register(trick: Trick) -> Trick:
        KINDS[name] = Kind(trick, endpoints or EVERYWHERE, what)
        return trick

    return register


async def play(scene: Scene) -> web.StreamResponse:
    """Let a fault happen.

    :param scene: the request that it has hit
    """
    if scene.fault.kind in KINDS:
        return await KINDS[scene.fault.kind].trick(scene)
    return await _http_status(scene)


async def _http_status(scene: Scene) -> web.StreamResponse:
    status = int(scene.fault.kind)
    retry = {} if scene.fault.retry_after is None else {"Retry-After": scene.fault.retry_after}
    if scene.fault.endpoint == "download":
        return await scene.send(xml_error(status, HTTPStatus(status).phrase, retry))
    return await scene.send(Answer.of_json({"reason": f"injected {HTTPStatus(status).phrase}"}, status, retry))


# -- the connection ----------------------------------------------------------------------------------------


@kind("reset", "connection reset before any answer")
async def _reset(scene: Scene) -> web.StreamResponse:
    scene.unanswered()
    return scene.reset()


@kind("close", "connection closed before any answer")
async def _close(scene: Scene) -> web.StreamResponse:
    scene.unanswered()
    return scene.close()


@kind("reset-body", "connection reset in the middle of the body")
async def _reset_body(scene: Scene) -> web.StreamResponse:
    _begin_half(scene)
    # The half must have left before the reset discards what is still on its way.
    await asyncio.sleep(0.02)
    return scene.reset()


@kind("stall", "the work is done, but for `seconds` (60) no answer comes")
async def _stall(scene: Scene) -> web.StreamResponse:
    answer = scene.genuine()
    try:
        await scene.pause(60)
    except asyncio.CancelledError:  # the client has gone
        scene.unanswered()
        raise
    return await scene.send(answer)


@kind("stall-body", "half of the body, then nothing for `seconds` (60), then the connection ends")
async def _stall_body(scene: Scene) -> web.StreamResponse:
    _begin_half(scene)
    await scene.pause(60)
    return scene.close()


@kind("trickle", "one byte of the body every `seconds` (1)")
async def _trickle(scene: Scene) -> web.StreamResponse:
    answer = scene.genuine()
    headers, data, length = scene.encoded(answer)
    scene.begin(answer.status, {**headers, "Content-Length": str(length), "Connection": "close"})
    for byte in data:
        scene.write(bytes([byte]))
        await scene.pause(1)
    return scene.close()


@kind("cut-length", "body cut short, against its Content-Length")
async def _cut_length(scene: Scene) -> web.StreamResponse:
    _begin_half(scene)
    return scene.close()


@kind("cut-close", "body cut short without Content-Length: the connection's end is the only mark")
async def _cut_close(scene: Scene) -> web.StreamResponse:
    answer = scene.genuine()
    headers, data, _ = scene.encoded(answer)
    scene.begin(answer.status, {**headers, "Connection": "close"}, data[: len(data) // 2])
    return scene.close()


@kind("cut-chunked", "chunked body without its last chunk")
async def _cut_chunked(scene: Scene) -> web.StreamResponse:
    answer = scene.genuine()
    headers, data, _ = scene.encoded(answer)
    half = data[: len(data) // 2]
    scene.begin(answer.status, {**headers, "Transfer-Encoding": "chunked"}, b"%x\r\n%b\r\n" % (len(half), half))
    return scene.close()


@kind("garbage", "bytes that are no HTTP")
async def _garbage(scene: Scene) -> web.StreamResponse:
    scene.unanswered()
    scene.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
    return scene.close()


@kind("bad-header", "the right answer with a header line that is none")
async def _bad_header(scene: Scene) -> web.StreamResponse:
    answer = scene.genuine()
    headers, data, length = scene.encoded(answer)
    headers = {**headers, "Content-Length": f"{length}\r\nthis line is no header", "Connection": "close"}
    scene.begin(answer.status, headers, data)
    return scene.close()


def _begin_half(scene: Scene) -> None:
    answer = scene.genuine()
    headers, data, length = scene.encoded(answer)
    scene.begin(answer.status, {**headers, "Content-Length": str(length)}, data[: len(data) // 2])


# -- compression -------------------------------------------------------------------------------------------


@kind("broken-gzip", "gzip that is damaged in the middle")
async def _broken_gzip(scene: Scene) -> web.StreamResponse:
    answer = scene.genuine()
    data = bytearray(answer.body.gzip())
    middle = len(data) // 2
    data[middle : middle + 8] = bytes(byte ^ 0xFF for byte in data[middle : middle + 8])
    return await scene.send_packed(bytes(data), answer)


@kind("cut-gzip", "gzip that ends early, in correct framing")
async def _cut_gzip(scene: Scene) -> web.StreamResponse:
    answer = scene.genuine()
    data = answer.body.gzip()
    return await scene.send_packed(data[: len(data) * 2 // 3], answer)


@kind("gzip-unasked", "gzip whether it was asked for or not; whole and labelled")
async def _gzip_unasked(scene: Scene) -> web.StreamResponse:
    answer = scene.genuine()
    return await scene.send_packed(answer.body.gzip(), answer)


@kind("gzip-unlabelled", "gzip without the header that says so")
async def _gzip_unlabelled(scene: Scene) -> web.StreamResponse:
    answer = scene.genuine()
    return await scene.send_packed(answer.body.gzip(), answer, label=False)


@kind("bomb", "a body that decompresses to `size` bytes (1 GiB)")
async def _bomb(scene: Scene) -> web.StreamResponse:
    answer = scene.genuine()
    lines = bytes(answer.body).splitlines(keepends=True)
    filler = lines[-1] if scene.fault.endpoint == "download" else b" "
    block = filler * (_MEBIBYTE // len(filler))
    repeats = (scene.fault.size or 1024 * _MEBIBYTE) // len(block)
    return await scene.stream(answer, {"Content-Encoding": "gzip"}, _explosive(bytes(answer.body), block, repeats))


def _explosive(head: bytes, block: bytes, repeats: int) -> Iterator[bytes]:
    # No checksum at the end: whoever unpacks that far has been hit already.
    compressor = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    yield compressor.compress(head) + compressor.flush(zlib.Z_FULL_FLUSH)
    packed = compressor.compress(block) + compressor.flush(zlib.Z_FULL_FLUSH)
    yield from repeat(packed, repeats)


# -- answers of something else -----------------------------------------------------------------------------


@kind("html", "a sign-in page with status 200")
async def _html(scene: Scene) -> web.StreamResponse:
    return await scene.send(_ok(_SIGN_IN, "text/html; charset=utf-8"))


@kind("empty", "an empty body with status 200")
async def _empty(scene: Scene) -> web.StreamResponse:
    return await scene.send(replace(scene.genuine(), body=Body(b""), compressible=False))


@kind("deep-json", "JSON nested 100,000 deep")
async def _deep_json(scene: Scene) -> web.StreamResponse:
    return await scene.send(_ok(b'{"a":' * 100_000 + b"1" + b"}" * 100_000))


@kind("huge-json", "the right JSON, followed by padding up to `size` bytes (50 MB)")
async def _huge_json(scene: Scene) -> web.StreamResponse:
    head = bytes(scene.genuine().body)[:-1] if scene.fault.endpoint != "download" else b'{"status": "SUCCESS"'
    repeats = (scene.fault.size or 50 * _MEBIBYTE) // _MEBIBYTE
    return await scene.send(_ok(Body(head + b', "padding": "', b"x" * _MEBIBYTE, repeats, b'"}')))


@kind("nan", "JSON with NaN, which is no JSON")
async def _nan(scene: Scene) -> web.StreamResponse:
    return await scene.send(_ok(b'{"statusUrl": NaN, "status": NaN, "requestedAt": -Infinity}'))


@kind("utf-16", "the right text in UTF-16")
async def _utf_16(scene: Scene) -> web.StreamResponse:
    return await _recoded(scene, "utf-16")


@kind("latin-1", "the right text with a letter in Latin-1, which is no UTF-8")
async def _latin_1(scene: Scene) -> web.StreamResponse:
    return await _recoded(scene, "latin-1")


async def _recoded(scene: Scene, charset: str) -> web.StreamResponse:
    answer = scene.genuine()
    text = bytes(answer.body).decode()
    before, after = ("{", '{"caf\u00e9": 1, ') if text.startswith("{") else ("\n", ",caf\u00e9\n")
    return await scene.send(replace(answer, body=Body(text.replace(before, after, 1).encode(charset))))


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


def _shape(name: str, document: Any) -> None:
    @kind(f"shape-{name}", f"JSON of the wrong shape: {name}")
    async def _send(scene: Scene) -> web.StreamResponse:
        return await scene.send(Answer.of_json(document))


for _name, _document in _SHAPES.items():
    _shape(_name, _document)


# -- answers that are nearly right -------------------------------------------------------------------------


@kind("bad-timestamp", "a timestamp that is none", "request", "status")
async def _bad_timestamp(scene: Scene) -> web.StreamResponse:
    return await _edited(scene, requestedAt="the day before yesterday")


@kind("bad-url", "a URL that is none", "request", "status")
async def _bad_url(scene: Scene) -> web.StreamResponse:
    if scene.fault.endpoint == "request":
        return await _edited(scene, statusUrl="http://[::1")
    return await _edited(scene, status="SUCCESS", downloadDetails={"dataUrl": "http://[::1", "expiresAt": _FAR_AWAY})


@kind("unknown-status", "a status word that Apple does not document", "status")
async def _unknown_status(scene: Scene) -> web.StreamResponse:
    return await _edited(scene, status="ARCHIVED", downloadDetails=None)


@kind("failed", "FAILED, if only this time", "status")
async def _failed(scene: Scene) -> web.StreamResponse:
    return await _edited(scene, status="FAILED", downloadDetails=None)


@kind("no-details", "SUCCESS without a download URL", "status")
async def _no_details(scene: Scene) -> web.StreamResponse:
    return await _edited(scene, status="SUCCESS", downloadDetails=None)


@kind("url-expired", "SUCCESS with a download URL that has expired; at the download, the answer to one", *_SIGNED)
async def _url_expired(scene: Scene) -> web.StreamResponse:
    if scene.fault.endpoint == "download":
        return await scene.send(xml_error(403, "Request has expired"))
    return await _edited(scene, status="SUCCESS", downloadDetails=_signed(scene, -1))


@kind("url-expiring", "SUCCESS with a download URL that lives for `seconds` (1) only", "status")
async def _url_expiring(scene: Scene) -> web.StreamResponse:
    seconds = 1 if scene.fault.seconds is None else scene.fault.seconds
    return await _edited(scene, status="SUCCESS", downloadDetails=_signed(scene, seconds))


@kind("url-undated", "SUCCESS with a download URL without an expiry", "status")
async def _url_undated(scene: Scene) -> web.StreamResponse:
    details = _signed(scene, None)
    details.pop("expiresAt", None)
    return await _edited(scene, status="SUCCESS", downloadDetails=details)


@kind("url-elsewhere", "SUCCESS with a download URL at `location`, or in this server's trap", "status")
async def _url_elsewhere(scene: Scene) -> web.StreamResponse:
    url = scene.fault.location or f"{scene.origin}/trap"
    return await _edited(scene, status="SUCCESS", downloadDetails={"dataUrl": url, "expiresAt": _FAR_AWAY})


async def _edited(scene: Scene, **changes: Any) -> web.StreamResponse:
    """Change keys of the genuine answer, or take them out with None; a refusal stays as it is."""
    answer = scene.genuine()
    if answer.status != 200:
        return await scene.send(answer)
    document = json.loads(bytes(answer.body)) | changes
    return await scene.send(Answer.of_json({key: value for key, value in document.items() if value is not None}))


def _signed(scene: Scene, seconds: float | None) -> dict[str, str]:
    scene.genuine()
    return scene.apple.details(scene.export, seconds) if scene.export else {}


@kind("wrong-columns", "a CSV without one of the documented columns", "download")
async def _wrong_columns(scene: Scene) -> web.StreamResponse:
    answer = scene.genuine()
    lines = [line.rpartition(b",")[0] + b"\n" for line in bytes(answer.body).splitlines()]
    return await scene.send(replace(answer, body=Body(b"".join(lines))))


@kind("wrong-dataset", "the CSV header of another dataset", "download")
async def _wrong_dataset(scene: Scene) -> web.StreamResponse:
    answer = scene.genuine()
    header, _, rows = bytes(answer.body).partition(b"\n")
    other = APPLICATION if header.startswith(b"Push Type") else DELIVERY
    return await scene.send(replace(answer, body=Body(",".join(other.columns).encode() + b"\n" + rows)))


@kind("cut-row", "a CSV that ends in the middle of a row, in correct framing", "download")
async def _cut_row(scene: Scene) -> web.StreamResponse:
    answer = scene.genuine()
    return await scene.send(replace(answer, body=Body(bytes(answer.body).rpartition(b",")[0])))


@kind("bad-number", "a CSV with a count that is no number", "download")
async def _bad_number(scene: Scene) -> web.StreamResponse:
    answer = scene.genuine()
    return await scene.send(replace(answer, body=Body(bytes(answer.body).rpartition(b",")[0] + b",many\n")))


# -- redirects ---------------------------------------------------------------------------------------------


@kind("redirect", "a redirect to `location`; without one, to this server's trap under another name")
async def _redirect(scene: Scene) -> web.StreamResponse:
    return await _led_to(scene, scene.fault.location or f"{_other_name(scene.origin)}/trap")


@kind("redirect-same", "a redirect to the same URL")
async def _redirect_same(scene: Scene) -> web.StreamResponse:
    return await _led_to(scene, f"{scene.origin}{scene.request.path_qs}")


@kind("redirect-loop", "a redirect that never ends")
async def _redirect_loop(scene: Scene) -> web.StreamResponse:
    return await _led_to(scene, f"{scene.origin}/trap/loop")


@kind("redirect-http", "a redirect to plain http")
async def _redirect_http(scene: Scene) -> web.StreamResponse:
    return await _led_to(scene, f"http://{scene.request.host}/trap")


async def _led_to(scene: Scene, location: str) -> web.StreamResponse:
    return await scene.send(Answer.of_json({}, scene.fault.code or 302, {"Location": location}))


def _other_name(origin: str) -> str:
    return (
        origin.replace("127.0.0.1", "localhost") if "127.0.0.1" in origin else origin.replace("localhost", "127.0.0.1")
    )


# -- building answers --------------------------------------------------------------------------------------


def xml_error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Build an error as object stores write it.

    :param status: the HTTP status
    :param message: what is wrong
    :param headers: further headers
    """
    code = "AccessDenied" if status == 403 else HTTPStatus(status).phrase.replace(" ", "")
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{error}'
    return Answer(status, Body(text.encode()), "application/xml", headers or {})


def _ok(body: bytes | Body, content_type: str = JSON) -> Answer:
    return Answer(200, body if isinstance(body, Body) else Body(body), content_type)
