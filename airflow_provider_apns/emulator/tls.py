"""A certificate authority of the emulator's own, and a certificate for this machine."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

CA_FILE = "ca.pem"

_SERVER_FILE = "server.pem"
_NAMES = ("localhost",)
_ADDRESSES = ("127.0.0.1", "::1")
_LIFE = timedelta(days=3650)


def server_context(directory: Path) -> ssl.SSLContext:
    """Build the server's side of TLS; the certificates are made when they are missing.

    :param directory: where they are kept; clients have to trust the ``ca.pem`` in it
    """
    if not (directory / _SERVER_FILE).exists():
        _make_certificates(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / _SERVER_FILE)
    return context


def _make_certificates(directory: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    directory.mkdir(parents=True, exist_ok=True)
    ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("APNs emulator CA", ca_key, "APNs emulator CA", ca_key)
    server = _certificate("localhost", server_key, "APNs emulator CA", ca_key)
    pem = serialization.Encoding.PEM
    key = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / CA_FILE).write_bytes(ca.public_bytes(pem))
    (directory / _SERVER_FILE).touch(mode=0o600)
    (directory / _SERVER_FILE).write_bytes(key + server.public_bytes(pem))


def _certificate(
    subject: str, key: EllipticCurvePrivateKey, issuer: str, issuer_key: EllipticCurvePrivateKey
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    now = datetime.now(timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LIFE)
    )
    # Python 3.13 verifies strictly: it wants key usages and key identifiers where RFC 5280 does.
    for extension, critical in _extensions(key, issuer_key, is_ca=subject == issuer):
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key, hashes.SHA256())


def _extensions(
    key: EllipticCurvePrivateKey, issuer_key: EllipticCurvePrivateKey, *, is_ca: bool
) -> list[tuple[x509.ExtensionType, bool]]:
    from cryptography import x509

    names: list[x509.GeneralName] = [x509.DNSName(name) for name in _NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in _ADDRESSES]
    usage = x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    common: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), True),
        (usage, True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False),
    ]
    return common if is_ca else [*common, (x509.SubjectAlternativeName(names), False)]


def _name(common_name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
