"""What the emulator remembers, and how it is steered from another process."""

from __future__ import annotations

import http.client
import json
import ssl
import threading

import pytest

from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.emulator.control import is_loopback


class TestLedger:
    def test_counts_and_records(self, client, apple):
        client.download(client.data_url())
        client.request("channel", channelId="AAAAAAAAAAAAAAAAAAAAAA==")

        ledger = apple.ledger
        assert (ledger.posts, ledger.exports_created, ledger.gets, ledger.downloads) == (2, 1, 1, 1)
        assert (ledger.count("request", 200), ledger.count("request", 404)) == (1, 1)
        assert [record.endpoint for record in ledger.records] == ["request", "status", "download", "request"]
        assert [record.had_token for record in ledger.records] == [True, True, False, True]
        assert len({record.export_id for record in ledger.records[:3]}) == 1
        assert ledger.violations == []

    def test_holds_no_secrets(self, client, apple):
        url = client.data_url()
        client.download(url)
        text = str(apple.ledger.as_dict(records=True))
        assert apple.token not in text
        assert url.partition("?")[2] not in text
        assert "Signature" not in text

    def test_counts_connections(self, client, apple):
        wire = http.client.HTTPConnection("127.0.0.1", apple.port)
        for _ in range(3):
            wire.request("GET", "/nowhere")
            wire.getresponse().read()
        wire.close()
        assert apple.ledger.connections == 1
        client.request()
        assert apple.ledger.connections == 2

    def test_counts_what_is_in_flight_together(self, start):
        client = start(latency=0.1)
        threads = [threading.Thread(target=client.request) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.apple.ledger.max_in_flight == 5
        assert client.apple.ledger.in_flight == 0

    def test_a_token_in_the_trap_or_in_a_url_is_a_violation(self, client, apple):
        assert client.send("GET", apple.trap_url).status == 200
        assert apple.ledger.violations == []
        client.send("GET", apple.trap_url, client.authorised)
        client.send("GET", f"{apple.url}/nowhere?token={apple.token}")
        assert apple.ledger.violations == [
            "the token header was sent to the trap URL /trap",
            "the token is in a URL (endpoint: other)",
        ]

    def test_survives_with_the_state_cleared_or_not(self, start, tmp_path):
        client = start(state=tmp_path / "state")
        client.request()
        client.apple.ledger.clear()
        client.request("delivery")
        client.apple.close()

        ledger = start(state=tmp_path / "state").apple.ledger
        assert (ledger.posts, ledger.exports_created, ledger.connections) == (1, 1, 1)


class TestEmulator:
    def test_stopped_it_refuses_connections_and_restarted_it_knows_everything(self, client, apple):
        status_url = client.request().json["statusUrl"]
        port = apple.port
        apple.stop()
        with pytest.raises(ConnectionRefusedError):
            client.status(status_url)

        apple.restart()
        assert apple.port == port
        assert client.status(status_url).json["status"] == "SUCCESS"

    def test_stopping_drops_requests_in_flight(self, client, apple):
        apple.inject("request:stall:seconds=30")
        errors = []

        def ask():
            try:
                client.request()
            except OSError as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        while not apple.ledger.in_flight:
            pass
        apple.stop()
        thread.join(2)
        assert len(errors) == 1

    def test_a_port_in_use_is_an_error(self, apple):
        with pytest.raises(OSError, match="in use"):
            Emulator(port=apple.port).start()

    def test_settings_can_change_while_it_runs(self, client, apple):
        apple.configure(csv="bom", processing_polls=1)
        status_url = client.request().json["statusUrl"]
        assert client.status(status_url).json["status"] == "PROCESSING"
        assert apple.csv("application", "2026-03-01", "2026-03-02").startswith(b"\xef\xbb\xbf")

    def test_connection_in_both_forms(self, apple):
        assert json.loads(apple.connection_json) == {
            "conn_type": "apns",
            "host": apple.url,
            "login": "A1B2C3D4E5",
            "password": apple.token,
            "extra": {"app_id": "com.example.app"},
        }
        assert apple.connection_uri == (
            f"apns://A1B2C3D4E5:{apple.token}@http%3A%2F%2F127.0.0.1%3A{apple.port}/?app_id=com.example.app"
        )

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"csv": "pink"}, "pink"),
            ({"datasets": "all"}, "all"),
            ({"datasets": ()}, "one"),
            ({"requested_at": "later"}, "later"),
        ],
    )
    def test_impossible_settings_are_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            Emulator(**options)


class TestTls:
    def test_is_trusted_by_those_who_trust_its_authority(self, start, tmp_path):
        client = start(tls=True, tls_dir=tmp_path)
        assert client.apple.url.startswith("https://127.0.0.1:")
        assert client.apple.ca_path == tmp_path / "ca.pem"
        with pytest.raises(ssl.SSLCertVerificationError):
            client.request()

        client.trust = ssl.create_default_context(cafile=str(client.apple.ca_path))
        assert client.download(client.data_url()).status == 200

    def test_needs_no_directory(self, start):
        client = start(tls=True)
        directory = client.apple.ca_path.parent
        client.trust = ssl.create_default_context(cafile=str(client.apple.ca_path))
        assert client.request().status == 200
        client.apple.close()
        assert not directory.exists()

    def test_keeps_its_certificates(self, start, tmp_path):
        first = start(tls=True, tls_dir=tmp_path).apple.ca_path.read_bytes()
        assert start(tls=True, tls_dir=tmp_path).apple.ca_path.read_bytes() == first

    def test_connections_break_as_they_do_without_it(self, start, tmp_path):
        client = start(tls=True, tls_dir=tmp_path)
        client.trust = ssl.create_default_context(cafile=str(client.apple.ca_path))
        client.apple.inject("request:reset", "request:cut-length")
        with pytest.raises((ConnectionResetError, ssl.SSLError)):
            client.request()
        with pytest.raises((http.client.IncompleteRead, ssl.SSLError)):
            client.request()
        assert client.request().status == 200


class TestControl:
    @pytest.fixture
    def control(self, client, apple):
        return lambda method, path, document=None: client.send(
            method, f"{apple.url}/_emulator/{path}", body=json.dumps(document)
        )

    def test_ledger(self, control, client):
        client.request()
        assert control("GET", "ledger").json["posts"] == 1
        assert "records" not in control("GET", "ledger").json
        assert control("GET", "ledger?records").json["records"][0]["endpoint"] == "request"
        control("DELETE", "ledger")
        assert control("GET", "ledger").json["posts"] == 0

    def test_faults_as_text_or_as_json(self, control, client):
        control("POST", "faults", ["request:503", {"endpoint": "request", "kind": "429", "retry_after": "7"}])
        assert client.request().status == 503
        assert client.request().headers["Retry-After"] == "7"
        control("POST", "faults", "request:500:times=forever")
        assert client.request().status == 500
        control("DELETE", "faults")
        assert client.request().status == 200

    def test_token(self, control, client, apple):
        control("POST", "token", {"token": "new"})
        assert apple.token == "new"
        assert control("GET", "connection").json["password"] == "new"

    def test_csv_and_channels(self, control, client, apple, clock):
        (channel, *_) = control("GET", "channels").json
        body = client.download(client.data_url("channel", channelId=channel)).body
        query = f"csv?dataset=channel&start={clock.day(-7)}&end={clock.day(-1)}&channel_id={channel}"
        assert control("GET", query.replace("+", "%2B")).body == body

    @pytest.mark.parametrize(
        ("method", "path", "document", "status"),
        [
            ("GET", "nonsense", None, 404),
            ("POST", "faults", "status:nonsense", 400),
            ("POST", "token", {}, 400),
            ("GET", "csv?dataset=channel", None, 400),
        ],
    )
    def test_mistakes_are_told(self, control, method, path, document, status):
        assert control(method, path, document).status == status

    def test_is_not_in_the_ledger(self, control, apple):
        control("GET", "ledger")
        assert apple.ledger.records == []

    @pytest.mark.parametrize(
        ("address", "answer"), [("127.0.0.1", True), ("::1", True), ("192.0.2.1", False), (None, False)]
    )
    def test_is_for_this_machine_only(self, address, answer):
        assert is_loopback(address) is answer
