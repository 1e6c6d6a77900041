from __future__ import annotations

import struct
import tracemalloc
from binascii import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.eventstream import MESSAGE_LIMIT, EventStream, Message
from tests.wire.aws_messages import message

EVENT = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}


def cut(body: bytes, size: int) -> tuple[list[bytes], EventStream]:
    stream = EventStream()
    found: list[bytes] = []
    for at in range(0, len(body), size):
        found += stream.payloads(body[at : at + size])
    return found, stream


def headers(found: bytes) -> dict[str, str]:
    assert isinstance(found, Message)
    return found.headers


@given(st.lists(st.tuples(st.binary(max_size=40), st.dictionaries(st.text(max_size=5), st.text(max_size=9)))))
def test_messages_come_back_whole(messages: list[tuple[bytes, dict[str, str]]]) -> None:
    body = b"".join(message(payload, names) for payload, names in messages)
    for size in (1, 7, 11, 12, 13, 1000):
        found, stream = cut(body, size)
        assert [(bytes(each), headers(each)) for each in found] == messages
        assert not stream.broken


def test_a_message_as_amazon_documents_it() -> None:
    """The bytes of one message written out by hand, independent of the builder that the other tests use."""
    prelude = bytes.fromhex("0000003d 00000020")
    names = b"\x0c" + b"content-type" + b"\x07" + b"\x00\x10" + b"application/json"
    rest = prelude + bytes.fromhex("07fd8396") + names + b"{'foo':'bar'}"
    body = rest + bytes.fromhex("8d9c08b1")
    found, stream = cut(body, 5)
    assert (found, headers(found[0])) == ([b"{'foo':'bar'}"], {"content-type": "application/json"})
    assert not stream.broken


def test_headers_of_every_type_are_passed_over() -> None:
    kinds = [(0, b""), (1, b""), (2, b"\1"), (3, b"\0\1"), (4, bytes(4)), (5, bytes(8)), (6, b"\0\3abc")]
    kinds += [(8, bytes(8)), (9, bytes(16))]
    block = b"".join(b"\1x" + bytes([kind]) + value for kind, value in kinds) + b"\4last\7\0\1v"
    found, stream = cut(message(b"p", block), 3)
    assert headers(found[0]) == {"last": "v"}
    assert not stream.broken


@pytest.mark.parametrize("block", [b"\5ab", b"\1x", b"\1x\7\0", b"\1x\7\0\5ab", b"\1x\x0a", b"\1x\4\0"])
def test_headers_that_are_none_stop_the_reading(block: bytes) -> None:
    found, stream = cut(message(b"a", EVENT) + message(b"b", block) + message(b"c", EVENT), 10)
    assert found == [b"a"]
    assert stream.broken


@pytest.mark.parametrize("at", range(60))
def test_a_checksum_that_does_not_hold_stops_the_reading(at: int) -> None:
    good, bad = message(b"a", EVENT), bytearray(message(b"payload", {"name": "value, thirty bytes of it all"}))
    bad[at % len(bad)] ^= 0x10
    found, stream = cut(good + bytes(bad) + good, 9)
    assert found == [b"a"]
    assert stream.broken
    assert stream.payloads(good) == []


@pytest.mark.parametrize(("size", "headers_size"), [(15, 0), (20, 5), (0, 0), (2**32 - 1, 0)])
def test_lengths_that_cannot_be_stop_the_reading_even_where_their_checksum_holds(size: int, headers_size: int) -> None:
    lengths = struct.pack(">II", size, headers_size)
    stream = EventStream()
    assert stream.payloads(lengths + struct.pack(">I", crc32(lengths)) + bytes(40)) == []
    assert stream.broken


@pytest.mark.parametrize("size", [1, 13, 100, 10_000])
def test_a_message_over_the_limit_is_let_go_and_the_next_one_read(size: int) -> None:
    body = message(b"a", EVENT) + message(b"x" * 500, EVENT) + message(b"b", EVENT)
    stream = EventStream(limit=200)
    found = [each for at in range(0, len(body), size) for each in stream.payloads(body[at : at + size])]
    assert found == [b"a", b"b"]
    assert stream.oversized
    assert not stream.broken


def test_what_is_held_is_bounded() -> None:
    stream = EventStream()
    large = message(bytes(2 * MESSAGE_LIMIT), EVENT)
    tracemalloc.start()
    for at in range(0, len(large), 65_536):
        stream.payloads(large[at : at + 65_536])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MESSAGE_LIMIT / 8
    assert stream.payloads(message(b"b", EVENT)) == [b"b"]


@given(st.binary(max_size=60), st.integers(1, 20))
def test_no_bytes_raise(body: bytes, size: int) -> None:
    cut(body, size)
    cut(message(b"a", EVENT) + body, size)
    cut(message(b"a", body), size)
