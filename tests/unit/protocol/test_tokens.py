from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns.exceptions import ApnsTokenError
from airflow_provider_apns.protocol.tokens import RENEWAL_HINT, RENEWAL_NOTICE, Secret, TokenClaims
from tests.unit.helpers import NOW, traceback_with_locals

SECOND = timedelta(seconds=1)
SCOPE = (
    "POST /v1/dataExports/apns/teams/A1B2C3D4E5/appId/com.example.app/datasetName/broadcastchannelmetrics/request",
    "GET /v1/dataExports/apns/status",
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def jwt(claims: Any) -> str:
    parts = (b'{"alg":"HS512"}', json.dumps(claims).encode(), b"s" * 64)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


LONG_CLAIMS = jwt({"exp": NOW.timestamp(), "other": "x" * 64_000}).split(".")[1]


class TestSecret:
    secret = Secret("abc.def.ghi")

    @pytest.mark.parametrize("shown", [repr(secret), f"{secret}", f"{secret:>20}", "{}".format(secret), repr([secret])])  # noqa: UP032
    def test_is_masked_wherever_it_is_shown(self, shown: str) -> None:
        assert "abc" not in shown
        assert "***" in shown

    def test_is_masked_in_a_traceback_with_local_variables(self) -> None:
        with pytest.raises(TypeError) as raised:
            json.dumps({"token": self.secret, "number": 1j})
        assert "'token': '***'" in traceback_with_locals(raised.value)
        assert "abc" not in traceback_with_locals(raised.value)

    def test_is_the_string_to_code_that_asks_for_it(self) -> None:
        assert self.secret == str(self.secret) == "abc.def.ghi"
        assert self.secret.encode() == b"abc.def.ghi"
        assert json.loads(json.dumps(self.secret)) == "abc.def.ghi"


class TestReading:
    def test_expiry_and_scope(self) -> None:
        assert TokenClaims.read(jwt({"exp": NOW.timestamp(), "scope": SCOPE})) == TokenClaims(NOW, SCOPE)
        assert TokenClaims.read(jwt({"scope": "GET /status"})) == TokenClaims(None, ("GET /status",))

    @pytest.mark.parametrize(
        "token",
        [
            *("", "opaque-token", "a.b", "a.b.c.d", "..", "a.!!!.c", "a.ü.c", jwt([1]), jwt("text")),
            f"a.{LONG_CLAIMS}.c",
            "a." + base64.urlsafe_b64encode(b"[" * 40_000).decode() + ".c",
        ],
    )
    def test_a_token_that_is_no_jwt_says_nothing(self, token: str) -> None:
        assert TokenClaims.read(token) == TokenClaims()

    @given(st.integers(1, 200))
    def test_a_token_that_was_cut_short_is_known_by_its_end(self, missing: int) -> None:
        whole = jwt({"scope": SCOPE})
        assert TokenClaims.read(whole).flaw is None
        cut = TokenClaims.read(whole[: max(len(whole) - missing, 30)])
        assert "was cut short" in (cut.flaw or "")

    @pytest.mark.parametrize("expiry", [None, True, "2026-03-10", [], 1e300, 10**30, -(10**30), float("nan")])
    def test_an_expiry_that_is_no_time_is_none(self, expiry: Any) -> None:
        assert TokenClaims.read(jwt({"exp": expiry, "scope": ["x"]})) == TokenClaims(None, ("x",))

    @given(st.text() | st.text(alphabet="ab.-_=", max_size=40) | st.builds(jwt, json_values))
    def test_nothing_is_ever_raised(self, token: str) -> None:
        TokenClaims.read(token)

    @given(json_values, json_values, st.text(), st.text())
    def test_whatever_the_claims_are_they_can_be_used(self, expiry: Any, scope: Any, app: str, dataset: str) -> None:
        claims = TokenClaims.read(jwt({"exp": expiry, "scope": scope}))
        claims.renewal_notice(NOW, "conn")
        mismatch = claims.scope_mismatch(app, dataset)
        assert mismatch is None or mismatch.isprintable()


class TestExpiry:
    def test_an_expired_token_is_refused_with_the_date_and_the_cure(self) -> None:
        with pytest.raises(ApnsTokenError, match=r"'my_conn' expired on 2026-03-10 18:01 UTC") as raised:
            TokenClaims(NOW).check_expiry(NOW, "my_conn")
        assert RENEWAL_HINT in str(raised.value)

    @pytest.mark.parametrize("expires_at", [None, NOW + SECOND])
    def test_a_valid_or_silent_token_passes(self, expires_at: datetime | None) -> None:
        TokenClaims(expires_at).check_expiry(NOW, "my_conn")

    @pytest.mark.parametrize(("left", "days"), [(RENEWAL_NOTICE, 14), (timedelta(hours=30), 1), (timedelta(0), 0)])
    def test_is_warned_about_from_14_days_ahead(self, left: timedelta, days: int) -> None:
        notice = TokenClaims(NOW + left).renewal_notice(NOW, "my_conn")
        assert notice is not None
        assert all(part in notice for part in (f"in {days} days", "'my_conn'", RENEWAL_HINT))

    @pytest.mark.parametrize("expires_at", [None, NOW + RENEWAL_NOTICE + SECOND])
    def test_is_not_warned_about_earlier(self, expires_at: datetime | None) -> None:
        assert TokenClaims(expires_at).renewal_notice(NOW, "my_conn") is None


@pytest.mark.parametrize(
    ("scope", "app_id", "dataset", "told"),
    [
        (SCOPE, "com.example.app", "broadcastchannelmetrics", None),
        (SCOPE, "com.example.other", "broadcastchannelmetrics", "for app com.example.app, not com.example.other"),
        (SCOPE, "com.example.app", "deliverymetrics", "for dataset broadcastchannelmetrics, not deliverymetrics"),
        (SCOPE, None, "deliverymetrics", "for dataset broadcastchannelmetrics, not deliverymetrics"),
        (SCOPE, None, None, None),
        ((), "com.example.app", "deliverymetrics", None),
        (("POST /appId/*/datasetName/{any}/request",), "com.example.app", "deliverymetrics", None),
    ],
)
def test_tells_what_the_token_was_made_for(
    scope: tuple[str, ...], app_id: str | None, dataset: str | None, told: str | None
) -> None:
    mismatch = TokenClaims(scope=scope).scope_mismatch(app_id, dataset)
    assert (mismatch or "").partition(": ")[0] == (f"It is {told}" if told else "")
