"""Everything that both sides derive from the offer's secret, so that it need not travel in the codes. Pure."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PIN_SIZE: Final = 16
EXPORT_SIZE: Final = 32
EXPORT_LABEL: Final = "EXPERIMENTAL-p2pcopy-verification"  # RFC 5705 section 4: unregistered labels begin like this
PATHS_LABEL: Final = "EXPERIMENTAL-p2pcopy-paths"  # what the ICE credentials of a session are derived from

Side = Literal["offer", "answer"]

_SALT: Final = b"p2pcopy 1"
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # FIPS 186-5, SP 800-186
_VALID: Final = (
    datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    datetime.datetime(2049, 12, 31, tzinfo=datetime.UTC),
)


@dataclass(frozen=True)
class Credentials:
    """ICE user name fragment (8 ice-chars) and password (24 ice-chars) of one side (RFC 8839 section 5.4)."""

    ufrag: str
    password: str


def ice_credentials(secret: bytes, side: Side) -> Credentials:
    """The credentials of the side that made the offer, or of the one that answers."""
    return Credentials(
        base64.b64encode(_hkdf(secret, f"{side} ufrag", 6)).decode(),
        base64.b64encode(_hkdf(secret, f"{side} password", 18)).decode(),
    )


def answer_key(secret: bytes) -> ec.EllipticCurvePrivateKey:
    """The answering side's P-256 key: 384 derived bits reduced to the order (FIPS 186-5, A.2.1)."""
    return ec.derive_private_key(
        int.from_bytes(_hkdf(secret, "answer key", 48), "big") % (_P256_ORDER - 1) + 1, ec.SECP256R1()
    )


def self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A certificate for DTLS that says nothing but the key; the same key gives the same bytes."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "WebRTC")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, *_VALID)
    return builder.sign(key, hashes.SHA256(), ecdsa_deterministic=True)


def public_key_pin(public_key: ec.EllipticCurvePublicKey) -> bytes:
    """The first 16 bytes of SHA-256 over the SubjectPublicKeyInfo: finding another key for it takes 2^128 tries."""
    encoded = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).digest()[:PIN_SIZE]


def verification_number(exported: bytes) -> str:
    """What two people compare: 12 digits, "1234 5678 9012", from DTLS exporter output (RFC 5705) of at least 16 bytes.

    12 digits and not 6: who stands in the middle can try keys during the handshake until a short number fits. Raises
    ValueError for less than 16 bytes.
    """
    if len(exported) < 16:
        raise ValueError("too little exported keying material")
    digits = f"{int.from_bytes(exported, 'big') % 10**12:012}"
    return " ".join((digits[:4], digits[4:8], digits[8:]))


def _hkdf(secret: bytes, info: str, size: int) -> bytes:
    """RFC 5869 with SHA-256; size at most 8160 bytes."""
    key, output, block = hmac.digest(_SALT, secret, "sha256"), b"", b""
    for counter in range(1, -(-size // 32) + 1):
        block = hmac.digest(key, block + info.encode() + bytes([counter]), "sha256")
        output += block
    return output[:size]
