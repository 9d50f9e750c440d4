"""Apple's channel-management API as another team would write it: from the wire facts alone, on h2 and sockets.

    with ChannelsServer(folder, channels=["..."]) as apple:
        ...  # use apple.extra(); then look at apple.seen

It shares no code with the package, its emulator included. It speaks HTTP/2 over TLS only, and whoever offers HTTP/1.1
gets that, which is nothing.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.faults.certificates import make_certificates
from tests.support.listener import Listener

TEAM, APP, KEY_ID = "FOREIGN123", "org.example.foreign", "KEY4567890"


class ChannelsServer(Listener):
    """
    The service on a free port of loopback.

    :param folder: for certificates
    :param channels: what it lists
    """

    def __init__(self, folder: Path, channels: list[str]) -> None:
        super().__init__()
        certificates = make_certificates(folder, ["127.0.0.1", "localhost"])["good"]
        self.ca_path = folder / "trusted.pem"
        self.channels = channels
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.seen: list[dict[str, str]] = []
        self.protocols: list[str | None] = []
        self.troubles: list[tuple[int, str] | str] = []
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificates / "server.pem")
        self._tls.set_alpn_protocols(["http/1.1", "h2"])

    @property
    def private_key(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def connection(self, **extra: Any) -> str:
        """The Airflow connection that leads here, as JSON."""
        keys = {"app_id": APP, "key_id": KEY_ID, "private_key": self.private_key, "channels_host": self.url}
        return json.dumps({"conn_type": "apns", "login": TEAM, "password": "unused", "extra": keys | extra})

    def fail(self, *troubles: tuple[int, str] | str) -> None:
        """Answer the next requests with a status and a reason, or with a GOAWAY that has a reason."""
        self.troubles += troubles

    def _serve(self, wire: socket.socket) -> None:
        with suppress(OSError), self._tls.wrap_socket(wire, server_side=True) as tls:
            self.protocols.append(tls.selected_alpn_protocol())
            if tls.selected_alpn_protocol() == "h2":
                _Conversation(self, tls).hold()


class _Conversation:
    """One connection."""

    def __init__(self, server: ChannelsServer, tls: ssl.SSLSocket) -> None:
        self._server = server
        self._tls = tls
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._left: dict[int, bytes] = {}
        self._ended = False

    def hold(self) -> None:
        with self._sending():
            self._http.initiate_connection()
        while not self._ended and (data := self._tls.recv(1 << 16)):
            with self._sending():
                for event in self._http.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        self._answer(event.stream_id, dict(event.headers))
                self._send_rest()
        # With unread data, a close would take the GOAWAY away again.
        self._tls.shutdown(socket.SHUT_WR)
        while self._tls.recv(1 << 16):
            pass

    @contextmanager
    def _sending(self) -> Iterator[None]:
        yield
        self._tls.sendall(self._http.data_to_send())

    def _answer(self, stream: int, headers: dict[str, str]) -> None:
        self._server.seen.append(headers)
        status, body = 200, json.dumps({"channels": self._server.channels})
        if headers[":path"] != f"/1/apps/{APP}/all-channels" or headers[":method"] != "GET":
            status, body = 404, '{"reason": "BadPath"}'
        elif self._server.troubles:
            trouble = self._server.troubles.pop(0)
            if isinstance(trouble, str):
                self._ended = True
                self._http.close_connection(additional_data=json.dumps({"reason": trouble}).encode(), last_stream_id=0)
                return
            status, body = trouble[0], json.dumps({"reason": trouble[1]})
        self._http.send_headers(stream, {":status": str(status), "content-type": "application/json"}.items())
        self._left[stream] = body.encode()

    def _send_rest(self) -> None:
        """Send as much as the windows of the client allow."""
        for stream, body in list(self._left.items()):
            while body and (room := self._http.local_flow_control_window(stream)):
                size = min(room, self._http.max_outbound_frame_size)
                self._http.send_data(stream, body[:size])
                body = body[size:]
            self._left[stream] = body
            if not body:
                self._http.end_stream(stream)
                del self._left[stream]
