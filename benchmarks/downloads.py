"""What a report of one gigabyte costs, on its way to the local disk and to S3."""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import psutil

from benchmarks.clients.waiting import HEADER
from benchmarks.process import Bench, in_turn
from benchmarks.report import Row, ratio
from tests.support.s3 import s3_server

ROWS = 30_000_000
LOCAL = ("curl", "ours")
S3 = ("upload", "ours to S3", "amazon")


def measure(bench: Bench, say: Callable[[str], None]) -> list[Row]:
    with (
        s3_server(bench.folder / "s3.txt") as s3,
        bench.server("emulator", dataset="delivery", rows=ROWS, exports=1) as server,
    ):
        store = next(child for child in psutil.Process().children() if "moto.server" in " ".join(child.cmdline()))

        def bringing(way: str) -> Callable[[], dict[str, Any]]:
            local = str(bench.folder / f"{way}.csv")
            target = local if way in LOCAL else f"s3://store@{s3.bucket}/{way.replace(' ', '-')}.csv"

            def run() -> dict[str, Any]:
                busy = sum(store.cpu_times()[:2])
                figures = bench.client(
                    "download",
                    server,
                    way=way.split()[0],
                    status_url=server["status_urls"][0],
                    data_url=fresh_url(server),
                    target=target,
                    store=s3.connection,
                )
                return {**figures, "store": sum(store.cpu_times()[:2]) - busy}

            return run

        found = in_turn({way: bringing(way) for way in LOCAL}, 5, say)
        found |= in_turn({way: bringing(way) for way in S3}, 2, say)
    gigabytes = found["curl"]["size"] / 1e9
    ours, curl, s3_ours, upload, amazon = (found[way] for way in ("ours", "curl", "ours to S3", "upload", "amazon"))
    both = curl["wall"] + upload["wall"]
    return [
        Row(
            f"download of a CSV of {gigabytes:.1f} GB to the local disk",
            "memory growth at most 64 MB, at most 1.25 times curl --compressed",
            f"{ours['wall']:.1f} s ({ours['wall'] / curl['wall']:.2f} times), {ours['memory'] / 1e6:.0f} MB",
            {"curl --compressed": f"{curl['wall']:.1f} s"},
            ours["memory"] <= 64e6 and ours["wall"] <= 1.25 * curl["wall"],
            "wall times; ours also checks the CSV, hashes it and brings it to the disk with fsync",
        ),
        Row(
            f"download of a CSV of {gigabytes:.1f} GB to S3",
            "memory growth at most 64 MB, at most 1.25 times curl and the store's own upload",
            f"{s3_ours['wall']:.1f} s ({s3_ours['wall'] / both:.2f} times), {s3_ours['memory'] / 1e6:.0f} MB",
            {
                "curl, then boto3's upload_file": f"{both:.1f} s",
                "amazon HttpToS3Operator": f"{amazon['wall']:.1f} s, {amazon['memory'] / 1e6:.0f} MB: "
                f"{ratio(amazon['memory'], s3_ours['memory'])} in memory",
            },
            s3_ours["memory"] <= 64e6 and s3_ours["wall"] <= 1.25 * both,
            "wall times; the store is moto's server in a process of its own, the bottleneck of all three: of its one "
            f"CPU it used {upload['store']:.0f} s in boto3's {upload['wall']:.0f} s, {s3_ours['store']:.0f} s in our "
            f"{s3_ours['wall']:.0f} s and {amazon['store']:.0f} s in amazon's {amazon['wall']:.0f} s",
        ),
    ]


def fresh_url(server: Mapping[str, Any]) -> str:
    """Ask for a download URL, as a person with curl does."""
    request = urllib.request.Request(server["status_urls"][0], headers={HEADER: server["connection"]["password"]})
    context = ssl.create_default_context(cafile=server["ca"]) if server["ca"] else None
    with urllib.request.urlopen(request, context=context) as answer:
        return str(json.load(answer)["downloadDetails"]["dataUrl"])
