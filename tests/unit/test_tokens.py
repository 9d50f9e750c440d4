from __future__ import annotations

import base64
import json
import traceback
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns.exceptions import ApnsTokenError
from airflow_provider_apns.tokens import RENEWAL_HINT, RENEWAL_NOTICE, Secret, TokenClaims

NOW = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)
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
    parts = (b'{"alg":"ES256"}', json.dumps(claims).encode(), b"a signature")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


class TestSecret:
    secret = Secret("abc.def.ghi")

    @pytest.mark.parametrize(
        "shown",
        [repr(secret), f"{secret}", f"{secret!r}", f"{secret:>20}", "{}".format(secret), "%r" % secret, repr([secret])],  # noqa: UP031, UP032
    )
    def test_is_masked_wherever_it_is_shown(self, shown: str) -> None:
        assert "abc" not in shown
        assert "***" in shown

    def test_is_masked_in_a_traceback_with_local_variables(self) -> None:
        def fail(token: str) -> None:
            headers = {"token": token}
            raise ValueError(len(headers))

        try:
            fail(self.secret)
        except ValueError as error:
            text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
        assert "headers" in text
        assert "abc" not in text

    def test_is_the_string_to_code_that_asks_for_it(self) -> None:
        assert self.secret == "abc.def.ghi"
        assert str(self.secret) == "abc.def.ghi"
        assert self.secret.encode() == b"abc.def.ghi"
        assert json.loads(json.dumps(self.secret)) == "abc.def.ghi"


class TestReading:
    def test_expiry_and_scope(self) -> None:
        claims = TokenClaims.read(jwt({"exp": NOW.timestamp(), "scope": SCOPE}))
        assert claims == TokenClaims(NOW, SCOPE)

    def test_a_scope_that_is_one_string(self) -> None:
        assert TokenClaims.read(jwt({"scope": "GET /status"})).scope == ("GET /status",)

    @pytest.mark.parametrize(
        "token",
        [
            "",
            "opaque-token",
            "a.b",
            "a.b.c.d",
            "..",
            "a.!!!.c",
            "a.ü.c",
            jwt([1]),
            jwt("text"),
            jwt(None),
            "a." + "e30" * 30_000 + ".c",
            "a." + base64.urlsafe_b64encode(b"[" * 40_000).decode() + ".c",
        ],
    )
    def test_a_token_that_is_no_jwt_says_nothing(self, token: str) -> None:
        assert TokenClaims.read(token) == TokenClaims()

    @pytest.mark.parametrize(
        "expiry", [None, True, "2026-03-10", [], 1e300, 10**30, -(10**30), float("nan"), float("inf")]
    )
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
        claims = TokenClaims(NOW - timedelta(minutes=1))
        with pytest.raises(ApnsTokenError, match=r"'my_conn' expired on 2026-03-10 11:59 UTC") as raised:
            claims.check_expiry(NOW, "my_conn")
        assert RENEWAL_HINT in str(raised.value)

    @pytest.mark.parametrize("expires_at", [None, NOW + timedelta(seconds=1)])
    def test_a_valid_or_silent_token_passes(self, expires_at: datetime | None) -> None:
        TokenClaims(expires_at).check_expiry(NOW, "my_conn")

    def test_it_is_over_at_the_very_second(self) -> None:
        with pytest.raises(ApnsTokenError):
            TokenClaims(NOW).check_expiry(NOW, "my_conn")

    @pytest.mark.parametrize(("left", "days"), [(RENEWAL_NOTICE, 14), (timedelta(hours=30), 1), (timedelta(0), 0)])
    def test_is_warned_about_from_14_days_ahead(self, left: timedelta, days: int) -> None:
        notice = TokenClaims(NOW + left).renewal_notice(NOW, "my_conn")
        assert notice is not None
        assert f"in {days} days" in notice
        assert "'my_conn'" in notice
        assert RENEWAL_HINT in notice

    @pytest.mark.parametrize("expires_at", [None, NOW + RENEWAL_NOTICE + timedelta(seconds=1)])
    def test_is_not_warned_about_earlier(self, expires_at: datetime | None) -> None:
        assert TokenClaims(expires_at).renewal_notice(NOW, "my_conn") is None


class TestScope:
    @pytest.mark.parametrize(
        ("app_id", "dataset", "told"),
        [
            ("com.example.app", "broadcastchannelmetrics", None),
            ("com.example.other", "broadcastchannelmetrics", "It is for app com.example.app, not com.example.other."),
            ("com.example.app", "deliverymetrics", "It is for dataset broadcastchannelmetrics, not deliverymetrics."),
            (None, "deliverymetrics", "It is for dataset broadcastchannelmetrics, not deliverymetrics."),
            (None, None, None),
        ],
    )
    def test_tells_what_the_token_was_made_for(self, app_id: str | None, dataset: str | None, told: str | None) -> None:
        assert TokenClaims(scope=SCOPE).scope_mismatch(app_id, dataset) == told

    @pytest.mark.parametrize("scope", [(), ("GET /v1",), ("POST /appId/*/datasetName/{any}/request",)])
    def test_says_nothing_where_the_scope_does_not(self, scope: tuple[str, ...]) -> None:
        assert TokenClaims(scope=scope).scope_mismatch("com.example.app", "deliverymetrics") is None
