"""What is taken out of a coded stream: the text is as without it, and the coded bytes before it are the provider's."""

from __future__ import annotations

import gzip
import random
import zlib

import brotli
import pytest
import zstandard

from proxy.wire.content import decoder, encoder
from proxy.wire.openai_strip import UsageStripper
from proxy.wire.splice import HELD_LIMIT, HELD_TEXT_LIMIT, CodedStripper
from proxy.wire.sse import EVENT_LIMIT
from tests.gate.chat import HEAD, USAGE, event, events

CODINGS = ("gzip", "deflate", "br", "zstd")
PLAIN = events(usage=False)
FINAL = event(HEAD | {"choices": [], "usage": USAGE})
NULLS = events(usage=True)
LAST_ONLY = [*PLAIN[:-1], FINAL, PLAIN[-1]]
STREAMS = {
    "nothing to take out": (PLAIN, PLAIN),
    "in the last chunk alone": (LAST_ONLY, PLAIN),
    "in every chunk": (NULLS, PLAIN),
    "behind a comment": ([b": one moment\n\n", *NULLS], [b": one moment\n\n", *PLAIN]),
    "a last event without its blank line": ([*PLAIN[:-1], FINAL.rstrip()], PLAIN[:-1]),
    "no stream": ([b'{"error": ', b'{"code": 1}}'], [b'{"error": ', b'{"code": 1}}']),
    "nothing": ([], []),
}


def flushed(coding: str, texts: list[bytes]) -> list[bytes]:
    """Compress as a provider that flushes what it sends; the end comes apart."""
    if coding == "br":
        coder = brotli.Compressor(quality=5)
        return [*(coder.process(text) + coder.flush() for text in texts), coder.finish()]
    if coding == "zstd":
        stream = zstandard.ZstdCompressor().compressobj()
        pieces = [stream.compress(text) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for text in texts]
        return [*pieces, stream.flush()]
    deflate = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    return [*(deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH) for text in texts), deflate.flush()]


def at_once(coding: str, texts: list[bytes]) -> bytes:
    """Compress as who has it all and never flushes."""
    text = b"".join(texts)
    coded = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.compress}
    return coded[coding](text)


class Browser:
    """Decodes strictly: one member or frame, whole, and nothing behind it."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self.text = b""
        if coding == "br":
            self._brotli = brotli.Decompressor()
        elif coding == "zstd":
            self._stream = zstandard.ZstdDecompressor().decompressobj()
        else:
            self._stream = zlib.decompressobj(31 if coding == "gzip" else 15)

    def feed(self, coded: bytes) -> None:
        if self._coding == "br":
            assert not (coded and self._brotli.is_finished())
            self.text += self._brotli.process(coded) if coded else b""
        else:
            assert not (coded and self._stream.eof)
            self.text += self._stream.decompress(coded)
            assert self._stream.unused_data == b""

    @property
    def whole(self) -> bool:
        return self._brotli.is_finished() if self._coding == "br" else self._stream.eof


def splicing(coding: str, read: list[bytes] | None = None) -> CodedStripper:
    decoding = decoder(coding.encode())
    assert decoding is not None
    return CodedStripper(coding.encode(), decoding, UsageStripper(), (read if read is not None else []).append)


def through(coding: str, pieces: list[bytes]) -> tuple[bytes, bytes, bytes]:
    """Give what the client sees, the text it decodes to, and what the reader was shown."""
    read: list[bytes] = []
    splice, browser = splicing(coding, read), Browser(coding)
    shown = [splice.feed(piece) for piece in pieces]
    shown.append(splice.close())
    for piece in shown:
        browser.feed(piece)
    assert browser.whole
    assert not splice.stuck
    return b"".join(shown), browser.text, b"".join(read)


def split(coded: bytes, chance: random.Random, sizes: tuple[int, ...]) -> list[bytes]:
    pieces = []
    while coded:
        size = chance.choice(sizes)
        pieces.append(coded[:size])
        coded = coded[size:]
    return pieces


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("stream", STREAMS)
def test_of_a_stream_that_is_flushed_each_event_is_seen_at_once(coding: str, stream: str) -> None:
    texts, wanted = STREAMS[stream]
    pieces = flushed(coding, texts)
    splice, browser, plain = splicing(coding), Browser(coding), UsageStripper()
    for text, piece in zip([*texts, b""], pieces, strict=True):
        browser.feed(splice.feed(piece))
        known = plain.feed(text)
        assert browser.text[-len(known) :] == known or not known
    browser.feed(splice.close())
    assert browser.text == b"".join(wanted)
    assert browser.whole
    assert not splice.stuck


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("sizes", [(1,), (1, 2, 3, 5), (7, 19, 64), (1000,)])
@pytest.mark.parametrize("way", ["flushed", "at once"])
def test_whatever_the_split_the_text_is_right_and_bytes_stay_where_nothing_is_taken_out(
    coding: str, stream: str, sizes: tuple[int, ...], way: str
) -> None:
    texts, wanted = STREAMS[stream]
    coded = b"".join(flushed(coding, texts)) if way == "flushed" else at_once(coding, texts)
    for seed in range(8):
        pieces = split(coded, random.Random(seed), sizes)
        shown, text, read = through(coding, pieces)
        assert text == b"".join(wanted)
        assert read == b"".join(texts)
        if texts == wanted:
            assert shown == coded


@pytest.mark.parametrize("coding", CODINGS)
def test_the_coded_bytes_before_what_is_taken_out_are_the_providers(coding: str) -> None:
    pieces = flushed(coding, LAST_ONLY)
    shown, _, _ = through(coding, pieces)
    before = b"".join(pieces[: LAST_ONLY.index(FINAL)])
    assert shown.startswith(before)
    assert len(shown) < len(before) + 64


CHANCE = random.Random(11)


def long(size: int) -> bytes:
    return event(HEAD | {"choices": [{"index": 0, "delta": {"content": CHANCE.randbytes(size // 2).hex()}}]})


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("last", [[], [FINAL]])
def test_a_long_stream_passes_as_it_is_up_to_what_is_taken_out(coding: str, last: list[bytes]) -> None:
    texts = [long(3000) for _ in range(100)]
    pieces = flushed(coding, [*texts, *last])
    shown, text, _ = through(coding, pieces)
    assert text == b"".join(texts)
    assert shown.startswith(b"".join(pieces[: len(texts)]))


def test_what_is_no_stream_or_states_usage_unasked_passes_at_once():
    page = [b"<html>" + CHANCE.randbytes(5000).hex().encode()]
    choices = [{"delta": {"content": CHANCE.randbytes(200).hex()}} for _ in range(50)]
    unasked = [*(event(HEAD | {"choices": [choice], "usage": USAGE}) for choice in choices), *NULLS]
    for texts in (page, unasked):
        for coding in CODINGS:
            splice, coded = splicing(coding), at_once(coding, texts)
            pieces = split(coded, random.Random(5), (1, 9))
            shown = [splice.feed(piece) for piece in pieces]
            assert b"".join(shown) == coded
            assert any(shown[: len(shown) // 2]) or coding == "zstd"  # whose blocks cannot be read in part


@pytest.mark.parametrize("coding", CODINGS)
def test_what_nobody_flushes_is_held_within_a_bound(coding: str) -> None:
    texts = [long(3000) for _ in range(200)]
    coded = at_once(coding, texts)
    splice, browser = splicing(coding), Browser(coding)
    most = 0
    for piece in split(coded, random.Random(1), (1400,)):
        browser.feed(splice.feed(piece))
        most = max(most, len(b"".join(texts)) - len(browser.text))
    assert browser.text  # long before the end
    browser.feed(splice.close())
    assert browser.whole
    assert browser.text == b"".join(texts)


def test_few_bytes_that_stand_for_many_are_held_within_a_bound():
    text = b":" + b" " * (HELD_TEXT_LIMIT + 2 * EVENT_LIMIT)
    read, seen, most = [0], 0, 0
    decoding, browsing = decoder(b"gzip"), decoder(b"gzip")
    assert decoding is not None
    assert browsing is not None

    def reads(plain: bytes) -> None:
        read[0] += len(plain)

    splice = CodedStripper(b"gzip", decoding, UsageStripper(), reads)
    for piece in split(at_once("gzip", [text]), random.Random(4), (1400,)):
        seen += len(browsing.feed(splice.feed(piece)))
        most = max(most, read[0] - seen)
    assert EVENT_LIMIT < most <= HELD_TEXT_LIMIT + EVENT_LIMIT
    assert seen + len(browsing.feed(splice.close())) == len(text)
    assert browsing.whole


def test_a_large_event_is_held_as_long_as_it_comes() -> None:
    """What is held then is not text that may be seen: there is no reason to code the stream anew."""
    texts = [*PLAIN[:2], long(4 * HELD_LIMIT), *PLAIN[2:]]
    for coding in CODINGS:
        pieces = flushed(coding, texts)
        network = [part for piece in pieces for part in split(piece, random.Random(2), (4096,))]
        shown, _, _ = through(coding, network)
        assert shown == b"".join(pieces)


def zstd_frame(texts: list[bytes], *, size: int = -1, **promises: bool) -> list[bytes]:
    stream = zstandard.ZstdCompressor(**promises).compressobj(size=size)
    pieces = [stream.compress(text) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for text in texts]
    return [*pieces, stream.flush()]


def test_a_frame_that_ends_with_a_sum_has_the_right_one():
    pieces = zstd_frame(LAST_ONLY, write_checksum=True)
    shown, text, _ = through("zstd", pieces)
    assert text == b"".join(PLAIN)
    assert shown.startswith(b"".join(pieces[: LAST_ONLY.index(FINAL)]))
    wrong = bytearray(shown)
    wrong[-1] ^= 1
    with pytest.raises(zstandard.ZstdError):
        Browser("zstd").feed(bytes(wrong))
    _, text, _ = through("zstd", zstd_frame(NULLS, write_checksum=True))
    assert text == b"".join(PLAIN)


def test_a_frame_that_states_its_size_is_coded_anew_where_something_is_taken_out():
    _, text, _ = through("zstd", zstd_frame(LAST_ONLY, size=len(b"".join(LAST_ONLY)), write_content_size=True))
    assert text == b"".join(PLAIN)


def test_deflate_without_zlib_around_it():
    deflate = zlib.compressobj(wbits=-15)
    pieces = [deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH) for text in LAST_ONLY] + [deflate.flush()]
    splice = splicing("deflate")
    shown = [splice.feed(piece) for piece in pieces]
    undone = zlib.decompressobj(-15)
    assert undone.decompress(shown[0]) == PLAIN[0]
    assert undone.decompress(b"".join([*shown[1:], splice.close()])) == b"".join(PLAIN[1:])
    assert undone.eof
    assert not undone.unused_data
    assert b"".join(shown).startswith(b"".join(pieces[: LAST_ONLY.index(FINAL)]))


def test_brotli_that_comes_in_a_burst_at_first_is_seen_at_once_afterwards():
    before = [long(3000) for _ in range(10)]
    pieces = flushed("br", [*before, *LAST_ONLY])
    splice, browser = splicing("br"), Browser("br")
    browser.feed(splice.feed(b"".join(pieces[:10])))
    assert browser.text == b"".join(before)
    for piece in pieces[10:]:
        browser.feed(splice.feed(piece))
    browser.feed(splice.close())
    assert browser.text == b"".join([*before, *PLAIN])


def test_gzip_of_several_members_goes_on_in_the_first_where_something_is_taken_out() -> None:
    first, second = flushed("gzip", LAST_ONLY[:3]), flushed("gzip", LAST_ONLY[3:])
    _, text, _ = through("gzip", [*first, *second])
    assert text == b"".join(PLAIN)
    unchanged = [*flushed("gzip", PLAIN[:3]), *flushed("gzip", PLAIN[3:])]
    splice = splicing("gzip")
    assert b"".join([*map(splice.feed, unchanged), splice.close()]) == b"".join(unchanged)


@pytest.mark.parametrize("header", [b"GZIP", b"x-gzip , identity", b"identity,gzip"])
def test_however_the_coding_is_written(header):
    decoding = decoder(header)
    assert decoding is not None
    splice, coded = CodedStripper(header, decoding, UsageStripper(), len), b"".join(flushed("gzip", PLAIN))
    assert splice.feed(coded) + splice.close() == coded


@pytest.mark.parametrize("header", [b"identity", b"gzip, br"])
def test_without_one_coding_of_its_own_a_stream_is_written_anew(header):
    decoding, coding = decoder(header), encoder(header)
    assert decoding is not None
    assert coding is not None
    splice = CodedStripper(header, decoding, UsageStripper(), len)
    shown = [splice.feed(coding.feed(text)) for text in LAST_ONLY]
    undone = decoder(header)
    assert undone is not None
    assert undone.feed(b"".join([*shown, splice.feed(coding.close()), splice.close()])) == b"".join(PLAIN)
    assert undone.whole


def test_rubbish_behind_the_end_stays() -> None:
    for coding in CODINGS:
        coded = b"".join(flushed(coding, PLAIN)) + b"rubbish"
        splice = splicing(coding)
        assert splice.feed(coded) + splice.close() == coded


@pytest.mark.parametrize("coding", CODINGS)
def test_a_coding_that_is_violated_passes_as_it_is(coding: str) -> None:
    pieces = flushed(coding, PLAIN)
    for at in range(0, len(b"".join(pieces)), 7):
        coded = bytearray(b"".join(pieces))
        coded[at] ^= 0xFF
        splice = splicing(coding)
        assert b"".join([*map(splice.feed, split(bytes(coded), random.Random(at), (5, 50))), splice.close()]) == coded


@pytest.mark.parametrize("coding", CODINGS)
def test_a_stream_that_breaks_off_shows_the_providers_bytes(coding: str) -> None:
    pieces = flushed(coding, PLAIN)[:4]
    splice = splicing(coding)
    assert b"".join(map(splice.feed, pieces)) == b"".join(pieces)


def test_a_stored_block_that_looks_like_a_flush_is_no_seam() -> None:
    """The mark of a flush may stand in text that is not compressed: what follows it is still that block."""
    deflate = zlib.compressobj(level=0, wbits=31)
    text = event(HEAD | {"choices": [{"index": 0, "delta": {"content": "x"}}]})[:-2] + b"\0\0\xff\xff\n\n"
    coded = deflate.compress(text * 3 + FINAL) + deflate.flush()
    _, seen, _ = through("gzip", split(coded, random.Random(3), (9,)))
    assert seen == text * 3


def test_long_brotli_goes_on_uncompressed():
    texts = [long(3000) for _ in range(250)]
    pieces = flushed("br", [*texts, FINAL])
    shown, text, _ = through("br", pieces)
    assert len(b"".join(pieces)) > 300 * 1024
    assert shown[: 200 * 1024] == b"".join(pieces)[: 200 * 1024]
    assert text == b"".join(texts)


@pytest.mark.parametrize("stream", STREAMS)
def test_flushes_that_leave_no_seam_do_not_keep_events_waiting(stream):
    """A partial flush of deflate ends within a byte."""
    texts, wanted = STREAMS[stream]
    texts, wanted = [*PLAIN[1:5] * 8, *texts], [*PLAIN[1:5] * 8, *wanted]
    deflate = zlib.compressobj(wbits=31)
    splice, browser, plain, known = splicing("gzip"), Browser("gzip"), UsageStripper(), b""
    for number, text in enumerate(texts):
        browser.feed(splice.feed(deflate.compress(text) + deflate.flush(zlib.Z_PARTIAL_FLUSH)))
        known += plain.feed(text)
        assert browser.text == known or number < 8
    browser.feed(splice.feed(deflate.flush()) + splice.close())
    assert browser.text == b"".join(wanted)
    assert browser.whole


def test_what_cannot_be_taken_out_stays_and_is_said() -> None:
    """Brotli says beforehand how much text a metablock holds: of one that was begun the end must follow."""
    coder = brotli.Compressor(quality=5)
    pieces = [coder.process(text) + coder.flush() for text in [long(300)] * 20]
    text = PLAIN[1] + FINAL
    block = (len(text) - 1 << 3 | 1 << 19).to_bytes(3, "little") + text  # a metablock that is not compressed
    cut = 3 + len(PLAIN[1])
    splice = splicing("br")
    shown = b"".join(map(splice.feed, [*pieces, block[:cut], block[cut:], b"\x03"])) + splice.close()
    assert shown == b"".join(pieces) + block + b"\x03"
    assert splice.stuck
