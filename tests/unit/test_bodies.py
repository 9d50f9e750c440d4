from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns import bodies
from airflow_provider_apns.bodies import AnswerBody, BodyDecoder
from airflow_provider_apns.exceptions import ApnsError, ApnsReportTooLargeError, ApnsServiceError

GZIP = {"Content-Encoding": "gzip"}
CHUNKED = {"Transfer-Encoding": "chunked"}
LIMIT = 10_000
PIECE = bodies._PIECE


def chunks_of(data: bytes, sizes: Iterable[int]) -> list[bytes]:
    """Cut data into chunks of these sizes, and a last one with the rest."""
    chunks, start = [], 0
    for size in sizes:
        chunks.append(data[start : start + size])
        start += size
    return [*chunks, data[start:]]


def decode(chunks: Iterable[bytes], headers: Mapping[str, str], max_bytes: int = LIMIT) -> bytes:
    decoder = BodyDecoder(headers, max_bytes, "report")
    pieces = [piece for chunk in chunks for piece in decoder.feed(chunk)]
    pieces += decoder.rest()
    decoder.check_whole()
    assert decoder.size == sum(map(len, pieces))
    assert all(len(piece) <= PIECE for piece in pieces) or "gzip" not in headers.values()
    return b"".join(pieces)


def sized(body: bytes, headers: Mapping[str, str] = {}) -> dict[str, str]:
    return {"Content-Length": str(len(body)), **headers}


plain = st.binary(max_size=300).filter(lambda data: not data.startswith(b"\x1f\x8b"))
cuts = st.lists(st.integers(0, 20), max_size=40)


class TestWhole:
    @given(plain, cuts)
    def test_plain_in_any_chunks(self, data: bytes, sizes: list[int]) -> None:
        assert decode(chunks_of(data, sizes), sized(data)) == data

    @given(st.binary(max_size=3000), cuts)
    def test_gzip_in_any_chunks(self, data: bytes, sizes: list[int]) -> None:
        packed = gzip.compress(data)
        assert decode(chunks_of(packed, sizes), sized(packed, GZIP)) == data

    @given(st.lists(st.binary(max_size=100), min_size=1, max_size=5), cuts)
    def test_gzip_of_several_members(self, parts: list[bytes], sizes: list[int]) -> None:
        packed = b"".join(map(gzip.compress, parts))
        assert decode(chunks_of(packed, sizes), sized(packed, GZIP)) == b"".join(parts)

    @pytest.mark.parametrize("body", [b"", b"x", b"\x1f"])
    @pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "identity"}])
    def test_the_shortest_bodies(self, body: bytes, headers: dict[str, str]) -> None:
        assert decode([body] if body else [], sized(body, headers)) == body

    @pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE])
    @pytest.mark.parametrize("chunk", [1000, 1 << 30])
    def test_gzip_around_the_size_of_a_piece(self, size: int, chunk: int) -> None:
        data = b"0123456789abcdef" * (size // 16 + 1)
        packed = gzip.compress(data[:size])
        assert decode(chunks_of(packed, [chunk] * (len(packed) // chunk)), sized(packed, GZIP), size) == data[:size]

    @pytest.mark.parametrize("headers", [{}, {"content-encoding": "GZIP"}, {"CONTENT-ENCODING": " x-gzip "}])
    def test_gzip_is_known_by_its_first_bytes(self, headers: dict[str, str]) -> None:
        packed = gzip.compress(b"a,b\n")
        assert decode([packed], sized(packed, headers)) == b"a,b\n"

    @pytest.mark.parametrize("headers", [CHUNKED, {"transfer-encoding": "Chunked"}, {"Content-Length": "4"}])
    def test_what_tells_that_a_plain_body_is_whole(self, headers: dict[str, str]) -> None:
        assert decode([b"a,b\n"], headers) == b"a,b\n"

    def test_gzip_tells_it_itself(self) -> None:
        assert decode([gzip.compress(b"a,b\n")], GZIP) == b"a,b\n"


class TestNotWhole:
    @given(st.binary(min_size=1, max_size=300), st.data(), cuts)
    def test_gzip_cut_anywhere(self, content: bytes, data: st.DataObject, sizes: list[int]) -> None:
        packed = gzip.compress(content)
        cut = packed[: data.draw(st.integers(2, len(packed) - 1))]
        for headers in (GZIP, CHUNKED, sized(cut), sized(packed, GZIP)):
            with pytest.raises(ApnsServiceError, match="cut short"):
                decode(chunks_of(cut, sizes), headers)

    @given(plain.filter(bool), st.data(), cuts)
    def test_plain_cut_anywhere(self, content: bytes, data: st.DataObject, sizes: list[int]) -> None:
        cut = content[: data.draw(st.integers(0, len(content) - 1))]
        with pytest.raises(ApnsServiceError, match=f"cut short: {len(cut)} of {len(content)} bytes"):
            decode(chunks_of(cut, sizes), sized(content))

    def test_more_than_was_announced(self) -> None:
        with pytest.raises(ApnsServiceError, match="5 of 4 bytes"):
            decode([b"a,b\nc"], {"Content-Length": "4"})

    @pytest.mark.parametrize(
        "length",
        [
            {},
            {"Content-Length": "x"},
            {"Content-Length": "-1"},
            {"Content-Length": "4, 4"},
            {"Content-Length": "9" * 5000},
        ],
    )
    def test_nothing_tells(self, length: dict[str, str]) -> None:
        with pytest.raises(ApnsServiceError, match=r"nothing tells whether it is whole|cut short"):
            decode([b"a,b\n"], length)

    @given(st.binary(min_size=20, max_size=300), st.data())
    def test_one_damaged_byte_is_found(self, content: bytes, data: st.DataObject) -> None:
        packed = bytearray(gzip.compress(content))
        # The checksum and the length stand in the last eight bytes.
        packed[data.draw(st.integers(len(packed) - 8, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
        with pytest.raises(ApnsServiceError, match=r"broken gzip|cut short"):
            decode([bytes(packed)], sized(packed, GZIP))

    @pytest.mark.parametrize("tail", [b"junk", b"\x1f\x8bjunk", b"\x00"])
    def test_something_behind_the_gzip(self, tail: bytes) -> None:
        with pytest.raises(ApnsServiceError, match=r"broken gzip|cut short"):
            decode([gzip.compress(b"a,b\n") + tail], GZIP)

    @pytest.mark.parametrize("body", [b"a,b\n", b"\x1f", b"\x1f\x8c" + b"x" * 20, zlib.compress(b"a,b\n")])
    def test_marked_as_gzip_but_none(self, body: bytes) -> None:
        with pytest.raises(ApnsServiceError, match="is marked as gzip but is none"):
            decode([body], sized(body, GZIP))

    @pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "x" * 500])
    def test_an_encoding_that_nobody_asked_for(self, encoding: str) -> None:
        with pytest.raises(ApnsServiceError, match="although only gzip was asked for"):
            BodyDecoder({"Content-Encoding": encoding}, LIMIT, "report")

    @given(
        st.lists(st.binary(max_size=60)),
        st.dictionaries(
            st.sampled_from(["Content-Encoding", "Content-Length", "Transfer-Encoding"]),
            st.sampled_from(["gzip", "chunked", "5", "²", "", "\x00"]),
        ),
    )
    def test_any_bytes_are_a_body_or_an_error_of_the_family(self, chunks: list[bytes], headers: dict[str, str]) -> None:
        with contextlib.suppress(ApnsError):
            decode(chunks, headers)


class TestTooLarge:
    @pytest.mark.parametrize("body", [b"x" * (LIMIT + 1), gzip.compress(b"x" * (LIMIT + 1))])
    def test_is_refused_and_told_how_to_allow(self, body: bytes) -> None:
        with pytest.raises(ApnsReportTooLargeError, match=r"larger than 10,000 bytes\. Raise max_bytes"):
            decode([body], sized(body))

    @pytest.mark.parametrize("body", [b"x" * LIMIT, gzip.compress(b"x" * LIMIT)])
    def test_the_limit_itself_is_fine(self, body: bytes) -> None:
        assert decode([body], sized(body)) == b"x" * LIMIT

    def test_a_bomb_stops_at_the_limit(self) -> None:
        bomb = gzip.compress(bytes(200 << 20), 9)
        decoder = BodyDecoder(GZIP, 3 * PIECE, "report")
        taken = 0
        with pytest.raises(ApnsReportTooLargeError):  # noqa: PT012
            for piece in decoder.feed(bomb):
                assert len(piece) <= PIECE
                taken += len(piece)
        assert taken == 3 * PIECE


class TestAnswerBody:
    def collect(self, chunks: Iterable[bytes], headers: Mapping[str, str], max_bytes: int = 100) -> bytes:
        body = AnswerBody(headers, max_bytes)
        for chunk in chunks:
            if not body.feed(chunk):
                break
        return body.decoded()

    @pytest.mark.parametrize("headers", [{}, CHUNKED, {"Content-Length": "2"}])
    def test_plain_or_packed(self, headers: dict[str, str]) -> None:
        assert self.collect([b"{", b"}"], headers) == b"{}"
        assert self.collect([gzip.compress(b"{}")], {**headers, **GZIP}) == b"{}"

    @pytest.mark.parametrize("body", [b"x" * 101, gzip.compress(b"x" * 101), gzip.compress(bytes(50 << 20))[:90]])
    def test_what_is_too_large_counts_as_empty(self, body: bytes) -> None:
        assert self.collect([body], {}) == b""

    def test_no_more_is_read_than_needed(self) -> None:
        body = AnswerBody({}, 100)
        assert body.feed(b"x" * 100)
        assert not body.feed(b"x")

    @pytest.mark.parametrize("headers", [GZIP, {"Content-Encoding": "br"}])
    def test_what_is_broken_counts_as_empty(self, headers: dict[str, str]) -> None:
        assert self.collect([b"nonsense"], headers) == b""

    @given(st.lists(st.binary(max_size=60)), st.sampled_from(["gzip", "br", "", "identity"]))
    def test_nothing_is_ever_raised(self, chunks: list[bytes], encoding: str) -> None:
        assert len(self.collect(chunks, {"Content-Encoding": encoding})) <= 100
