"""What both sides derive from the secret: the page's vectors, RFC 5869, and the promises about keys and certificates."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from p2pcopy.signaling.derive import (
    EXPORT_LABEL,
    Credentials,
    answer_key,
    ice_credentials,
    public_key_pin,
    self_signed,
    verification_number,
)
from p2pcopy.signaling.parameters import ICE_CHARACTERS

PAGE = (Path(__file__).parents[2] / "docs" / "codes.md").read_text(encoding="utf-8")
VECTORS: list[dict[str, Any]] = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])

secrets = st.binary(min_size=16, max_size=16)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["secret"])
def test_vectors_of_the_page(vector: dict[str, Any]) -> None:
    secret = bytes.fromhex(vector["secret"])
    assert ice_credentials(secret, "offer") == Credentials(*vector["offer"])
    assert ice_credentials(secret, "answer") == Credentials(*vector["answer"])
    key = answer_key(secret)
    assert f"{key.private_numbers().private_value:064x}" == vector["answer_key"]
    assert public_key_pin(key.public_key()).hex() == vector["answer_pin"]


def test_verification_number_of_the_page() -> None:
    assert f"`{verification_number(bytes(range(32)))}`" in PAGE
    assert f"`{EXPORT_LABEL}`" in PAGE


def test_derivation_is_the_hkdf_of_the_rfc() -> None:
    derived = HKDF(hashes.SHA256(), 48, b"p2pcopy 1", b"answer key").derive(bytes(16))
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    expected = int.from_bytes(derived, "big") % (order - 1) + 1
    assert answer_key(bytes(16)).private_numbers().private_value == expected


@given(secrets)
def test_credentials_are_legal_and_differ_by_side(secret: bytes) -> None:
    offer, answer = ice_credentials(secret, "offer"), ice_credentials(secret, "answer")
    for each in (offer, answer):
        assert (len(each.ufrag), len(each.password)) == (8, 24)
        assert set(each.ufrag + each.password) <= set(ICE_CHARACTERS)
    assert offer.ufrag != answer.ufrag
    assert offer.password != answer.password


def test_certificate_carries_the_key_and_is_the_same_every_time() -> None:
    key = answer_key(bytes(16))
    certificate = self_signed(key)
    public_key = certificate.public_key()
    assert isinstance(public_key, ec.EllipticCurvePublicKey)
    assert public_key_pin(public_key) == public_key_pin(key.public_key())
    certificate.verify_directly_issued_by(certificate)
    encoded = certificate.public_bytes(Encoding.DER)
    assert encoded == self_signed(key).public_bytes(Encoding.DER)
    assert len(encoded) < 300
    assert certificate.not_valid_before_utc.year == 2020
    assert certificate.not_valid_after_utc.year == 2049


def test_pin_is_over_the_public_key_and_not_the_certificate() -> None:
    public_key = ec.generate_private_key(ec.SECP256R1()).public_key()
    encoded = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public_key_pin(public_key) == hashlib.sha256(encoded).digest()[:16]


@given(st.binary(min_size=16, max_size=64))
def test_verification_number_is_digits_in_groups(exported: bytes) -> None:
    assert re.fullmatch(r"\d{4} \d{4} \d{4}", verification_number(exported))


def test_verification_number_needs_enough_material() -> None:
    with pytest.raises(ValueError, match="too little"):
        verification_number(bytes(15))


def test_nothing_derived_contains_the_secret() -> None:
    secret = hmac.digest(b"k", b"m", "sha256")[:16]
    encoded = self_signed(answer_key(secret)).public_bytes(Encoding.DER)
    credentials = ice_credentials(secret, "offer")
    assert secret not in encoded
    assert secret.hex() not in credentials.ufrag + credentials.password
