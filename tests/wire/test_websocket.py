"""Frames made by the ``websockets`` library, an independent implementation, in every split."""

from __future__ import annotations

import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from proxy.wire.websocket import Deflate, Messages, negotiated

MESSAGES = st.lists(st.binary(max_size=300) | st.text(max_size=50).map(str.encode), max_size=6)


def framed(
    messages: list[bytes], *, mask: bool = False, deflate: PerMessageDeflate | None = None, fragment: int = 0
) -> bytes:
    """Give messages as frames with a ping between them."""
    out = bytearray()
    for message in messages:
        pieces = [message[at : at + fragment] for at in range(0, len(message), fragment)] if fragment else []
        pieces = pieces or [message]
        for index, piece in enumerate(pieces):
            frame = Frame(Opcode.CONT if index else Opcode.TEXT, piece, fin=index == len(pieces) - 1)
            out += frame.serialize(mask=mask, extensions=[deflate] if deflate else [])
            out += Frame(Opcode.PING, b"are you there").serialize(mask=mask)
    return bytes(out)


def fed(reading: Messages, data: bytes, size: int) -> list[bytes]:
    found: list[bytes] = []
    for at in range(0, len(data), size):
        found += reading.feed(data[at : at + size])
    return found


def compressing(*, keeps_context: bool = True) -> PerMessageDeflate:
    return PerMessageDeflate(
        remote_no_context_takeover=False,
        local_no_context_takeover=not keeps_context,
        remote_max_window_bits=15,
        local_max_window_bits=11,
    )


@given(MESSAGES, st.booleans(), st.integers(1, 40), st.integers(0, 20))
def test_messages_come_back_whole(messages: list[bytes], mask: bool, size: int, fragment: int) -> None:
    assert fed(Messages(), framed(messages, mask=mask, fragment=fragment), size) == messages


@given(MESSAGES, st.booleans(), st.booleans(), st.integers(1, 40), st.integers(0, 20))
def test_compressed_messages_come_back_whole(
    messages: list[bytes], mask: bool, keeps_context: bool, size: int, fragment: int
) -> None:
    data = framed(messages, mask=mask, deflate=compressing(keeps_context=keeps_context), fragment=fragment)
    assert fed(Messages(Deflate(keeps_context=keeps_context)), data, size) == messages


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_every_form_of_length(length: int) -> None:
    message = os.urandom(length)
    assert fed(Messages(), framed([message], mask=True), 4096) == [message]


@pytest.mark.parametrize("compressed", [False, True])
def test_a_message_over_the_limit_is_skipped_and_the_next_one_read(compressed: bool) -> None:
    reading = Messages(Deflate() if compressed else None, limit=1000)
    data = framed([b"a", b"x" * 200_000, b"xxxx after"], deflate=compressing() if compressed else None, fragment=70_000)
    assert fed(reading, data, 1000) == [b"a", b"xxxx after"]
    assert reading.oversized


def test_a_bomb_stays_small() -> None:
    squeezed = zlib.compressobj(9, wbits=-15)
    bomb = squeezed.compress(bytes(50_000_000)) + squeezed.flush(zlib.Z_SYNC_FLUSH)
    reading = Messages(Deflate(), limit=1000)
    data = b"\xc1\x7f" + len(bomb[:-4]).to_bytes(8) + bomb[:-4]
    assert fed(reading, data, 4096) == []
    assert reading.oversized


@given(st.binary(max_size=400), st.booleans())
def test_no_bytes_make_it_raise(data: bytes, compressed: bool) -> None:
    fed(Messages(Deflate() if compressed else None), data, 7)


def test_compression_nobody_agreed_on_ends_the_reading() -> None:
    reading = Messages()
    assert fed(reading, framed([b"hello"], deflate=compressing()) + framed([b"plain"]), 100) == []
    assert reading.broken


@pytest.mark.parametrize(
    ("extensions", "side", "expected"),
    [
        (b"", b"server", None),
        (b"x-other; a=1", b"server", None),
        (b"permessage-deflate", b"server", Deflate(keeps_context=True)),
        (b"permessage-deflate; server_no_context_takeover", b"server", Deflate(keeps_context=False)),
        (b"permessage-deflate; server_no_context_takeover", b"client", Deflate(keeps_context=True)),
        (b'x, permessage-deflate;client_max_window_bits="12"; client_no_context_takeover', b"client",
         Deflate(keeps_context=False)),
    ],
)  # fmt: skip
def test_what_was_negotiated(extensions: bytes, side: bytes, expected: Deflate | None) -> None:
    assert negotiated(extensions, side) == expected
