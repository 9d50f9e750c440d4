"""The emulator in a process of its own, with exports to wait for already made.

Prints one line of JSON when it listens, and ends when its standard input does. The same exports can be watched as runs
of dbt Cloud, so that dbt's trigger polls the same server as ours.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from datetime import timedelta
from typing import Any

from aiohttp import web

from airflow_provider_apns.emulator.server import Service, utc_now
from airflow_provider_apns.emulator.settings import Settings, find_dataset

_DBT_RUN = re.compile(r"/api/v2/accounts/[^/]+/runs/([^/]+)/")
_DBT_RUNNING, _DBT_SUCCESS = 3, 10


class Server(Service):
    """Apple, and dbt Cloud as far as its trigger looks."""

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        matched = _DBT_RUN.fullmatch(request.path)
        export = self.apple.find(matched[1]) if matched else None
        if export is None:
            return await super()._handle(request)
        export.polls += 1
        done = self.apple.described(export)["status"] == "SUCCESS"
        return web.json_response({"data": {"status": _DBT_SUCCESS if done else _DBT_RUNNING}})

    def request_exports(self, dataset: str, count: int) -> list[str]:
        """Make exports as a client would have, and return their status URLs."""
        apple, today = self.apple, utc_now().date()
        first, last = ((today - timedelta(days=days)).isoformat() for days in (7, 1))
        body = {"startDate": first, "endDate": last, "dataDownloadUrlExpiresInMinutes": 60}
        channels = [{"channelId": channel_id} for channel_id in apple.channel_ids] if dataset == "channel" else [{}]
        urls = []
        for channel in channels[:count]:
            export = apple.request(
                apple.token,
                apple.settings.team_id,
                apple.settings.app_id,
                find_dataset(dataset).segment,
                "application/json",
                json.dumps({**body, **channel}).encode(),
            )
            urls.append(f"{apple.status_origin}/v1/dataExports/apns/status/{export.id}")
        return urls


async def serve(*, dataset: str = "channel", exports: int = 0, **options: Any) -> None:
    server = Server(Settings.of(**options))
    await server.start()
    announcement = {
        "url": server.url,
        "ca": str(server.ca_path or ""),
        "connection": server.connection,
        "channel_ids": server.apple.channel_ids,
        "status_urls": server.request_exports(dataset, exports),
    }
    print(json.dumps(announcement), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(**json.loads(sys.argv[1])))
