"""The control interface under ``/_emulator/``, for an emulator that runs in another process."""

from __future__ import annotations

import ipaddress
import json
from typing import TYPE_CHECKING

from aiohttp import web

from airflow_provider_apns.emulator.answers import csv_answer, json_answer
from airflow_provider_apns.emulator.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airflow_provider_apns.emulator.channels import ChannelService


def control(service: ChannelService) -> web.Application:
    """Build the application to serve under ``/_emulator``.

    :param service: the emulator to look at or to steer
    """
    routes = web.RouteTableDef()

    @routes.get("/ledger")
    async def ledger(request: web.Request) -> web.Response:
        return json_answer(service.ledger.as_dict(records="records" in request.query))

    @routes.delete("/ledger")
    async def clear_ledger(request: web.Request) -> web.Response:
        service.ledger.clear()
        return json_answer({})

    @routes.post("/faults")
    async def inject(request: web.Request) -> web.Response:
        document = await request.json()
        items = document if isinstance(document, list) else [document]
        service.inject(*(item if isinstance(item, str) else Fault.from_json(item) for item in items))
        return json_answer({})

    @routes.delete("/faults")
    async def clear_faults(request: web.Request) -> web.Response:
        service.clear_faults()
        return json_answer({})

    @routes.post("/token")
    async def rotate_token(request: web.Request) -> web.Response:
        service.rotate_token(str((await request.json())["token"]))
        return json_answer({})

    @routes.get("/connection")
    async def connection(request: web.Request) -> web.Response:
        return web.Response(text=service.connection_json, content_type="application/json")

    @routes.get("/channels")
    async def channels(request: web.Request) -> web.Response:
        return json_answer(service.channel_ids)

    @routes.post("/channels")
    async def create_channel(request: web.Request) -> web.Response:
        asked = json.loads(await request.read() or b"{}")
        return json_answer({"channel_id": service.create_channel(asked.get("channel_id"))})

    @routes.delete("/channels")
    async def delete_channel(request: web.Request) -> web.Response:
        service.delete_channel(str((await request.json())["channel_id"]))
        return json_answer({})

    @routes.get("/csv")
    async def csv(request: web.Request) -> web.Response:
        asked = request.query
        report = service.csv(asked["dataset"], asked["start"], asked["end"], asked.get("channel_id"))
        return csv_answer(request, report)

    application = web.Application(middlewares=[_guard])
    application.add_routes(routes)
    return application


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
    """Say whether an address is one of this machine alone.

    :param address: the peer's, if it is known
    """
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False
