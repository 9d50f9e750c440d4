"""Which hosts to trust. URLs are read so strictly that no two URL parsers can disagree about their host."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

MAX_URL_LENGTH = 8192

_LABEL = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_SERVER = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}(?:\.{_LABEL})*|\[::1\])(?::(?P<port>[0-9]{{1,5}}))?",
    re.ASCII | re.IGNORECASE,
)
_UNSAFE = re.compile(r"[^\x21-\x5b\x5d-\x7e]")
_LOOPBACK = re.compile(r"localhost|\[::1\]|127(\.(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}", re.ASCII)
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Origin:
    """Scheme, host (in lower case) and port of a URL, whether or not the URL names its port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """
        Read the origin of a plain absolute http or https URL.

        It refuses user names, backslashes, control characters, percent-encoded or non-ASCII host names, trailing dots,
        and names too long for the DNS.

        :raises ValueError: saying what is wrong with the URL, without quoting it.
        """
        if len(url) > MAX_URL_LENGTH:
            raise ValueError(f"it is longer than {MAX_URL_LENGTH:,} characters")
        if found := _UNSAFE.search(url):
            raise ValueError(f"it contains {_name_of(found[0])}")
        return cls._of_server(server_of(url))

    @classmethod
    @lru_cache(maxsize=128)  # Thousands of URLs share a few servers.
    def _of_server(cls, server: str) -> Origin:
        match = _SERVER.fullmatch(server)
        if match is None or len(match["host"]) > 253:
            raise ValueError("it is not an absolute http or https URL with a plain host name")
        scheme = match["scheme"].lower()
        port = int(match["port"] or _PORTS[scheme])
        if not 0 < port < 65536:
            raise ValueError("its port is not a port number")
        return cls(scheme, match["host"].lower(), port)

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine, the only one that plain http may go to."""
        return _LOOPBACK.fullmatch(self.host) is not None

    @property
    def is_private_enough(self) -> bool:
        """Whether nobody can listen in: https, or this machine."""
        return self.scheme == "https" or self.is_loopback

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


def server_of(url: str) -> str:
    """Return the part of a URL that names its server. It may be shown even if the URL may not."""
    return "/".join(url.split("/", 3)[:3])


def _name_of(character: str) -> str:
    if character == "\\":
        return "a backslash"
    if not character.isascii():
        return "a character that is not ASCII"
    return "a space" if character == " " else "a control character"
