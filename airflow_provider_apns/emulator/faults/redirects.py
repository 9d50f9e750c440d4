"""Redirects, above all to places where the token must not go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_apns.emulator.answers import json_answer
from airflow_provider_apns.emulator.faults.fault import Scene, kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web


def _redirect(name: str, what: str, target: Callable[[Scene], str]) -> None:
    @kind(name, what)
    async def send(scene: Scene) -> web.StreamResponse:
        return json_answer({}, scene.fault.code or 302, {"Location": scene.fault.location or target(scene)})


def _other_name(origin: str) -> str:
    here, there = ("127.0.0.1", "localhost") if "127.0.0.1" in origin else ("localhost", "127.0.0.1")
    return origin.replace(here, there)


_redirect(
    "redirect",
    "a redirect to `location`; without one, to this server's trap under another name",
    lambda scene: f"{_other_name(scene.origin)}/trap",
)
_redirect("redirect-same", "a redirect to the same URL", lambda scene: f"{scene.origin}{scene.request.path_qs}")
_redirect("redirect-loop", "a redirect that never ends", lambda scene: f"{scene.origin}/trap/loop")
_redirect("redirect-http", "a redirect to plain http", lambda scene: f"http://{scene.request.host}/trap")
