"""The control interface under ``/_emulator/``, for an emulator in another process."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from airflow_provider_apns.emulator.answers import csv_answer, json_answer
from airflow_provider_apns.emulator.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from airflow_provider_apns.emulator.channels import ChannelService

    Command = Callable[[Mapping[str, str], Any], object]


def control(service: ChannelService) -> web.Application:
    """Build the application that is served under ``/_emulator``."""
    # Each command takes the query and the JSON body.
    commands: dict[tuple[str, str], Command] = {
        ("GET", "/ledger"): lambda query, body: service.ledger.as_dict(records="records" in query),
        ("DELETE", "/ledger"): lambda query, body: service.ledger.clear(),
        ("POST", "/faults"): lambda query, body: service.inject(*_faults(body)),
        ("DELETE", "/faults"): lambda query, body: service.clear_faults(),
        ("POST", "/token"): lambda query, body: service.rotate_token(str(body["token"])),
        ("GET", "/connection"): lambda query, body: json.loads(service.connection_json),
        ("GET", "/channels"): lambda query, body: service.channel_ids,
        ("POST", "/channels"): lambda query, body: {"channel_id": service.create_channel(body.get("channel_id"))},
        ("DELETE", "/channels"): lambda query, body: service.delete_channel(str(body["channel_id"])),
    }

    async def csv(request: web.Request) -> web.Response:
        asked = request.query
        report = service.csv(asked["dataset"], asked["start"], asked["end"], asked.get("channel_id"))
        return csv_answer(request, report)

    application = web.Application(middlewares=[_guard])
    application.add_routes([web.get("/csv", csv)])
    application.add_routes([web.route(*where, _handler(command)) for where, command in commands.items()])
    return application


def _handler(command: Command) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        result = command(request.query, json.loads(await request.read() or b"{}"))
        return json_answer({} if result is None else result)

    return handle


def _faults(body: Any) -> list[Fault | str]:
    items = body if isinstance(body, list) else [body]
    return [item if isinstance(item, str) else Fault.from_json(item) for item in items]


@web.middleware
async def _guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    if not is_loopback(request.remote):
        return json_answer({"reason": "for this machine only"}, 403)
    try:
        return await handler(request)
    except (ValueError, KeyError, TypeError) as error:
        return json_answer({"reason": f"{type(error).__name__}: {error}"}, 400)


def is_loopback(address: str | None) -> bool:
    """Whether an address can only be this machine's."""
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False
