"""Requesting an export: what Apple takes, what it refuses, and when it repeats itself."""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime, timezone

import pytest

from tests.unit.emulator.conftest import SEGMENTS


@pytest.mark.parametrize("dataset", SEGMENTS)
def test_a_valid_request_gives_a_status_url_beside_it(client, dataset):
    reply = client.request(dataset)

    assert reply.status == 200
    assert reply.json.keys() == {"statusUrl", "requestedAt"}
    base = re.escape(client.request_url(dataset).removesuffix("request"))
    assert re.fullmatch(rf"{base}status/[0-9a-f-]{{36}}", reply.json["statusUrl"])


@pytest.mark.parametrize(("form", "turns"), [("T", "TT"), ("space", "  "), ("turns", "T ")])
def test_the_timestamp_has_a_t_and_nine_decimals_or_a_space(start, form, turns):
    client = start(requested_at=form)
    stamps = [client.request(dataset).json["requestedAt"] for dataset in ("application", "delivery")]
    assert [stamp[10] for stamp in stamps] == list(turns)
    for stamp in stamps:
        assert re.fullmatch(r"2026-03-10 18:01:00Z|2026-03-10T18:01:00\.947123\d{3}Z", stamp)
    assert client.request().json["requestedAt"] == stamps[0]


def test_content_type_may_have_parameters(client):
    headers = client.authorised | {"Content-Type": "application/json; charset=utf-8"}
    assert client.send("POST", client.request_url(), headers, json.dumps(client.body())).status == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_any_other_content_type_is_badly_formed(client, content_type):
    headers = client.authorised | {"Content-Type": content_type}
    reply = client.send("POST", client.request_url(), headers, json.dumps(client.body()))
    assert (reply.status, reply.reason) == (400, "Content-Type must be application/json")


class TestToken:
    @pytest.mark.parametrize("headers", [{}, {"X-Apple-CloudKit-Management-Token": "another"}])
    def test_missing_or_wrong_is_401(self, client, headers):
        headers = {"Content-Type": "application/json"} | headers
        assert client.send("POST", client.request_url(), headers, json.dumps(client.body())).status == 401

    def test_is_good_for_one_team_and_one_app(self, client):
        body = json.dumps(client.body())
        for url in (client.request_url(team="ZZZZZZZZZZ"), client.request_url(app="com.example.other")):
            assert client.send("POST", url, client.authorised, body).status == 401

    def test_is_good_for_one_dataset_if_it_is_set_up_so(self, start):
        client = start(datasets="delivery")
        assert client.request("delivery").status == 200
        assert client.request("application").status == 401

    def test_app_ids_are_percent_decoded(self, start):
        client = start(app_id="com.example/ä")
        assert client.request().status == 200

    def test_the_old_one_is_refused_after_rotation(self, client, apple):
        old = client.authorised
        apple.rotate_token("new")
        assert client.send("POST", client.request_url(), old, json.dumps(client.body())).status == 401
        assert client.request().status == 200

    def test_a_jwt_has_the_claims_of_apples(self, start, clock):
        header, claims = _claims(start(jwt=True, datasets="channel", token_expires_in_days=14).apple.token)
        path = "/v1/dataExports/apns/teams/A1B2C3D4E5/appId/com.example.app/datasetName/broadcastchannelmetrics"
        midnight = datetime(2026, 3, 24, tzinfo=timezone.utc)
        assert header == {"alg": "HS512"}
        assert (claims["aud"], claims["iss"]) == ("acp-developer-client", "ACPDeveloperAPI")
        assert (claims["iat"], claims["exp"]) == (int(clock.now.timestamp()), int(midnight.timestamp()))
        assert claims["scope"] == [f"GET {path}", f"POST {path}"]
        assert claims["sub"]

    def test_a_fraction_of_a_day_is_exact(self, start, clock):
        _, claims = _claims(start(jwt=True, token_expires_in_days=0.5).apple.token)
        assert claims["exp"] == int(clock.now.timestamp()) + 43_200

    def test_one_that_has_expired_is_refused(self, start, clock):
        client = start(jwt=True, token_expires_in_days=14)
        assert client.request().status == 200
        clock.move(days=15)
        assert client.request().status == 401


def _claims(token):
    header, claims, _ = token.split(".")
    return [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (header, claims)]


class TestPath:
    def test_datasets_are_spelled_as_apple_does(self, client):
        for name in ("broadcastapplicationmetrics", "broadcastchannelmetric", "application"):
            url = client.request_url().replace("broadcastapplicationmetric", name)
            reply = client.send("POST", url, client.authorised, json.dumps(client.body()))
            assert (reply.status, reply.reason) == (400, "unknown dataset name")

    def test_anything_else_is_404(self, client, apple):
        assert client.send("POST", f"{apple.url}/v1/dataExports", client.authorised, "{}").status == 404

    def test_get_is_not_allowed(self, client):
        assert client.send("GET", client.request_url(), client.authorised).status == 405


class TestBody:
    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"startDate": NaN}', b"[" * 100_000])
    def test_must_be_a_json_object(self, client, body):
        assert client.send("POST", client.request_url(), client.authorised, body).status == 400

    @pytest.mark.parametrize("key", ["startDate", "endDate"])
    def test_needs_the_days(self, client, key):
        reply = client.request(**{key: None})
        assert (reply.status, reply.reason) == (400, f"missing {key}")

    def test_may_have_no_other_key(self, client):
        reply = client.request(start_date="2026-03-01")
        assert (reply.status, reply.reason) == (400, "unexpected start_date for broadcastapplicationmetric")

    @pytest.mark.parametrize("minutes", [19, 61, 0, -30, True, "30", 30.0, [30]])
    def test_expiry_is_an_integer_from_20_to_60(self, client, minutes):
        assert client.request(dataDownloadUrlExpiresInMinutes=minutes).status == 400

    def test_expiry_is_an_hour_if_it_is_left_out(self, client):
        assert client.request(dataDownloadUrlExpiresInMinutes=None).json == client.request().json

    @pytest.mark.parametrize("minutes", [20, 60])
    def test_expiry_includes_its_bounds(self, client, minutes):
        assert client.request(dataDownloadUrlExpiresInMinutes=minutes).status == 200


class TestDates:
    @pytest.mark.parametrize(
        "text", ["2026-3-1", "2026-03-01T00:00:00Z", "2026-02-30", "\u0662\u0660\u0662\u0666-03-01", "", 20260301]
    )
    def test_are_strictly_spelled(self, client, text):
        assert client.request(startDate=text).status == 400
        assert client.request(endDate=text).status == 400

    @pytest.mark.parametrize(("first", "last"), [(-30, -1), (-30, -29), (-2, -1)])
    def test_go_from_30_days_back_to_yesterday(self, client, clock, first, last):
        assert client.request(startDate=str(clock.day(first)), endDate=str(clock.day(last))).status == 200

    @pytest.mark.parametrize(("first", "last"), [(-31, -1), (-5, 0), (-5, 1), (0, 1)])
    def test_beyond_that_the_answer_names_the_range(self, client, clock, first, last):
        reply = client.request(startDate=str(clock.day(first)), endDate=str(clock.day(last)))
        assert reply.status == 400
        assert "the supported date range is 2026-02-08 to 2026-03-09" in reply.reason

    @pytest.mark.parametrize(("first", "last"), [(-3, -3), (-1, -1), (-3, -4)])
    def test_end_must_be_later_than_start_so_one_day_alone_cannot_be_asked_for(self, client, clock, first, last):
        reply = client.request(startDate=str(clock.day(first)), endDate=str(clock.day(last)))
        assert reply.status == 400
        assert "endDate must be later than startDate" in reply.reason

    def test_today_is_the_day_in_utc(self, client, clock):
        yesterday = str(clock.day(-1))
        clock.now = clock.now.replace(hour=0, minute=0, second=0)
        assert client.request(endDate=yesterday).status == 200
        clock.move(seconds=-5)
        assert client.request(endDate=yesterday).status == 400


class TestChannel:
    def test_is_for_the_channel_dataset_only(self, client, apple):
        assert client.request("application", channelId=apple.channel_ids[0]).status == 400
        assert client.request("delivery", channelId=apple.channel_ids[0]).status == 400

    def test_is_needed_there(self, client):
        assert client.request("channel", channelId=None).reason == "missing channelId"

    @pytest.mark.parametrize("text", ["no base64!", "-_-_", "abc", "A===", "", "QUJD\n", 7, None])
    def test_must_be_standard_base64(self, client, text):
        assert client.request("channel", channelId=text).status == 400

    def test_must_exist(self, client):
        reply = client.request("channel", channelId="AAAAAAAAAAAAAAAAAAAAAA==")
        assert (reply.status, reply.reason) == (404, "channel identifier not found")


class TestRepeats:
    def test_the_same_request_within_24_hours_is_the_same_export(self, client, apple, clock):
        first = client.request("channel")
        clock.move(hours=23, minutes=59)
        # The later day would be another request: it names the days, not the distance to them.
        again = client.request("channel", startDate=str(clock.day(-8)), endDate=str(clock.day(-2)))

        assert again.json == first.json
        assert (apple.ledger.posts, apple.ledger.exports_created) == (2, 1)

    def test_after_24_hours_it_is_a_new_export_with_the_events_logged_since(self, client, clock):
        days = {"startDate": str(clock.day(-2)), "endDate": str(clock.day(-1))}
        first = client.data_url("delivery", **days)
        early = client.download(first).body
        clock.move(hours=24)

        late = client.download(client.data_url("delivery", **days)).body

        assert _total(late) > _total(early)
        clock.move(hours=24)
        assert _total(client.download(client.data_url("delivery", **days)).body) > _total(late)

    def test_a_failed_export_stays_failed_for_24_hours(self, start, clock):
        client = start(fail=1.0)
        first = client.request()
        again = client.request()

        assert again.json["statusUrl"] == first.json["statusUrl"]
        assert client.status(again.json["statusUrl"]).json["status"] == "FAILED"

    def test_any_difference_makes_another_export(self, client, apple, clock):
        client.request()
        client.request(startDate=str(clock.day(-6)))
        client.request(endDate=str(clock.day(-2)))
        client.request(dataDownloadUrlExpiresInMinutes=30)
        client.request("delivery")
        client.request("channel")
        client.request("channel", channelId=apple.channel_ids[1])
        assert apple.ledger.exports_created == 7


def _total(csv):
    return sum(int(row.split(b",")[-1]) for row in csv.splitlines()[1:])
