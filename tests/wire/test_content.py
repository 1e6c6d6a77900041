from __future__ import annotations

import gzip
import random
import tracemalloc
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.content import OUTPUT_LIMIT, Decoder, decoder, encoder

CODINGS = [
    b"gzip",
    b"x-gzip",
    b"deflate",
    b"br",
    b"zstd",
    b"gzip, br",
    b"br,zstd",
    b"GZIP , identity",
    b"identity",
    b"",
    None,
]
TEXT = b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n' * 40


def made(content_encoding: bytes | None) -> Decoder:
    taking = decoder(content_encoding)
    assert taking is not None
    return taking


@pytest.mark.parametrize("coding", CODINGS)
def test_what_is_encoded_is_decoded_at_once_at_any_split(coding: bytes | None) -> None:
    coder, taking = encoder(coding), made(coding)
    assert coder is not None
    for start in range(0, len(TEXT), 50):
        event = TEXT[start : start + 50]
        coded = coder.feed(event)
        assert b"".join(taking.feed(coded[at : at + 1]) for at in range(len(coded))) == event
    assert taking.feed(coder.close()) == b""
    assert not taking.broken


@pytest.mark.parametrize("coding", CODINGS)
def test_the_encoders_end_makes_a_complete_body(coding: bytes | None) -> None:
    coder = encoder(coding)
    assert coder is not None
    coded = coder.feed(TEXT) + coder.feed(b"") + coder.close()
    undone = {b"gzip": gzip.decompress, b"deflate": zlib.decompress, b"br": brotli.decompress}
    if coding in undone:
        assert undone[coding](coded) == TEXT
    if coding == b"zstd":
        assert zstandard.ZstdDecompressor().decompressobj().decompress(coded) == TEXT


@pytest.mark.parametrize("name", [b"aws-chunked", b"compress", b"gzip, what", b"gzip," * 5])
def test_an_unknown_coding_is_not_decoded(name: bytes) -> None:
    assert decoder(name) is None
    assert encoder(name) is None


def test_gzip_of_several_members_padding_and_rubbish() -> None:
    member = gzip.compress(TEXT)
    for size in (1, 7, 10_000):
        taking = made(b"gzip")
        coded = member + b"\0\0\0" + member + b"rubbish"
        assert b"".join(taking.feed(coded[at : at + size]) for at in range(0, len(coded), size)) == TEXT + TEXT
        assert not taking.broken


def test_deflate_without_its_header() -> None:
    raw = zlib.compressobj(wbits=-15)
    coded = raw.compress(TEXT) + raw.flush()
    assert made(b"deflate").feed(coded) == TEXT
    taking = made(b"deflate")
    assert b"".join(taking.feed(coded[at : at + 1]) for at in range(len(coded))) == TEXT


def test_zstd_of_several_frames() -> None:
    frame = zstandard.ZstdCompressor().compress(TEXT)
    taking = made(b"zstd")
    coded = frame + frame
    assert b"".join(taking.feed(coded[at : at + 1]) for at in range(len(coded))) == TEXT + TEXT


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd"])
def test_a_broken_stream_gives_what_came_before_and_nothing_more(coding: bytes) -> None:
    coder = encoder(coding)
    assert coder is not None
    good = coder.feed(TEXT)
    taking = made(coding)
    assert taking.feed(good) == TEXT
    taking.feed(bytes(range(255, 0, -1)) * 20)
    assert taking.broken
    assert taking.feed(good) == b""


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"zstd", b"zstd, gzip", b"gzip, zstd"])
def test_a_bomb_is_given_up(coding: bytes) -> None:
    coder = encoder(coding)
    assert coder is not None
    coded = b"".join([coder.feed(bytes(8_000_000)) for _ in range(14)]) + coder.close()
    taking = made(coding)
    swollen = taking.feed(coded)
    assert taking.broken
    assert len(swollen) <= OUTPUT_LIMIT


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd", b"zstd, gzip", b"gzip, zstd"])
def test_a_bomb_is_never_held(coding: bytes) -> None:
    coder = encoder(coding)
    assert coder is not None
    coded = b"".join([coder.feed(bytes(8_000_000)) for _ in range(14)]) + coder.close()
    taking, size = made(coding), 0
    tracemalloc.start()
    for piece in taking.pieces(coded):
        size += len(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taking.swollen
    assert 0 < size <= OUTPUT_LIMIT
    assert peak < 32 * 1024 * 1024  # twice the 8 MiB that 256 bytes of zstd can stand for, and windows


@given(
    st.binary(max_size=300),
    st.sampled_from([b"gzip", b"deflate", b"br", b"zstd", b"gzip, br"]),
    st.booleans(),
    st.randoms(),
)
def test_any_bytes_at_all(body: bytes, coding: bytes, damaged: bool, chance: random.Random) -> None:
    coder = encoder(coding)
    assert coder is not None
    coded = bytearray(coder.feed(body) + coder.close())
    if damaged and coded:
        coded[chance.randrange(len(coded))] ^= 1 << chance.randrange(8)
    taking = made(coding)
    seen = b"".join(taking.feed(bytes(coded[at : at + 11])) for at in range(0, len(coded), 11))
    if not damaged:
        assert seen == body
    random_bytes = made(coding)
    random_bytes.feed(body)


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd", b"gzip, br"])
def test_a_coding_says_whether_it_came_to_its_end(coding):
    coder = encoder(coding)
    coded = coder.feed(b"word " * 1000) + coder.close()
    for at in (1, len(coded) // 2, len(coded) - 1):
        taking = decoder(coding)
        assert taking.whole  # nothing has begun
        taking.feed(coded[:at])
        assert not taking.whole
        taking.feed(coded[at:])
        assert taking.whole


def test_zstd_frames_follow_one_another():
    frames = (
        zstandard.compress(b"a" * 999),
        b"\x50\x2a\x4d\x18\x02\0\0\0xx",
        zstandard.compress(b"b"),
    )  # the second: skippable
    for size in (1, 7, 1000):
        taking, coded = decoder(b"zstd"), b"".join(frames)
        read = b"".join(taking.feed(coded[at : at + size]) for at in range(0, len(coded), size))
        assert (read, taking.whole) == (b"a" * 999 + b"b", True)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_what_follows_rubbish_is_rubbish(coding, size):
    compress = {"gzip": gzip.compress, "deflate": zlib.compress}[coding]
    coded = compress(b"a") + b"rubbish" + compress(b"b")
    taking = decoder(coding.encode())
    assert b"".join(taking.feed(coded[at : at + size]) for at in range(0, len(coded), size)) == b"a"
