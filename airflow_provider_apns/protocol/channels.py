"""Lists an app's channels with Apple's channel-management API, another service with a token of its own."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow_provider_apns import __version__
from airflow_provider_apns.exceptions import (
    ApnsError,
    ApnsInvalidRequestError,
    ApnsRefusedError,
    ApnsServiceError,
    ApnsTokenError,
)
from airflow_provider_apns.protocol.bodies import read_answer
from airflow_provider_apns.protocol.channel_ids import check_channel_id
from airflow_provider_apns.protocol.failures import busy, is_transient, quoted_reason
from airflow_provider_apns.protocol.messages import Exchange, HttpAnswer, HttpRequest
from airflow_provider_apns.protocol.tokens import Secret

if TYPE_CHECKING:
    from airflow_provider_apns.protocol.account import Account


def list_channels(account: Account, app_id: str, token: Secret) -> Exchange[tuple[str, ...]]:
    """Ask for the channels that an app has now. Apple forgets a deleted channel at once."""
    what = f"list of the channels of {app_id}"
    answer = yield HttpRequest(
        what=what,
        method="GET",
        url=f"{account.channels_url}/1/apps/{quote(app_id, safe='')}/all-channels",
        headers={
            "authorization": Secret("bearer " + token),
            "accept-encoding": "identity",
            "user-agent": f"airflow-provider-apns/{__version__}",
        },
    )
    if answer.status != HTTPStatus.OK:
        raise _refusal(answer, account, app_id, what, token)
    return _read(answer, what, token)


def _read(answer: HttpAnswer, what: str, token: Secret) -> tuple[str, ...]:
    try:
        payload = json.loads(read_answer(answer))
        channels = payload["channels"]
        if isinstance(channels, list):
            return tuple(dict.fromkeys(map(check_channel_id, channels)))
    except (ValueError, RecursionError, KeyError, TypeError, ApnsInvalidRequestError):
        pass
    reason = quoted_reason(answer, hide=token)
    raise ApnsServiceError(f"The {what} is not the JSON that Apple documents{reason[:200]}.")


_KEY_REASONS = {
    "BadEnvironmentKeyInToken": "The key is for the sandbox, but metrics exist in production only: make a key for "
    "production, or for both.",
    "InvalidProviderToken": "The key was revoked, or its Key ID (key_id) or Team ID (login) is wrong.",
    "ExpiredProviderToken": "This machine's clock is wrong by an hour or more, or the key was revoked.",
    "MissingProviderToken": "The token did not reach Apple: a proxy may have removed it.",
    "TopicMismatch": "The key is restricted to other apps (topics).",
}
_APP_REASONS = {
    "FeatureNotEnabled": "Broadcasts are not enabled for this app: in Apple's developer account, enable the broadcast "
    "capability under Push Notifications of the app's identifier.",
    "TopicDisallowed": "This app does not belong to the key's team: check the bundle identifier and the Team ID.",
}


def _refusal(answer: HttpAnswer, account: Account, app_id: str, what: str, token: Secret) -> ApnsError:
    quoted = quoted_reason(answer, hide=token)
    if is_transient(answer.status):
        return busy(answer, what, quoted)
    reason = re.sub(r"\W", "", quoted)
    asked = f"Apple refused the request for the {what} ({answer.status}){quoted}."
    if reason in _APP_REASONS:
        return ApnsRefusedError(f"{asked} {_APP_REASONS[reason]}")
    if answer.status == HTTPStatus.FORBIDDEN:
        key = f"The request used key {account.key_id} of team {account.team_id}, from connection '{account.conn_id}'."
        return ApnsTokenError(f"{asked} {_KEY_REASONS.get(reason, 'Check the key.')} {key}")
    return ApnsRefusedError(asked)
