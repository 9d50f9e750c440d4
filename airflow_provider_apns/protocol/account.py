"""The fields of an Airflow connection of type ``apns``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from airflow_provider_apns.exceptions import ApnsConnectionError, ApnsUntrustedUrlError
from airflow_provider_apns.protocol.texts import shorten
from airflow_provider_apns.protocol.tokens import RENEWAL_HINT, Secret, TokenClaims
from airflow_provider_apns.protocol.trust import Origin

APPLE_API_URL = "https://api.icloud.apple.com"
APPLE_CHANNELS_URL = "https://api-manage-broadcast.push.apple.com:2196"
APPLE_DOMAINS = (".apple.com", ".icloud.com")


@dataclass(frozen=True)
class Account:
    """
    An Airflow connection of type ``apns``. It has one data export token, so it is for one app and one dataset.

    ``trusted_hosts`` are more hosts that status URLs may have, each as ``host`` or ``host:port``. ``private_key`` is
    the key that lists channels, in any form in which people paste it, or empty.
    """

    conn_id: str
    team_id: str
    token: Secret
    app_id: str | None = None
    api_url: str = APPLE_API_URL
    trusted_hosts: frozenset[str] = frozenset()
    claims: TokenClaims = field(default_factory=TokenClaims)
    channels_url: str = APPLE_CHANNELS_URL
    key_id: str = field(default="", repr=False)  # The key itself may have been pasted there.
    private_key: Secret = field(default_factory=Secret)

    @classmethod
    def read(
        cls,
        conn_id: str,
        *,
        login: str | None,
        password: str | None,
        host: str | None = None,
        port: int | None = None,
        schema: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Account:
        """
        Read the fields of an Airflow connection.

        An empty ``host`` means Apple's. In the extra, ``trusted_hosts`` is a list, or names separated by commas.

        :raises ApnsConnectionError: naming the field that is missing or wrong.
        """
        extra = extra or {}
        token = (password or "").strip()
        if not (login or "").strip():
            raise ApnsConnectionError(
                f"Connection '{conn_id}' has no Team ID: put your Apple Developer Team ID into Team ID (login)."
            )
        if not token:
            raise ApnsConnectionError(
                f"Connection '{conn_id}' has no data export token: put it into the field Data export token "
                f"(password). {RENEWAL_HINT}"
            )
        if token[0] in "\"'" and token[0] == token[-1]:
            raise ApnsConnectionError(
                f"The data export token of connection '{conn_id}' is in quotation marks: remove them."
            )
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise ApnsConnectionError(
                f"The data export token of connection '{conn_id}' has spaces, line breaks or other characters "
                "that no token has: copy it again, in one piece."
            )
        return cls(
            conn_id=conn_id,
            team_id=(login or "").strip(),
            token=Secret(token),
            app_id=str(extra.get("app_id") or "").strip() or None,
            api_url=_read_base_url(host, APPLE_API_URL, f"The host of connection '{conn_id}'", port, schema),
            trusted_hosts=_read_trusted_hosts(conn_id, extra.get("trusted_hosts")),
            claims=TokenClaims.read(token),
            channels_url=_read_base_url(
                extra.get("channels_host"),
                APPLE_CHANNELS_URL,
                f"The extra field channels_host of connection '{conn_id}'",
            ),
            key_id=str(extra.get("key_id") or "").strip(),
            private_key=Secret(extra.get("private_key") or ""),
        )

    def resolve_app_id(self, app_id: str | None) -> str:
        """Return the bundle identifier that a task names, or else the connection's own."""
        resolved = app_id or self.app_id
        if not resolved:
            raise ApnsConnectionError(
                f"Connection '{self.conn_id}' has no App bundle ID: put the app's bundle identifier into the "
                'extra field app_id, for example {"app_id": "com.example.app"}, or give the task an app_id.'
            )
        return resolved

    @cached_property
    def _api_origin(self) -> Origin:
        return Origin.of(self.api_url)

    def trusts(self, origin: Origin) -> bool:
        """Whether the token may be sent to this origin."""
        if not origin.is_private_enough:
            return False
        return (
            origin == self._api_origin
            or (origin.host.endswith(APPLE_DOMAINS) and origin.port == 443)
            or origin.host in self.trusted_hosts
            or f"{origin.host}:{origin.port}" in self.trusted_hosts
        )

    def check_status_url(self, status_url: str) -> str:
        """Return a status URL if the token may be sent to it."""
        try:
            origin = Origin.of(status_url)
        except (ValueError, TypeError) as error:
            raise ApnsUntrustedUrlError(
                f"{shorten(str(status_url))!r} is not a status URL: {error}. "
                "Pass what ApnsRequestExportOperator returned."
            ) from None
        if not self.trusts(origin):
            raise ApnsUntrustedUrlError(
                f"The token was not sent to {origin}: this host is neither Apple's nor named in connection "
                f"'{self.conn_id}'. If you are sure that it is Apple's, add it to the connection's extra field "
                f'trusted_hosts: {{"trusted_hosts": ["{origin.host}"]}}.'
            )
        return status_url


def _read_base_url(
    value: object, apples: str, field_name: str, port: int | None = None, schema: str | None = None
) -> str:
    url = str(value or "").strip().rstrip("/")
    if not url:
        return apples
    if "://" not in url:
        url = f"{schema or 'https'}://{url}"
    scheme, _, rest = url.partition("://")
    server, slash, path = rest.partition("/")
    if port and not re.search(r":\d+$", server):
        url = f"{scheme}://{server}:{port}{slash}{path}"
    try:
        origin = Origin.of(url)
        if "?" in url or "#" in url:
            raise ValueError("it has a query or a fragment")
    except ValueError as error:
        raise ApnsConnectionError(
            f"{field_name} is not an API base URL: {error}. Leave it empty to use Apple's own API, "
            f"or enter a URL such as {apples}."
        ) from None
    if not origin.is_private_enough:
        raise ApnsConnectionError(
            f"{field_name} uses plain http: the token is sent over https only "
            "(plain http works only with this machine's loopback addresses, for the emulator)."
        )
    return url


def _read_trusted_hosts(conn_id: str, value: object) -> frozenset[str]:
    entries = value.split(",") if isinstance(value, str) else value or []
    if not isinstance(entries, (list, tuple)) or not all(map(_is_host_or_blank, entries)):
        raise ApnsConnectionError(
            f"The extra field trusted_hosts of connection '{conn_id}' must be a list of host names, such as "
            '["metrics.example.com"].'
        )
    return frozenset(entry.strip().lower() for entry in entries if entry.strip())


def _is_host_or_blank(entry: object) -> bool:
    if not isinstance(entry, str) or "/" in entry:
        return False
    try:
        return not entry.strip() or bool(Origin.of(f"https://{entry.strip()}"))
    except ValueError:
        return False
