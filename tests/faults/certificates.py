"""Certificates that are good, and certificates that are bad in one way each, in the form that the emulator reads."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

KINDS = ("good", "of an unknown authority", "for another host", "expired")


def make_certificates(folder: Path) -> dict[str, Path]:
    """Make a folder for each kind of certificate; the ``ca.pem`` of the good one is the one to trust."""
    trusted, unknown = _Authority(), _Authority()
    now = datetime.now(timezone.utc)
    years = timedelta(days=1000)
    made = {
        "good": (trusted, "localhost", now + years),
        "of an unknown authority": (unknown, "localhost", now + years),
        "for another host": (trusted, "metrics.example.com", now + years),
        "expired": (trusted, "localhost", now - timedelta(days=1)),
    }
    folders = {}
    for kind, (authority, host, end) in made.items():
        place = folders[kind] = folder / kind.replace(" ", "-")
        place.mkdir(parents=True)
        key, certificate = authority.issue(host, end)
        (place / "ca.pem").write_bytes(authority.pem)
        (place / "server.pem").write_bytes(key + certificate)
    return folders


class _Authority:
    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Test CA {id(self)}")])
        now = datetime.now(timezone.utc)
        own = self._builder(self._name, self._key, now + timedelta(days=2000))
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        usage = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
        ) | {"encipher_only": False, "decipher_only": False}
        own = own.add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        self.pem = own.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def issue(self, host: str, end: datetime) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        here = [x509.IPAddress(ip_address("127.0.0.1"))] if host == "localhost" else []
        names = x509.SubjectAlternativeName([x509.DNSName(host), *here])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = self._builder(subject, key, end).add_extension(names, critical=False)
        builder = builder.add_extension(issuer, critical=False)
        pem = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), pem

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, end: datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(timezone.utc) - timedelta(days=30))
            .not_valid_after(end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
