from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_apns.multipart import PART_SIZE, PARTS_AT_ONCE, MultipartUpload

TARGET = {"Bucket": "bucket", "Key": "folder/key"}


@dataclass
class Session:
    """What the environment, or a file of its own, tells botocore."""

    when: str | None

    def get_config_variable(self, name: str) -> str | None:
        assert name == "request_checksum_calculation"
        return self.when


class SlowS3:
    """
    As much of the file system of s3fs as an upload needs; the first of several parts takes the longest.

    As S3 does, it insists on the checksums that an upload began with.
    """

    def __init__(self, when: str | None = "when_supported", **additional: str) -> None:
        self.session = Session(when)
        self.config_kwargs: dict[str, str] = {}
        self.s3_additional_kwargs = additional
        self.calls: list[str] = []
        self.parts: dict[int, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.in_flight = self.most_in_flight = 0
        self.failing: int | None = None
        self.checksum: str | None = None
        self.confirms = True
        self._lock = threading.Lock()

    def split_path(self, path: str) -> tuple[str, str, None]:
        bucket, _, key = path.partition("/")
        return bucket, key, None

    def call_s3(self, method: str, **arguments: Any) -> dict[str, Any]:
        assert arguments.items() >= TARGET.items()
        if method != "create_multipart_upload":
            assert arguments["UploadId"] == "an-upload"
        answer: dict[str, Any] = getattr(self, method)(**arguments)
        with self._lock:
            self.calls.append(method)
        return answer

    def create_multipart_upload(self, ChecksumAlgorithm: str | None = None, **target: str) -> dict[str, str]:
        self.checksum = ChecksumAlgorithm
        confirmation = {"ChecksumAlgorithm": ChecksumAlgorithm} if ChecksumAlgorithm and self.confirms else {}
        return {"UploadId": "an-upload", **confirmation}

    def upload_part(
        self, PartNumber: int, Body: bytearray, ChecksumAlgorithm: str | None = None, **target: str
    ) -> dict[str, str]:
        assert ChecksumAlgorithm == self.checksum
        with self._lock:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        time.sleep(0.2 if PartNumber == 1 else 0.05)
        with self._lock:
            self.in_flight -= 1
            self.parts[PartNumber] = bytes(Body)
        if PartNumber == self.failing:
            raise OSError("the store is gone")
        return {"ETag": f"etag-{PartNumber}", **self._checked(PartNumber)}

    def _checked(self, number: int) -> dict[str, str]:
        return {f"Checksum{self.checksum}": f"checksum-{number}"} if self.checksum else {}

    def complete_multipart_upload(self, MultipartUpload: dict[str, Any], **target: str) -> dict[str, str]:
        self.completed = MultipartUpload["Parts"]
        assert all(part.items() >= self._checked(part["PartNumber"]).items() for part in self.completed)
        self.objects["folder/key"] = b"".join(self.parts[part["PartNumber"]] for part in self.completed)
        return {}

    def abort_multipart_upload(self, **target: str) -> dict[str, str]:
        assert self.in_flight == 0
        return {}

    def pipe_file(self, path: str, data: bytes) -> None:
        self.calls.append("put_object")
        self.objects[path.partition("/")[2]] = data

    def invalidate_cache(self, path: str) -> None:
        assert path == "bucket/folder/key"


@pytest.fixture
def s3() -> SlowS3:
    return SlowS3()


@pytest.fixture
def upload(s3: SlowS3) -> MultipartUpload:
    return MultipartUpload(s3, "bucket/folder/key")


def pattern(size: int) -> bytes:
    """Bytes of which no two parts are alike."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


@pytest.mark.parametrize("piece", [1 << 20, (1 << 20) + 7, 3 * PART_SIZE + 1])
def test_parts_come_together_in_their_order(s3: SlowS3, upload: MultipartUpload, piece: int) -> None:
    data = pattern(4 * PART_SIZE + 11)
    for start in range(0, len(data), piece):
        assert upload.write(data[start : start + piece]) == len(data[start : start + piece])
    assert s3.objects == {}
    upload.commit()
    assert s3.objects == {"folder/key": data}
    assert [len(part) for _, part in sorted(s3.parts.items())] == [PART_SIZE] * 4 + [11]
    assert s3.completed == [
        {"PartNumber": number, "ETag": f"etag-{number}", "ChecksumCRC32": f"checksum-{number}"}
        for number in range(1, 6)
    ]


def test_a_few_parts_are_on_their_way_at_once(s3: SlowS3, upload: MultipartUpload) -> None:
    for _ in range(8):
        upload.write(bytes(PART_SIZE))
    upload.commit()
    assert s3.most_in_flight == PARTS_AT_ONCE


def test_no_empty_part_at_the_end(s3: SlowS3, upload: MultipartUpload) -> None:
    upload.write(bytes(PART_SIZE))
    upload.commit()
    assert s3.calls == ["create_multipart_upload", "upload_part", "complete_multipart_upload"]


@pytest.mark.parametrize("size", [0, 1, PART_SIZE - 1])
def test_a_small_object_is_one_request(s3: SlowS3, upload: MultipartUpload, size: int) -> None:
    upload.write(bytes(size))
    upload.commit()
    assert s3.objects == {"folder/key": bytes(size)}
    assert s3.calls == ["put_object"]


@pytest.mark.parametrize(
    ("s3", "checksum"),
    [
        pytest.param(SlowS3(), "CRC32", id="as boto3's own uploads"),
        pytest.param(SlowS3("WHEN_REQUIRED"), None, id="a store that knows no checksums"),
        pytest.param(SlowS3(None), None, id="a botocore that knows none"),
        pytest.param(SlowS3(ChecksumAlgorithm="SHA256"), "SHA256", id="what the connection says"),
        pytest.param(SlowS3("when_required", ChecksumAlgorithm="CRC32C"), "CRC32C", id="what it says, required or not"),
    ],
)
def test_parts_are_checked_as_the_connection_says(s3: SlowS3, checksum: str | None) -> None:
    upload = MultipartUpload(s3, "bucket/folder/key")
    upload.write(bytes(PART_SIZE))
    upload.commit()
    part = {"PartNumber": 1, "ETag": "etag-1"}
    assert s3.completed == [part | {f"Checksum{checksum}": "checksum-1"} if checksum else part]


def test_a_store_that_does_not_confirm_the_checksum_is_sent_none(s3: SlowS3, upload: MultipartUpload) -> None:
    s3.confirms = False
    upload.write(bytes(PART_SIZE))
    upload.commit()
    assert s3.completed == [{"PartNumber": 1, "ETag": "etag-1"}]
    begun = ["create_multipart_upload", "abort_multipart_upload", "create_multipart_upload"]
    assert s3.calls == [*begun, "upload_part", "complete_multipart_upload"]


def test_the_connection_comes_before_the_environment(s3: SlowS3) -> None:
    s3.config_kwargs["request_checksum_calculation"] = "when_required"
    upload = MultipartUpload(s3, "bucket/folder/key")
    upload.write(bytes(PART_SIZE))
    upload.commit()
    assert s3.completed == [{"PartNumber": 1, "ETag": "etag-1"}]


@pytest.mark.parametrize("parts", [2, 8])
def test_a_part_that_cannot_be_sent_is_told(s3: SlowS3, upload: MultipartUpload, parts: int) -> None:
    s3.failing = 2

    def write() -> None:
        for _ in range(parts):
            upload.write(bytes(PART_SIZE))
        upload.commit()

    with pytest.raises(OSError, match="the store is gone"):
        write()
    upload.discard()
    assert s3.objects == {}
    assert s3.calls[-1] == "abort_multipart_upload"
    assert "complete_multipart_upload" not in s3.calls


def test_what_is_discarded_is_dropped_when_no_part_is_on_its_way(s3: SlowS3, upload: MultipartUpload) -> None:
    for _ in range(PARTS_AT_ONCE):
        upload.write(bytes(PART_SIZE))
    upload.discard()  # `abort_multipart_upload` looks that none is
    assert s3.calls[-1] == "abort_multipart_upload"
    calls = list(s3.calls)
    time.sleep(0.3)
    assert s3.calls == calls


def test_nothing_is_asked_for_where_nothing_was_sent(s3: SlowS3, upload: MultipartUpload) -> None:
    upload.write(b"x")
    upload.discard()
    assert s3.calls == []
