from __future__ import annotations

import base64
import random
import uuid
from datetime import date, datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_apns.batches.batch import Asked, Batch, Failure

NOW = datetime(2026, 3, 31, 6, tzinfo=timezone.utc)
DAYS = st.integers(1, 30).map(lambda ago: NOW.date() - timedelta(days=ago))
WANTED = st.dictionaries(st.none() | st.text(max_size=9), st.frozensets(DAYS, min_size=1), min_size=1, max_size=5)


@given(WANTED, st.data())
def test_packs_and_unpacks(wanted: dict[str | None, frozenset[date]], data: Any) -> None:
    exports = st.builds(Asked, st.sampled_from(list(wanted)), st.text(max_size=9), st.integers(0, 2))
    batch = Batch(
        path=data.draw(st.text()),
        wanted=wanted,
        begun_at=NOW,
        settled=data.draw(st.frozensets(st.sampled_from(sorted(frozenset().union(*wanted.values()))))),
        lost=tuple(data.draw(st.lists(DAYS))),
        exports=tuple(data.draw(st.lists(exports))),
        missing=tuple(data.draw(st.lists(st.text()))),
        failed=data.draw(st.dictionaries(st.text(), st.builds(Failure, st.text(), st.booleans()))),
    )
    assert Batch.unpack(str(batch.pack())) == batch


def test_ten_thousand_exports_stay_below_a_megabyte() -> None:
    channels = [base64.b64encode(random.randbytes(16)).decode() for _ in range(10_000)]
    api = "https://api.icloud.apple.com/v1/dataExports/apns/teams/A1B2C3D4E5/appId/com.example.app/datasetName"
    exports = (Asked(channel, f"{api}/broadcastchannelmetrics/status/{uuid.uuid4()}") for channel in channels)
    wanted = dict.fromkeys(channels, frozenset({date(2026, 3, 1), date(2026, 3, 30)}))
    assert len(Batch("s3://b/{date}.csv", wanted, NOW, exports=tuple(exports)).pack()) < 1_000_000
