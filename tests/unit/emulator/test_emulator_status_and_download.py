"""From the status URL to the CSV."""

from __future__ import annotations

import gzip
import re
from urllib.parse import urlsplit

import pytest


class TestStatus:
    def test_success_has_a_timestamp_with_a_t_and_an_expiry_with_six_decimals(self, client):
        answer = client.status(client.request().json["statusUrl"]).json

        assert answer["status"] == "SUCCESS"
        assert answer["requestedAt"] == "2026-03-10T18:01:00.947Z"
        assert answer["downloadDetails"].keys() == {"dataUrl", "expiresAt"}
        assert answer["downloadDetails"]["expiresAt"] == "2026-03-10T19:01:00.947123Z"

    def test_the_key_can_be_spelled_as_in_apples_table(self, start):
        client = start(data_url_key="dataURL")
        answer = client.status(client.request().json["statusUrl"]).json
        assert answer["downloadDetails"].keys() == {"dataURL", "expiresAt"}

    def test_an_export_is_processing_for_a_while(self, start, clock):
        client = start(processing_seconds=30)
        status_url = client.request().json["statusUrl"]

        assert client.status(status_url).json == {
            "status": "PROCESSING",
            "requestedAt": "2026-03-10T18:01:00.947Z",
        }
        clock.move(seconds=30)
        assert client.status(status_url).json["status"] == "SUCCESS"

    def test_or_for_a_number_of_polls(self, start):
        client = start(processing_polls=2)
        status_url = client.request().json["statusUrl"]
        words = [client.status(status_url).json["status"] for _ in range(4)]
        assert words == ["PROCESSING", "PROCESSING", "SUCCESS", "SUCCESS"]

    @pytest.mark.parametrize(("option", "word"), [("fail", "FAILED"), ("expire", "EXPIRED")])
    def test_other_ends_have_no_download_url(self, start, option, word):
        client = start(**{option: ["delivery"]})
        answer = client.status(client.request("delivery").json["statusUrl"]).json
        assert answer == {"status": word, "requestedAt": "2026-03-10T18:01:00.947Z"}
        assert client.status(client.request("application").json["statusUrl"]).json["status"] == "SUCCESS"

    def test_a_share_of_the_exports_can_fail_the_same_ones_every_time(self, start):
        def failing(client):
            urls = [client.request("channel", channelId=each).json["statusUrl"] for each in client.apple.channel_ids]
            return [client.status(url).json["status"] == "FAILED" for url in urls]

        first, second = failing(start(channels=60, fail=0.3)), failing(start(channels=60, fail=0.3))
        assert first == second
        assert 5 < sum(first) < 35

    def test_every_answer_has_a_new_download_url(self, client, clock):
        status_url = client.request().json["statusUrl"]
        first = client.status(status_url).json["downloadDetails"]
        second = client.status(status_url).json["downloadDetails"]
        clock.move(minutes=5)
        third = client.status(status_url).json["downloadDetails"]

        assert len({first["dataUrl"], second["dataUrl"], third["dataUrl"]}) == 3
        assert third["expiresAt"] == "2026-03-10T19:06:00.947123Z"

    def test_after_six_months_it_has_expired(self, client, clock):
        status_url = client.request().json["statusUrl"]
        clock.move(days=180)
        assert client.status(status_url).json["status"] == "EXPIRED"

    @pytest.mark.parametrize(("dataset", "status"), [("application", 401), ("channel", 401), ("delivery", 404)])
    def test_a_wrong_token_is_refused_as_the_articles_say(self, client, apple, dataset, status):
        status_url = client.request(dataset).json["statusUrl"]
        assert client.send("GET", status_url).status == status
        apple.rotate_token("new")
        assert client.status(status_url).status == 200

    def test_an_unknown_export_is_404_and_nonsense_is_400(self, client):
        base = client.request().json["statusUrl"].rpartition("/")[0]
        assert client.status(f"{base}/00000000-0000-0000-0000-000000000000").status == 404
        assert client.status(f"{base}/nonsense").status == 400

    def test_status_and_download_urls_can_have_hosts_of_their_own(self, start):
        client = start(status_host="localhost", download_host="127.0.0.2")
        assert urlsplit(client.request().json["statusUrl"]).hostname == "localhost"
        assert urlsplit(client.data_url()).hostname == "127.0.0.2"

    def test_the_path_must_be_that_of_the_export(self, client):
        status_url = client.request().json["statusUrl"]
        for path in ("broadcastapplicationmetric", "com.example.app", "A1B2C3D4E5"):
            assert client.status(status_url.replace(path, "deliverymetrics")).status in (401, 404)


class TestDownload:
    @pytest.mark.parametrize("dataset", ["application", "channel", "delivery"])
    def test_the_data_is_what_the_emulator_says_it_is(self, client, apple, clock, dataset):
        reply = client.download(client.data_url(dataset))

        channel = apple.channel_ids[0] if dataset == "channel" else None
        assert reply.body == apple.csv(dataset, clock.day(-7), clock.day(-1), channel)
        assert reply.headers["Content-Type"] == "text/csv"
        assert reply.headers["Content-Length"] == str(len(reply.body))

    @pytest.mark.parametrize("accepted", ["gzip", "deflate, gzip;q=0.5", "*"])
    def test_it_is_compressed_for_those_who_accept_that(self, client, accepted):
        url = client.data_url()
        reply = client.download(url, **{"Accept-Encoding": accepted})
        assert reply.headers["Content-Encoding"] == "gzip"
        assert reply.headers["Content-Length"] == str(len(reply.body))
        assert gzip.decompress(reply.body) == client.download(url).body

    @pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "br", ""])
    def test_and_for_nobody_else(self, client, accepted):
        reply = client.download(client.data_url(), **{"Accept-Encoding": accepted})
        assert reply.headers["Content-Encoding"] is None

    def test_the_signature_holds_what_must_stay_encoded(self, client):
        urls = [client.data_url() for _ in range(20)]
        assert any("%2B" in url for url in urls)
        assert all(client.download(url).status == 200 for url in urls)

    def test_an_expired_url_is_refused_in_xml_and_a_new_one_is_to_be_had(self, client, clock):
        status_url = client.request(dataDownloadUrlExpiresInMinutes=20).json["statusUrl"]
        data_url = client.status(status_url).json["downloadDetails"]["dataUrl"]
        clock.move(minutes=20)
        reply = client.download(data_url)
        assert (reply.status, reply.headers["Content-Type"]) == (403, "application/xml")
        assert b"<Message>Request has expired</Message>" in reply.body

        fresh = client.status(status_url).json["downloadDetails"]["dataUrl"]
        assert client.download(fresh).status == 200

    def test_urls_can_be_made_to_expire_soon(self, start, clock):
        url = (client := start(url_expires_seconds=2)).data_url()
        for status in (200, 403):
            clock.move(seconds=1)
            assert client.download(url).status == status

    def test_a_changed_url_is_refused(self, client, apple):
        url, other = client.data_url(), client.data_url("delivery")
        for wrong in (
            url.partition("?")[0],
            re.sub("Expires=1", "Expires=2", url),
            url[:-8] + "AAAAAAAA",
            other.partition("?")[0] + "?" + url.partition("?")[2],
            url + "%",
        ):
            assert client.download(wrong).status == 403

    def test_the_token_must_not_come_along(self, client, apple):
        reply = client.download(client.data_url(), **{"X-Apple-CloudKit-Management-Token": apple.token})
        assert reply.status == 400
        assert len(apple.ledger.violations) == 1
        assert apple.token not in str(apple.ledger.as_dict(records=True))
