"""An adapter of requests that sends a URL byte for byte as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_target: ContextVar[str] = ContextVar("apns_request_target")


@contextmanager
def sending(target: str) -> Iterator[None]:
    """
    Send the requests within the block to a path and query that neither requests nor urllib3 may touch.

    Both normalise percent-encoding and dots, which breaks the signature of a signed URL. Both quote URLs in logs and
    errors, too: they are to be given the server's alone.

    :param target: path and query.
    """
    flag = _target.set(target)
    try:
        yield
    finally:
        _target.reset(flag)


class _HTTPConnection(HTTPConnection):
    def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        super().putrequest(method, _target.get(url), *args, **kwargs)


class _HTTPSConnection(HTTPSConnection):
    def putrequest(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        super().putrequest(method, _target.get(url), *args, **kwargs)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class VerbatimAdapter(HTTPAdapter):
    """Sends what :func:`sending` says."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Make the pools of connections through a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        return manager
