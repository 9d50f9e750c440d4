"""An adapter for requests that sends a URL byte for byte."""

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
    Send the requests in this block to a path and query that requests and urllib3 do not see.

    Both libraries normalise percent-encoding and dots, which breaks the signature of a signed URL, and both quote URLs
    in logs and errors. So they get the server's URL only.

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
    """Sends requests to the target that :func:`sending` sets."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create the pool manager."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Create the pool manager for a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        return manager
