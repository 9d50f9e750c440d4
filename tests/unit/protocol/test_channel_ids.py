from __future__ import annotations

import base64
import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns.exceptions import ApnsInvalidRequestError
from airflow_provider_apns.protocol.channel_ids import check_channel_id, file_name_of, read_channel_ids

DEEP = [f"[{'-' * depth}1]" for depth in (5000, 50_000)]


@given(st.binary(min_size=1, max_size=40))
def test_base64_is_a_channel_id(raw: bytes) -> None:
    channel_id = base64.b64encode(raw).decode()
    assert check_channel_id(channel_id) == channel_id


@pytest.mark.parametrize(
    "channel_id",
    ["", "=", "AAA", "AA=", "AAAA=", "A===", "AA==AA==", "-_8A", "AA AA", "AAAA\n", " AAAA", "ÄÖÜ=", 7, None, b"AAAA"],
)
def test_anything_else_is_none(channel_id: Any) -> None:
    with pytest.raises(ApnsInvalidRequestError, match="is not base64"):
        check_channel_id(channel_id)


@given(st.binary(min_size=1, max_size=24))
def test_file_names_are_safe_and_lead_back_to_the_channel(raw: bytes) -> None:
    name = file_name_of(base64.b64encode(raw).decode())
    assert set(name).isdisjoint("+/=%?#& .")
    assert base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)) == raw


class TestLists:
    @pytest.mark.parametrize(
        "value",
        [
            ["AAAA", "BBBB", "AAAA"],
            ("AAAA", "BBBB"),
            iter(["AAAA", "BBBB"]),
            "['AAAA', 'BBBB']",
            '["AAAA", "BBBB", "AAAA"]',
            "('AAAA', 'BBBB')",
            "AAAA,BBBB",
            "AAAA BBBB\nAAAA",
            " AAAA , BBBB ",
        ],
    )
    def test_as_dag_authors_and_templates_write_them(self, value: object) -> None:
        assert read_channel_ids(value) == ("AAAA", "BBBB")

    @pytest.mark.parametrize(
        ("values", "told"),
        [
            ([[], "", "[]", " , "], "channel_ids is empty"),
            (
                [None, 7, b"AAAA", {"AAAA": 1}, "[", "[1", "[" * 5000, *DEEP, "[__import__('os')]"],
                "must be a list of channel ids",
            ),
            ([["AAAA", None], "[1, 2]", [("AAAA", "BBBB")], "AAAA,nonsense!"], "is not base64"),
            (["LazySelectSequence(['AAAA'])"], r"Write channel_ids=the_task\.output instead"),
        ],
    )
    def test_anything_else_is_a_clear_error(self, values: list[object], told: str) -> None:
        for value in values:
            with pytest.raises(ApnsInvalidRequestError, match=told):
                read_channel_ids(value)

    @given(st.text() | st.text(alphabet="[](),'\"A= {}:\\\x00", max_size=30))
    def test_any_text_is_a_list_or_a_clear_error(self, text: str) -> None:
        with contextlib.suppress(ApnsInvalidRequestError):
            assert read_channel_ids(text)
