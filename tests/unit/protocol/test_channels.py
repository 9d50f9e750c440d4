"""What is asked to list channels, what the answers mean, and with which token."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns.exceptions import (
    ApnsConnectionError,
    ApnsError,
    ApnsRefusedError,
    ApnsServiceError,
    ApnsTokenError,
)
from airflow_provider_apns.protocol.account import Account
from airflow_provider_apns.protocol.channels import list_channels
from airflow_provider_apns.protocol.messages import HttpAnswer, HttpRequest
from airflow_provider_apns.protocol.pem import read_pem, secrets_of
from airflow_provider_apns.protocol.provider_tokens import provider_token
from airflow_provider_apns.protocol.tokens import Secret
from tests.unit.helpers import traceback_with_locals

NOW = datetime(2026, 3, 10, 18, 17, tzinfo=timezone.utc)
KEY = ec.generate_private_key(ec.SECP256R1())
JWT = Secret("header.claims.signature")


def pem_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, how: KeySerializationEncryption | None = None) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how or NoEncryption()).decode()


PEM = pem_of(KEY)


def account(**extra: str) -> Account:
    keys = {"app_id": "com.example.app", "key_id": "ABC123DEFG", "private_key": PEM}
    return Account.read("apns_default", login="TEAM123456", password="token", extra=keys | extra)


def answered(status: int, body: object) -> tuple[str, ...]:
    exchange = list_channels(account(), "com.example.app", JWT)
    next(exchange)
    try:
        exchange.send(HttpAnswer(status, {}, NOW, body if isinstance(body, bytes) else json.dumps(body).encode()))
    except StopIteration as end:
        return tuple(end.value)
    raise AssertionError("it asks once more")


def asked() -> HttpRequest:
    return next(list_channels(account(), "com.example/app", JWT))


def test_the_request() -> None:
    request = asked()
    assert (request.method, request.body) == ("GET", None)
    assert request.url == "https://api-manage-broadcast.push.apple.com:2196/1/apps/com.example%2Fapp/all-channels"
    assert str(request.headers["authorization"]) == "bearer header.claims.signature"
    assert {name.lower() for name in request.headers} == set(request.headers)
    assert str(JWT) not in repr(request)


def test_the_answer() -> None:
    assert answered(200, {"channels": ["+/8AAAAAAAAAAAAAAAAAAA==", "AAAA", "AAAA"]}) == (
        "+/8AAAAAAAAAAAAAAAAAAA==",
        "AAAA",
    )
    assert answered(200, {"channels": []}) == ()


@pytest.mark.parametrize("body", [b"", b"<html>", {}, [], {"channels": None}, {"channels": ["no base64"]}, b"[" * 9999])
def test_an_answer_that_is_none(body: object) -> None:
    with pytest.raises(ApnsServiceError, match=r"list of the channels of com\.example\.app is not the JSON"):
        answered(200, body)


@pytest.mark.parametrize(
    ("status", "reason", "kind", "meaning"),
    [
        (400, "FeatureNotEnabled", ApnsRefusedError, "enable the broadcast capability"),
        (400, "TopicDisallowed", ApnsRefusedError, "does not belong to the key's team"),
        (403, "BadEnvironmentKeyInToken", ApnsTokenError, "The key is for the sandbox"),
        (403, "InvalidProviderToken", ApnsTokenError, "revoked, or its Key ID"),
        (403, "ExpiredProviderToken", ApnsTokenError, "This machine's clock"),
        (403, "MissingProviderToken", ApnsTokenError, "a proxy may have removed it"),
        (403, "TopicMismatch", ApnsTokenError, "restricted to other apps"),
        (403, "BadCertificate", ApnsTokenError, "key ABC123DEFG of team TEAM123456"),
        (404, "BadPath", ApnsRefusedError, "404"),
        (429, "TooManyProviderTokenUpdates", ApnsServiceError, "429"),
        (500, "InternalServerError", ApnsServiceError, "500"),
        (503, "Shutdown", ApnsServiceError, "503"),
    ],
)
def test_what_a_refusal_means(status: int, reason: str, kind: type[ApnsError], meaning: str) -> None:
    with pytest.raises(kind, match=meaning) as caught:
        answered(status, {"reason": reason})
    assert reason in str(caught.value)
    assert caught.value.retryable is (status >= 429)


def test_an_answer_that_repeats_the_token_is_not_repeated() -> None:
    with pytest.raises(ApnsError) as caught:
        answered(403, {"reason": f"no: {JWT!s}"})
    assert str(JWT) not in str(caught.value)


def test_the_token_is_signed_and_makes_the_same_claims_for_half_an_hour() -> None:
    token = provider_token(account(), NOW)
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "ABC123DEFG", "typ": "JWT"}
    options = {"verify_iat": False}
    claims = jwt.decode(token, KEY.public_key(), algorithms=["ES256"], options=options)
    assert claims == {"iss": "TEAM123456", "iat": int(NOW.replace(minute=0).timestamp())}
    later = provider_token(account(), NOW + timedelta(minutes=12))
    assert jwt.decode(later, KEY.public_key(), algorithms=["ES256"], options=options) == claims


@given(st.datetimes(datetime(2026, 1, 1), datetime(2126, 1, 1), timezones=st.just(timezone.utc)))
def test_a_token_is_never_of_the_future_nor_old(now: datetime) -> None:
    claims = jwt.decode(provider_token(account(), now), options={"verify_signature": False})
    assert 0 <= now.timestamp() - claims["iat"] < 30 * 60


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(PEM, id="as in the file"),
        pytest.param(PEM.replace("\n", "\r\n"), id="with CRLF"),
        pytest.param(PEM.replace("\n", "\\n"), id="line breaks as two characters"),
        pytest.param(PEM.replace("\n", "\\r\\n"), id="CRLF as four characters"),
        pytest.param(PEM.replace("\n", " "), id="in one line, with blanks"),
        pytest.param(PEM.replace("\n", ""), id="in one line"),
        pytest.param(f'"  {PEM}"', id="with quotes and blanks around"),
    ],
)
def test_forms_of_the_key(form: str) -> None:
    assert str(read_pem(form)) == PEM
    assert provider_token(account(private_key=form), NOW)
    body = PEM.splitlines()[1:-1]
    assert {*body, "".join(body)} <= secrets_of(form)


WRONG = {
    "missing": ("", "has no private_key"),
    "the file's name": ("AuthKey_ABC123DEFG.p8", "is not a complete PEM text"),
    "without its end": (PEM[:150], "is not a complete PEM text"),
    "with a gap": (PEM.replace(PEM[100:140], ""), "is not a readable private key"),
    "of another curve": (pem_of(ec.generate_private_key(ec.SECP384R1())), "is not one of Apple's keys"),
    "RSA": (pem_of(rsa.generate_private_key(65537, 2048)), "is not one of Apple's keys"),
    "with a password": (pem_of(KEY, BestAvailableEncryption(b"x")), "is not a readable private key"),
    "public": (
        KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        "is not a readable private key",
    ),
}


@pytest.mark.parametrize(("key", "meaning"), WRONG.values(), ids=WRONG.keys())
def test_a_key_that_cannot_be_used_is_told_and_never_shown(key: str, meaning: str) -> None:
    with pytest.raises(ApnsConnectionError, match=meaning) as caught:
        provider_token(account(private_key=key), NOW)
    assert "developer account" in str(caught.value)
    shown = traceback_with_locals(caught.value)
    assert not [secret for secret in secrets_of(key) if secret in shown and "AuthKey" not in secret]


@pytest.mark.parametrize(
    ("key_id", "meaning"), [("", "has no key_id"), ("ABC", "is not a Key ID"), (PEM, "is not a Key ID")]
)
def test_a_key_id_that_is_none(key_id: str, meaning: str) -> None:
    with pytest.raises(ApnsConnectionError, match=meaning) as caught:
        provider_token(account(key_id=key_id), NOW)
    assert PEM[40:60] not in traceback_with_locals(caught.value)


def test_the_key_shows_in_no_repr() -> None:
    assert PEM[40:60] not in repr(account())


def test_the_host_is_checked_like_the_api_s() -> None:
    assert account(channels_host="channels.example.com/").channels_url == "https://channels.example.com"
    with pytest.raises(ApnsConnectionError, match=r"channels_host of connection 'apns_default' uses plain http"):
        account(channels_host="http://channels.example.com")
