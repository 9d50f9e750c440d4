from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns.protocol.texts import beginning_of, shorten, without_secrets
from tests.unit.helpers import SIGNED_URL


@given(st.text(), st.integers(1, 60))
def test_any_text_becomes_one_short_line(text: str, limit: int) -> None:
    shown = shorten(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit


def test_what_is_left_out_shows() -> None:
    assert shorten(" two\n\tlines\x1b[31m ") == "two lines [31m"
    assert shorten("a longer text", 9) == "a longer…"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("token aaaaaaaaaa.bbbbbbbbbb.s3cretcccccc!", "token ***!"),
        (f"see {SIGNED_URL}, please", "see https://store.example.com/data.csv?*** please"),
        (f"<a href='{SIGNED_URL}'>", "<a href='https://store.example.com/data.csv?***'>"),
        (r'"https:\/\/a.example.com\/x?sig=s3cret\u0026b"', r'"https:\/\/a.example.com\/x?***"'),
        ("https://a.example.com/x", "https://a.example.com/x"),
    ],
)
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@given(st.binary(max_size=300))
def test_the_beginning_of_any_bytes_can_be_shown(body: bytes) -> None:
    assert beginning_of(body).isprintable()
    assert len(beginning_of(body)) <= 80
