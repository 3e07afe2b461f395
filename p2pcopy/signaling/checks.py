"""Check digits against typos. Pure."""

from __future__ import annotations

import binascii


def with_crc16(data: bytes) -> bytes:
    """CRC-16/IBM-3740: sees every damage that spans at most 16 bits, so up to three characters side by side."""
    return data + binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "big")


def crc8(data: bytes) -> int:
    """CRC-8/SMBUS: sees every damage that spans at most 8 bits, so any one character."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 & 0xFF ^ (0x07 if crc & 0x80 else 0)
    return crc
