"""Apple's second service, which lists an app's channels over HTTP/2 and TLS. hypercorn serves it on its own port."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from airflow_provider_apns.emulator.apple import Refusal
from airflow_provider_apns.emulator.faults.fault import LISTING, REASONS
from airflow_provider_apns.emulator.service import Service
from airflow_provider_apns.emulator.tls import SERVER_FILE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from airflow_provider_apns.emulator.apple.keys import AuthenticationKey

    Message = dict[str, Any]

_PATH = re.compile(r"/1/apps/([^/]+)/all-channels")


class ChannelService(Service):
    """A service whose channels come and go. It lists them if ``channels_port`` is set."""

    channels_port: int | None = None
    """The port that lists channels. It stays the same while the emulator is stopped."""

    @cached_property
    def key(self) -> AuthenticationKey:
        """The key for listing channels."""
        from airflow_provider_apns.emulator.apple.keys import AuthenticationKey

        return AuthenticationKey(self.apple.settings.seed, self.team_id)

    @property
    def channels_url(self) -> str:
        """The base URL of the service that lists channels."""
        return f"https://{self.apple.settings.host}:{self.channels_port}"

    def _extra(self) -> dict[str, str]:
        if self.apple.settings.channels_port is None:
            return super()._extra()
        keys = {"key_id": self.key.id, "private_key": self.key.pem, "channels_host": self.channels_url}
        return super()._extra() | keys

    def create_channel(self, channel_id: str | None = None) -> str:
        """Create a channel, and return its identifier.

        :param channel_id: a deleted channel to bring back; if it is missing, the channel is new
        """
        channel_id = channel_id or self.apple.new_channel_id()
        self._change_channel(channel_id, there=True)
        return channel_id

    def delete_channel(self, channel_id: str) -> None:
        """Delete a channel. From now on, it is not listed.

        :param channel_id: its identifier
        """
        if channel_id not in self.apple.channel_ids:
            raise ValueError(f"there is no channel {channel_id}")
        self._change_channel(channel_id, there=False)

    def _change_channel(self, channel_id: str, *, there: bool) -> None:
        self.apple.change_channel(channel_id, there=there)
        self.ledger.enter({"channel": channel_id, "there": there})

    def _restore(self, entry: dict[str, Any]) -> None:
        super()._restore(entry)
        if "channel" in entry:
            self.apple.change_channel(entry["channel"], there=entry["there"])

    async def _serve_channels(self, directory: Path, ending: asyncio.Event) -> asyncio.Task[None]:
        """Start listening, until ``ending`` is set."""
        try:
            from hypercorn.asyncio import serve
            from hypercorn.config import Config
        except ImportError as error:
            raise OSError(f"{error}: pip install 'airflow-provider-apns[emulator]'") from error

        settings, config = self.apple.settings, Config()
        listener = socket.create_server((settings.host, self.channels_port or settings.channels_port or 0))
        self.channels_port = listener.getsockname()[1]
        config.bind = [f"fd://{listener.detach()}"]
        config.certfile = config.keyfile = str(directory / SERVER_FILE)
        config.alpn_protocols = ["h2"]
        config.errorlog = None
        config.graceful_timeout = 0.01
        application: Any = self._listing
        return asyncio.create_task(serve(application, config, shutdown_trigger=ending.wait))

    async def _listing(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["type"] != "http":
            return
        with self.ledger.serving() as in_flight:
            await asyncio.sleep(self.apple.settings.latency)
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            fault = self.faults.due(LISTING, (self.app_id,))
            kind = fault.kind if fault else None
            try:
                document: dict[str, Any] = {"channels": self._listed(scope, headers, kind)}
                status = 200
            except Refusal as refusal:
                document, status = {"reason": refusal.reason}, refusal.status
            self._note(
                method=scope["method"],
                endpoint=LISTING,
                path=scope["path"],
                had_token="authorization" in headers,
                status=status,
                in_flight=in_flight,
                fault=kind,
            )
            answered = [(b"content-type", b"application/json")]
            if fault and fault.retry_after:
                answered.append((b"retry-after", fault.retry_after.encode()))
            await send({"type": "http.response.start", "status": status, "headers": answered})
            await send({"type": "http.response.body", "body": json.dumps(document).encode()})

    def _listed(self, scope: Message, headers: dict[str, str], fault: str | None) -> list[str]:
        if fault:
            raise Refusal(REASONS[fault], fault) if fault in REASONS else Refusal(int(fault), f"injected {fault}")
        if scope["http_version"] != "2":
            raise Refusal(505, "HTTP/2 only")
        match = _PATH.fullmatch(scope["raw_path"].decode())
        if match is None:
            raise Refusal(404, "BadPath")
        if scope["method"] != "GET":
            raise Refusal(405, "MethodNotAllowed")
        self.key.check(headers.get("authorization"), self.apple.clock())
        if unquote(match[1]) != self.app_id:
            raise Refusal(400, "TopicDisallowed")
        return list(self.channel_ids)
