"""Certificates that are good, and certificates that are bad in one way each, in the form that the emulator reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

KINDS = ("good", "of an unknown authority", "for another host", "expired")


def make_certificates(folder: Path, hosts: Sequence[str]) -> dict[str, Path]:
    """Make a folder for each kind of certificate, for these hosts, and ``trusted.pem`` for clients."""
    folders, trusted = {}, b""
    for kind in KINDS:
        place = folders[kind] = folder / kind.replace(" ", "-")
        place.mkdir(parents=True)
        names = ["metrics.example.com"] if kind == "for another host" else hosts
        key, certificate = _own_authority(names, timedelta(days=-1 if kind == "expired" else 1000))
        (place / "server.pem").write_bytes(key + certificate)
        if kind != "of an unknown authority":
            trusted += certificate
    (folder / "trusted.pem").write_bytes(trusted)
    return folders


def _name_of(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _own_authority(hosts: Sequence[str], life: timedelta) -> tuple[bytes, bytes]:
    """Return a key and a certificate that it has signed itself, with all that Python 3.13 looks at."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=fault matrix")
    now = datetime.now(timezone.utc)
    unused = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign")
    usage = dict.fromkeys((*unused, "encipher_only", "decipher_only"), False)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + life)
        .add_extension(x509.SubjectAlternativeName(list(map(_name_of, hosts))), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), certificate
