"""The control interface under ``/_emulator/``, for an emulator that runs in another process.

========  ==============  =====================================================================================
method    path            what it does
========  ==============  =====================================================================================
`GET`     ``ledger``      the counts; with ``?records`` every request too
`DELETE`  ``ledger``      forgets them
`POST`    ``faults``      injects a fault or a list of them, each in text form or as an object
`DELETE`  ``faults``      lets everything go well again
`POST`    ``token``       replaces the token: ``{"token": "..."}``
`GET`     ``connection``  the Airflow connection that leads here
`GET`     ``channels``    the identifiers of all channels
`GET`     ``csv``         the CSV that is served for ``?dataset=&start=&end=&channel_id=``
========  ==============  =====================================================================================
"""

from __future__ import annotations

import ipaddress
import json
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow_provider_apns.emulator.data import Query
from airflow_provider_apns.emulator.faults import Fault
from airflow_provider_apns.emulator.settings import find_dataset
from airflow_provider_apns.emulator.wire import Answer, send

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web

    from airflow_provider_apns.emulator.server import Service

    Control = Callable[[Service, Mapping[str, str], Any], Answer]

_DONE = Answer.of_json({})


async def control(service: Service, request: web.BaseRequest) -> web.StreamResponse:
    """Answer a request to the control interface.

    :param service: the emulator to look at or to steer
    :param request: the request
    """
    return await send(request, _answer(service, request, await request.read()))


def _answer(service: Service, request: web.BaseRequest, body: bytes) -> Answer:
    if not is_loopback(request.remote):
        return Answer.of_json({"reason": "for this machine only"}, 403)
    action = _CONTROLS.get((request.method, request.path.removeprefix("/_emulator/")))
    if action is None:
        return Answer.of_json({"reason": "no such control"}, 404)
    try:
        return action(service, request.query, json.loads(body or b"null"))
    except (ValueError, KeyError, TypeError) as error:
        return Answer.of_json({"reason": f"{type(error).__name__}: {error}"}, 400)


def is_loopback(address: str | None) -> bool:
    """Say whether an address is one of this machine alone.

    :param address: the peer's, if it is known
    """
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def _ledger(service: Service, query: Mapping[str, str], document: Any) -> Answer:
    return Answer.of_json(service.ledger.as_dict(records="records" in query))


def _clear_ledger(service: Service, query: Mapping[str, str], document: Any) -> Answer:
    service.ledger.clear()
    return _DONE


def _inject(service: Service, query: Mapping[str, str], document: Any) -> Answer:
    items = document if isinstance(document, list) else [document]
    for fault in [Fault.parse(item) if isinstance(item, str) else Fault.from_json(item) for item in items]:
        service.faults.inject(fault)
    return _DONE


def _clear_faults(service: Service, query: Mapping[str, str], document: Any) -> Answer:
    service.faults.clear()
    return _DONE


def _rotate(service: Service, query: Mapping[str, str], document: Any) -> Answer:
    service.rotate_token(str(document["token"]))
    return _DONE


def _connection(service: Service, query: Mapping[str, str], document: Any) -> Answer:
    return Answer.of_json(service.connection)


def _channels(service: Service, query: Mapping[str, str], document: Any) -> Answer:
    return Answer.of_json(service.apple.channel_ids)


def _csv(service: Service, query: Mapping[str, str], document: Any) -> Answer:
    days = date.fromisoformat(query["start"]), date.fromisoformat(query["end"])
    asked = Query(find_dataset(query["dataset"]), *days, query.get("channel_id"))
    return Answer(200, service.apple.expected(asked), "text/csv", compressible=True)


_CONTROLS: dict[tuple[str, str], Control] = {
    ("GET", "ledger"): _ledger,
    ("DELETE", "ledger"): _clear_ledger,
    ("POST", "faults"): _inject,
    ("DELETE", "faults"): _clear_faults,
    ("POST", "token"): _rotate,
    ("GET", "connection"): _connection,
    ("GET", "channels"): _channels,
    ("GET", "csv"): _csv,
}
