from __future__ import annotations

import datetime
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from airflow_provider_apns.emulator import Emulator
from airflow_provider_apns.exceptions import ApnsConfigurationError, ApnsServiceError
from airflow_provider_apns.hooks.apns import ApnsHook
from airflow_provider_apns.hooks.environment import ca_bundle, proxy_for
from tests.support.ports import free_ports
from tests.unit.conftest import StartApple
from tests.unit.hooks.conftest import Transport
from tests.unit.hooks.raw_server import RawServer

APPLE = "https://apns.example.com"
STATUS_URL = f"{APPLE}/status/%7E?"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for Apple's stand-in."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=Apple")
    now = datetime.datetime.now(datetime.timezone.utc)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("apns.example.com")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "apple.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + built.public_bytes(Encoding.PEM))
    return path


@pytest.fixture
def proxy(environ: pytest.MonkeyPatch, certificate: Path) -> Iterator[RawServer]:
    """A proxy, with Apple behind it."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with RawServer(tls) as proxy:
        environ.setenv("AIRFLOW_CONN_APNS_DEFAULT", proxy.connection(host=APPLE))
        environ.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        yield proxy


class TestProxies:
    @pytest.mark.parametrize("written", ["{}", "http://{}", "HTTP://{}/", "user:p%40ss@{}", "http://user:p%40ss@{}"])
    async def test_it_leads_through(
        self, hook: Transport, proxy: RawServer, environ: pytest.MonkeyPatch, written: str
    ) -> None:
        environ.setenv("HTTPS_PROXY", written.format(proxy.address))
        assert (await hook.look(STATUS_URL)).status == "PROCESSING"
        tunnel, inside = proxy.requests
        assert tunnel.startswith("CONNECT apns.example.com:443 ")
        assert ("Proxy-Authorization: Basic dXNlcjpwQHNz" in tunnel) is ("user" in written)
        assert "Token: token" not in tunnel
        assert inside.startswith("GET /status/%7E? ")
        assert "Token: token" in inside
        assert "Proxy" not in inside

    @pytest.mark.usefixtures("short_waits")
    async def test_one_that_refuses_is_named_and_its_password_is_not(
        self, hook: Transport, proxy: RawServer, environ: pytest.MonkeyPatch
    ) -> None:
        environ.setenv("HTTPS_PROXY", f"http://user:secret@{proxy.address}")
        proxy.tunnel_answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
        expected = (
            f"^The proxy {proxy.address} answered 407 Proxy Authentication Required to the request for the export"
        )
        with pytest.raises(ApnsServiceError, match=expected):
            await hook.look(STATUS_URL)

    @pytest.mark.usefixtures("short_waits")
    async def test_one_that_is_not_there_is_named(
        self, hook: Transport, proxy: RawServer, environ: pytest.MonkeyPatch
    ) -> None:
        (port,) = free_ports(1)
        environ.setenv("HTTPS_PROXY", f"user:secret@127.0.0.1:{port}")
        expected = f"^No answer from {APPLE} through the proxy 127.0.0.1:{port} to the .*: Connection refused"
        with pytest.raises(ApnsServiceError, match=expected) as raised:
            await hook.look(STATUS_URL)
        assert "secret" not in str(raised.value)

    @pytest.mark.parametrize(
        ("variable", "value", "told"),
        [
            (
                "HTTPS_PROXY",
                "socks5://user:secret@example.com:1080",
                "names a socks5 proxy, which is not supported",
            ),
            ("https_proxy", "socks5h://proxy.example.com", "names a socks5h proxy"),
            (
                "ALL_PROXY",
                "http://user:sec/ret@proxy.example.com:3128",
                "is not a proxy URL: write it as http://host:port",
            ),
            ("HTTPS_PROXY", "http://user:secret@", "is not a proxy URL"),
            (
                "HTTPS_PROXY",
                "http://user:secret@proxy.example.com:99999",
                "is not a proxy URL: its port is not a port number",
            ),
            ("HTTPS_PROXY", "user:secret@proxy example.com", "is not a proxy URL"),
            ("HTTPS_PROXY", "http://", "is not a proxy URL"),
        ],
    )
    async def test_a_setting_that_cannot_work_is_told_at_once(
        self, hook: Transport, proxy: RawServer, environ: pytest.MonkeyPatch, variable: str, value: str, told: str
    ) -> None:
        environ.setenv(variable, value)
        with pytest.raises(ApnsConfigurationError, match=f"^The environment variable {variable} {told}") as raised:
            await hook.look(STATUS_URL)
        assert "sec" not in str(raised.value)
        assert proxy.requests == []

    @pytest.mark.parametrize("server", ["http://127.0.0.1:8585", "https://localhost:8585", "http://[::1]:8585"])
    def test_there_is_none_for_this_machine(self, environ: pytest.MonkeyPatch, server: str) -> None:
        for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            environ.setenv(variable, "socks5://not.even.read")
        assert proxy_for(server) is None

    def test_there_is_none_for_servers_that_the_environment_excepts(self, environ: pytest.MonkeyPatch) -> None:
        environ.setenv("HTTPS_PROXY", "proxy.example.com:3128")
        environ.setenv("NO_PROXY", "internal.example.com,.example.org")
        assert proxy_for("https://internal.example.com") is None
        assert proxy_for("https://apns.example.org:8443") is None
        assert proxy_for(APPLE) == "http://proxy.example.com:3128"


class TestCertificates:
    @pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
    async def test_those_that_the_environment_names_are_trusted(
        self, hook: Transport, start_apple: StartApple, environ: pytest.MonkeyPatch, variable: str
    ) -> None:
        apple = start_apple(tls=True)
        environ.setenv(variable, str(apple.ca_path))
        export = await hook.request()
        assert export.status_url.startswith("https://")
        assert await hook.download(export.status_url)

    @pytest.mark.usefixtures("short_waits")
    async def test_others_are_not_and_the_error_says_which_are(
        self, hook: Transport, start_apple: StartApple, environ: pytest.MonkeyPatch
    ) -> None:
        apple, usual = start_apple(tls=True), ca_bundle()
        with pytest.raises(ApnsServiceError, match=rf"^No answer from {apple.url} to .*certificate \(.* in {usual}\)"):
            await hook.request()
        assert apple.ledger.posts == 0

    async def test_a_bundle_that_is_not_there_is_told_with_variable_and_path(
        self, hook: Transport, apple: Emulator, environ: pytest.MonkeyPatch
    ) -> None:
        environ.setenv("REQUESTS_CA_BUNDLE", "/no/such.pem")
        told = (
            "The environment variable REQUESTS_CA_BUNDLE names a certificate bundle that does not exist: /no/such.pem."
        )
        with pytest.raises(ApnsConfigurationError, match=f"^{told}$"):
            await hook.request()
        assert ApnsHook().test_connection() == (False, told)

    def test_a_folder_of_certificates_will_do(self, environ: pytest.MonkeyPatch, tmp_path: Path) -> None:
        environ.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
        assert ca_bundle() == str(tmp_path)
