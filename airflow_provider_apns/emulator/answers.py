"""Builds answers, for the endpoints and for the faults."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

_TAKES_GZIP = re.compile(r"(?:^|[,\s])(?:gzip|\*)\s*(?:,|$|;\s*q=(?!0(?:\.0*)?\s*(?:,|$)))", re.IGNORECASE)


def json_answer(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Build a JSON answer."""
    body = json.dumps(document).encode()
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def xml_error(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Build an error as object stores write it."""
    code = "AccessDenied" if status == 403 else HTTPStatus(status).phrase.replace(" ", "")
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{error}'.encode()
    return web.Response(body=body, status=status, headers=headers, content_type="application/xml")


def csv_answer(request: web.Request, csv: bytes) -> web.Response:
    """Build a CSV answer, compressed if the client accepts that."""
    answer = web.Response(body=csv, content_type="text/csv", zlib_executor_size=len(csv) + 1)
    if _TAKES_GZIP.search(request.headers.get("Accept-Encoding", "")):
        answer.enable_compression(web.ContentCoding.gzip)
    return answer


def body_of(answer: web.Response) -> bytes:
    """Return an answer's body, complete and uncompressed."""
    if not isinstance(answer.body, bytes):
        raise TypeError(f"not a body of bytes: {answer.body!r}")
    return answer.body
