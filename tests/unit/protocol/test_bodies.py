from __future__ import annotations

import contextlib
import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns.exceptions import ApnsError, ApnsReportTooLargeError, ApnsServiceError
from airflow_provider_apns.protocol.bodies import read_answer, read_body
from airflow_provider_apns.protocol.messages import MAX_ANSWER_BYTES
from tests.unit.helpers import answer

GZIP = {"Content-Encoding": "gzip"}
CHUNKED = {"Transfer-Encoding": "chunked"}
LIMIT = 10_000
CSV = b"a,b\n"
BOMB = gzip.compress(gzip.compress(bytes(50 << 20)))

plain = st.binary(max_size=300).filter(lambda body: not body.startswith(b"\x1f\x8b"))


def sized(body: bytes) -> dict[str, str]:
    return {"Content-Length": str(len(body))}


def read(body: bytes, headers: dict[str, str], max_bytes: int = LIMIT) -> bytes:
    return read_body(answer(body=body, headers=headers), max_bytes, "report")


class TestWhole:
    @given(plain)
    def test_plain(self, body: bytes) -> None:
        for headers in (sized(body), {**sized(body), "Content-Encoding": "identity"}, {"transfer-encoding": "Chunked"}):
            assert read(body, headers) == body

    def test_empty(self) -> None:
        assert read(b"", {**sized(b""), **GZIP}) == b""

    @given(st.lists(st.binary(max_size=300), max_size=4))
    def test_gzip_of_several_members(self, members: list[bytes]) -> None:
        packed = b"".join(map(gzip.compress, [CSV, *members]))
        for headers in (GZIP, sized(packed), {**sized(packed), **GZIP}):
            assert read(packed, headers) == b"".join([CSV, *members])

    @given(plain)
    def test_a_stored_csv_gz_that_is_compressed_once_more_in_transit(self, content: bytes) -> None:
        packed = gzip.compress(gzip.compress(content))
        assert read(packed, {**sized(packed), **GZIP}) == content

    def test_a_thousand_members_are_the_most(self) -> None:
        assert read(gzip.compress(CSV) + gzip.compress(b"") * 999, GZIP, 100_000) == CSV
        with pytest.raises(ApnsServiceError, match="broken gzip"):
            read(gzip.compress(CSV) + gzip.compress(b"") * 1000, GZIP, 100_000)

    @pytest.mark.parametrize("headers", [{}, {"content-encoding": "GZIP"}, {"CONTENT-ENCODING": " x-gzip "}])
    def test_gzip_is_known_by_its_first_bytes_and_tells_itself_that_it_is_whole(self, headers: dict[str, str]) -> None:
        assert read(gzip.compress(CSV), headers) == CSV


class TestNotWhole:
    @given(plain, st.data())
    def test_gzip_cut_anywhere(self, content: bytes, data: st.DataObject) -> None:
        packed = gzip.compress(content)
        cut = packed[: data.draw(st.integers(2, len(packed) - 1))]
        for headers in (GZIP, CHUNKED, sized(cut), {**sized(packed), **GZIP}):
            with pytest.raises(ApnsServiceError, match="The report was cut short"):
                read(cut, headers)

    @given(plain.filter(bool), st.data())
    def test_plain_cut_anywhere(self, content: bytes, data: st.DataObject) -> None:
        cut = content[: data.draw(st.integers(0, len(content) - 1))]
        with pytest.raises(ApnsServiceError, match=f"cut short: {len(cut)} of {len(content)} bytes arrived"):
            read(cut, sized(content))

    def test_more_than_was_announced(self) -> None:
        with pytest.raises(ApnsServiceError, match="5 of 4 bytes"):
            read(b"a,b\nc", sized(CSV))

    @pytest.mark.parametrize("length", ["", "x", "-1", "4, 4", "²", "٤", "9" * 5000])
    def test_nothing_tells(self, length: str) -> None:
        with pytest.raises(ApnsServiceError, match="nothing shows whether it is complete"):
            read(CSV, {"Content-Length": length})

    @given(st.binary(min_size=20, max_size=300), st.data())
    def test_one_damaged_byte_is_found(self, content: bytes, data: st.DataObject) -> None:
        packed = bytearray(gzip.compress(content))
        # The checksum and the length stand in the last eight bytes.
        packed[data.draw(st.integers(len(packed) - 8, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
        with pytest.raises(ApnsServiceError, match="has broken gzip data"):
            read(bytes(packed), GZIP)

    @pytest.mark.parametrize("tail", [b"junk", b"\x1f\x8bjunk", b"\x1f\x8b"])
    def test_something_behind_the_gzip(self, tail: bytes) -> None:
        with pytest.raises(ApnsServiceError, match=r"broken gzip|cut short"):
            read(gzip.compress(CSV) + tail, GZIP)

    @pytest.mark.parametrize("body", [CSV, b"\x1f", b"\x1f\x8c" + b"x" * 20, zlib.compress(CSV)])
    def test_marked_as_gzip_but_none(self, body: bytes) -> None:
        with pytest.raises(ApnsServiceError, match="is marked as gzip, but is not gzip"):
            read(body, {**sized(body), **GZIP})

    @pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "x" * 500, "\x1b[31m\x92"])
    def test_an_encoding_that_nobody_asked_for(self, encoding: str) -> None:
        with pytest.raises(ApnsServiceError, match="but only gzip was requested") as raised:
            read(CSV, {**sized(CSV), "Content-Encoding": encoding})
        assert len(str(raised.value)) < 100
        assert str(raised.value).isprintable()

    @given(
        st.binary(max_size=200) | st.binary(max_size=60).map(lambda tail: b"\x1f\x8b\x08" + tail),
        st.dictionaries(
            st.sampled_from(["Content-Encoding", "Content-Length", "Transfer-Encoding"]),
            st.sampled_from(["gzip", "chunked", "5", "²", "", "\x00"]),
        ),
    )
    def test_any_bytes_are_a_body_or_an_error_of_the_family(self, body: bytes, headers: dict[str, str]) -> None:
        with contextlib.suppress(ApnsError):
            assert len(read(body, headers)) <= LIMIT


class TestTooLarge:
    @pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda body: gzip.compress(gzip.compress(body))])
    def test_is_refused_and_told_how_to_allow(self, pack: object) -> None:
        assert callable(pack)
        most = pack(b"x" * LIMIT)
        assert read(most, sized(most)) == b"x" * LIMIT
        more = pack(b"x" * (LIMIT + 1))
        with pytest.raises(ApnsReportTooLargeError, match=r"larger than 10,000 bytes\. Raise max_bytes"):
            read(more, sized(more))
        with pytest.raises(ApnsReportTooLargeError):  # a transport reads no further than it must
            read(b"x" * (LIMIT + 1), {"Content-Length": "20000"})

    def test_the_largest_body_is_read_to_its_end(self) -> None:
        with pytest.raises(ApnsReportTooLargeError):
            read(gzip.compress(b"x" * LIMIT) + gzip.compress(CSV), GZIP)
        with pytest.raises(ApnsServiceError, match="cut short"):
            read(gzip.compress(b"x" * LIMIT)[:-1], GZIP)

    @pytest.mark.parametrize("bomb", [BOMB, gzip.decompress(BOMB)], ids=["of two layers", "of one"])
    def test_a_bomb_ends_early(self, bomb: bytes) -> None:
        tracemalloc.start()
        try:
            with pytest.raises(ApnsReportTooLargeError):
                read(bomb, GZIP, max_bytes=100_000)
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()


class TestAnswers:
    """The short JSON of the API tells by itself whether it is whole."""

    def test_plain_or_packed(self) -> None:
        assert read_answer(answer(body=b"{}")) == read_answer(answer(body=gzip.compress(b"{}"), headers=GZIP)) == b"{}"

    @pytest.mark.parametrize(
        "body", [b"x" * (MAX_ANSWER_BYTES + 1), gzip.compress(bytes(MAX_ANSWER_BYTES + 1)), gzip.compress(b"{}")[:-1]]
    )
    def test_what_is_too_large_or_broken_counts_as_empty(self, body: bytes) -> None:
        assert read_answer(answer(body=body)) == b""
