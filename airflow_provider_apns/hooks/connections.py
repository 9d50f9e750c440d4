"""Airflow connections of type ``apns``: reading them, and their form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_apns import _compat, get_provider_info
from airflow_provider_apns.exceptions import ApnsConnectionError, ApnsError
from airflow_provider_apns.protocol.account import Account
from airflow_provider_apns.protocol.pem import secrets_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection


def utc_now() -> datetime:
    """Return the current time; the only clock that the hooks read."""
    return datetime.now(tz=timezone.utc)


def connection_form() -> dict[str, Any]:
    """Return the provider's metadata of the connection type."""
    (connection_type,) = get_provider_info()["connection-types"]
    form: dict[str, Any] = connection_type
    return form


def connection_form_widgets() -> dict[str, Any]:
    """Return the form's fields as Airflow before 3.2 needs them."""
    widgets: Any = import_module("flask_appbuilder.fieldwidgets")
    fields: Any = import_module("wtforms")

    def field(described: dict[str, Any]) -> Any:
        if described["schema"].get("format") == "password":
            return fields.PasswordField(described["label"], widget=widgets.BS3PasswordFieldWidget())
        return fields.StringField(described["label"], widget=widgets.BS3TextFieldWidget())

    return {name: field(described) for name, described in connection_form()["conn-fields"].items()}


def read_account(connection: Connection, conn_id: str) -> Account:
    """
    Read a connection, and mask its token and its key in the logs.

    :raises ApnsConnectionError: naming the field that is missing or wrong.
    """
    try:
        account = Account.read(
            conn_id,
            login=connection.login,
            password=connection.password,
            host=connection.host,
            port=connection.port,
            schema=connection.schema,
            extra=connection.extra_dejson,
        )
    except ApnsError as error:
        failure = error.with_traceback(None)
    else:
        for secret in (str(account.token), *secrets_of(account.private_key)):
            _compat.mask_secret(secret)
        return account
    # No frame may show the password as a local variable.
    del connection
    raise failure


def load_account(look_up: Callable[[str], Connection], conn_id: str) -> Account:
    """
    Look up a connection as a worker does, and read it.

    :param look_up: Airflow's ``get_connection``.
    :param conn_id: the connection.
    :raises ApnsConnectionError: if there is no such connection; or naming the field that is missing or wrong.
    """
    with explaining_absence(conn_id):
        return read_account(look_up(conn_id), conn_id)


async def aload_account(conn_id: str) -> Account:
    """Look up a connection as the triggerer does, and read it; see :func:`load_account`."""
    with explaining_absence(conn_id):
        return await _compat.read_connection(conn_id, lambda connection: read_account(connection, conn_id))


@contextmanager
def explaining_absence(conn_id: str) -> Iterator[None]:
    """Turn Airflow's error for an undefined connection into one that Airflow does not retry."""
    try:
        yield
    except AirflowNotFoundException:
        raise ApnsConnectionError(
            f"Airflow has no connection '{conn_id}': add it with `airflow connections add {conn_id} --conn-type apns "
            "--conn-login TEAM_ID --conn-password TOKEN`, or in the UI, or give the task another apns_conn_id. "
            "(Airflow says the same of a secrets backend that does not answer; its DEBUG log then says why.)"
        ) from None
