"""Ids of our own: UUIDv7, so that they sort by time and need no coordination."""

from __future__ import annotations

import os

_RANDOM_BYTES = 10  # of which 74 bits go into an id


def new_id(at_ns: int) -> str:
    """Make an id for something that happens at ``at_ns`` (nanoseconds since the Unix epoch)."""
    return uuid7(at_ns // 1_000_000, int.from_bytes(os.urandom(_RANDOM_BYTES)))


def uuid7(unix_ms: int, random_bits: int) -> str:
    """Compose a UUIDv7 (RFC 9562 §5.7) of a time in milliseconds and 74 random bits.

    >>> uuid7(0x017F22E279B0, (0xCC3 << 62) | 0x18C4DC0C0C07398F)
    '017f22e2-79b0-7cc3-98c4-dc0c0c07398f'
    """
    value = (
        (unix_ms & 0xFFFFFFFFFFFF) << 80
        | 0x7 << 76
        | (random_bits >> 62 & 0xFFF) << 64
        | 0b10 << 62
        | random_bits & 0x3FFFFFFFFFFFFFFF
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
