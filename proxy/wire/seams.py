"""Seams of content codings: places in a coded stream from which others can carry it on, and the carrying on.

Every flush leaves one. What follows it here is the same gzip member, zlib stream, brotli stream or zstd frame: its
blocks need nothing of what came before but the sums that its end states. Of zstd and brotli these are blocks that are
not compressed; the end of a stream, mostly, and short.

Sources: RFC 1951 section 3.2.4 (stored blocks), RFC 1952 section 2.3.1 and RFC 1950 section 2.2 (trailers), RFC 7932
section 9.2 (metablocks), RFC 8878 sections 3.1.1 (frames and blocks) and 3.1.1.2.4 (how large a block may be).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import zstandard

from proxy.wire.content import PIECE, Encoder, decoder, deflate_window, names

# Makes what carries a stream on from a seam, and gives coded bytes that still belong before it. None: it was no seam.
Rest = Callable[[], tuple[bytes, Encoder] | None]

_GZIP, _ZLIB = 31, 15  # zlib's names of what is around deflate
_FLUSHED = b"\x00\x00\xff\xff"  # the end of the empty stored block that a flush of deflate leaves
_DEFLATE_LAST = b"\x01\x00\x00\xff\xff"
_BROTLI_LAST = b"\x03"
_BROTLI_PADDING = 2  # bytes of a flush that may come after its text
_BROTLI_BLOCK = 64 * 1024
_BROTLI_PROVEN = 16  # seams that are proven, by decoding all anew; where they hold, later ones are trusted
_BROTLI_PROVING = 256 * 1024  # coded bytes that are decoded again for it, all together; or so many times all of them:
_BROTLI_TRIES = 4
_BROTLI_KEPT = 256 * 1024  # coded bytes that are kept to prove the seam that is used, which takes 10 ms for all of them
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_LAST = b"\x01\x00\x00"
_ZSTD_BLOCK_HEAD = 3  # bytes
_ZSTD_REPEATED, _ZSTD_RESERVED = 1, 3  # kinds of blocks: one byte that stands for many, and none that there is
_ZSTD_SIZE, _ZSTD_SUM = 0b1110_0000, 0b0000_0100  # bits of a frame's descriptor: its size is stated; it ends with a sum
_ZSTD_SUM_BYTES = 4
_ZSTD_DICTIONARY_ID = (0, 1, 2, 4)  # bytes
_ZSTD_BLOCK = 1024  # bytes, which the smallest window allows


class Seams(Protocol):
    """Follows a coded stream from its beginning."""

    def parts(self, raw: bytes) -> Iterator[bytes]:
        """Cut coded bytes wherever a seam may follow."""

    def seam(self, text_size: int, *, settled: bool) -> Rest | None:
        """Tell whether a seam follows the last part; ``settled``: no text up to it waits to be judged."""

    def passed(self, text: bytes) -> None:
        """Take note of text whose coded bytes were passed on, up to a seam."""


def seams(content_encoding: bytes) -> Seams | None:
    """Make what finds the seams of a Content-Encoding header; None: of several codings, of none, or one unknown."""
    found = names(content_encoding)
    name = found[0] if found is not None and len(found) == 1 else b""
    if name in (b"gzip", b"x-gzip"):
        return _DeflateSeams(gzip=True)
    if name == b"deflate":
        return _DeflateSeams(gzip=False)
    if name == b"br":
        return _BrotliSeams()
    return _ZstdSeams() if name == b"zstd" else None


class _Sum:
    """What a stream of deflate has at its end: CRC-32 and size (gzip), Adler-32 (zlib) or nothing."""

    __slots__ = ("_size", "_value", "_window")

    def __init__(self, window: int, value: int, size: int = 0) -> None:
        self._window = window
        self._value = value
        self._size = size

    def after(self, text: bytes) -> _Sum:
        summed = zlib.crc32 if self._window == _GZIP else zlib.adler32
        return _Sum(self._window, summed(text, self._value), self._size + len(text) & 0xFFFFFFFF)

    def trailer(self) -> bytes:
        if self._window == _GZIP:
            return self._value.to_bytes(4, "little") + self._size.to_bytes(4, "little")
        return self._value.to_bytes(4, "big") if self._window == _ZLIB else b""


class _DeflateSeams:
    """Of a gzip stream's first member or of deflate, zlib or raw: each proven by ending a copy of a decoder there."""

    __slots__ = ("_flushed", "_gzip", "_over", "_stream", "_sum", "_tail", "_unread")

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._stream: zlib._Decompress | None = None
        self._sum = _Sum(_GZIP, 0)
        self._over = False  # the member
        self._unread = b""
        self._tail = b""  # may be the beginning of what a flush leaves
        self._flushed = False

    def parts(self, raw: bytes) -> Iterator[bytes]:
        while raw:
            joined = self._tail + raw
            found = joined.find(_FLUSHED)
            self._flushed = found >= 0
            end = found + len(_FLUSHED) - len(self._tail) if self._flushed else len(raw)
            self._tail = b"" if self._flushed else joined[-3:]
            part, raw = raw[:end], raw[end:]
            self._unread += part
            yield part

    def seam(self, text_size: int, *, settled: bool) -> Rest | None:
        if self._over or len(self._unread) < 2:
            return None
        try:
            if self._stream is None:
                window = _GZIP if self._gzip else deflate_window(self._unread)
                self._stream, self._sum = zlib.decompressobj(window), _Sum(window, 0 if self._gzip else 1)
            text = self._stream.decompress(self._unread, PIECE)
            self._unread = b""
            while text:
                self._sum = self._sum.after(text)
                text = self._stream.decompress(self._stream.unconsumed_tail, PIECE)
            self._over = self._stream.eof
            if self._over or not self._flushed:
                return None
            ended = self._stream.copy()
            if ended.decompress(_DEFLATE_LAST + self._sum.trailer()) or not ended.eof or ended.unused_data:
                return None
        except zlib.error:
            self._over = True
            return None
        total = self._sum
        return lambda: (b"", _DeflateRest(total))

    def passed(self, text: bytes) -> None:
        """Need nothing of it."""


class _DeflateRest:
    __slots__ = ("_stream", "_sum")

    def __init__(self, total: _Sum) -> None:
        self._stream = zlib.compressobj(level=4, wbits=-15)
        self._sum = total

    def feed(self, data: bytes) -> bytes:
        if not data:
            return b""
        self._sum = self._sum.after(data)
        return self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)

    def close(self) -> bytes:
        return self._stream.flush() + self._sum.trailer()


class _BrotliSeams:
    """At the ends of pieces: bits of brotli are not aligned, and its decoder does not say where it stands."""

    __slots__ = ("_decoded", "_proven", "_raw", "_trusted")

    def __init__(self) -> None:
        self._raw = bytearray()
        self._proven = self._decoded = 0
        self._trusted = False

    def parts(self, raw: bytes) -> Iterator[bytes]:
        if len(self._raw) <= _BROTLI_KEPT:
            self._raw += raw
        yield raw

    def seam(self, text_size: int, *, settled: bool) -> Rest | None:
        size = len(self._raw)
        if not settled or size > _BROTLI_KEPT:
            return None
        if self._proven < _BROTLI_PROVEN and self._decoded < max(_BROTLI_PROVING, _BROTLI_TRIES * size):
            self._decoded += size
            self._trusted = _brotli_ends(bytes(self._raw), text_size)
            self._proven += self._trusted
        return (lambda: self._rest(size, text_size)) if self._trusted else None

    def passed(self, text: bytes) -> None:
        """Need nothing of it."""

    def _rest(self, size: int, text_size: int) -> tuple[bytes, Encoder] | None:
        for more in range(_BROTLI_PADDING + 1):
            if _brotli_ends(bytes(self._raw[: size + more]), text_size):
                return bytes(self._raw[size : size + more]), _BrotliRest()
        return None


def _brotli_ends(raw: bytes, text_size: int) -> bool:
    stream = decoder(b"br")
    if stream is None:
        return False
    seen = sum(map(len, stream.pieces(raw + _BROTLI_LAST)))
    return seen == text_size and stream.whole


class _BrotliRest:
    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        blocks = [data[at : at + _BROTLI_BLOCK] for at in range(0, len(data), _BROTLI_BLOCK)]
        return b"".join([(len(block) - 1 << 3 | 1 << 19).to_bytes(3, "little") + block for block in blocks])

    def close(self) -> bytes:
        return _BROTLI_LAST


class _ZstdSeams:
    """Behind the first frame's header and each of its blocks, unless the header promises a size."""

    __slots__ = ("_head", "_left", "_opened", "_over", "_sum")

    def __init__(self) -> None:
        self._sum: zstandard.ZstdCompressionObj | None = None  # of the frame's text, where its end must state it
        self._head = b""  # of the frame or a block, as far as it came
        self._opened = False
        self._left = 0  # bytes of a block that are still to come
        self._over = False

    def parts(self, raw: bytes) -> Iterator[bytes]:
        start = at = 0
        while at < len(raw) and not self._over:
            if self._left:
                step = min(self._left, len(raw) - at)
                self._left -= step
                at += step
            else:
                self._head += raw[at : at + 1]
                at += 1
                self._look()
            if self._between():
                yield raw[start:at]
                start = at
        if start < len(raw):
            yield raw[start:]

    def seam(self, text_size: int, *, settled: bool) -> Rest | None:
        return (lambda: (b"", _ZstdRest(self._sum))) if self._between() else None

    def passed(self, text: bytes) -> None:
        if self._sum is not None:
            self._sum.compress(text)

    def _between(self) -> bool:
        return self._opened and not (self._head or self._left or self._over)

    def _look(self) -> None:
        if self._opened:
            if len(self._head) == _ZSTD_BLOCK_HEAD:
                head, self._head = int.from_bytes(self._head, "little"), b""
                last, kind, size = head & 1, head >> 1 & 3, head >> 3
                self._over = bool(last) or kind == _ZSTD_RESERVED
                self._left = 1 if kind == _ZSTD_REPEATED else size
        elif len(self._head) <= len(_ZSTD_MAGIC):
            self._over = not _ZSTD_MAGIC.startswith(self._head)
        else:
            descriptor = self._head[len(_ZSTD_MAGIC)]
            self._over = bool(descriptor & _ZSTD_SIZE)
            if descriptor & _ZSTD_SUM and self._sum is None:
                self._sum = zstandard.ZstdCompressor(level=1, write_checksum=True).compressobj()
            if len(self._head) == len(_ZSTD_MAGIC) + 2 + _ZSTD_DICTIONARY_ID[descriptor & 3]:
                self._opened, self._head = True, b""


class _ZstdRest:
    __slots__ = ("_sum",)

    def __init__(self, total: zstandard.ZstdCompressionObj | None) -> None:
        self._sum = total  # a frame of the same text, which ends with the same sum: only that is wanted of it

    def feed(self, data: bytes) -> bytes:
        if self._sum is not None:
            self._sum.compress(data)
        blocks = [data[at : at + _ZSTD_BLOCK] for at in range(0, len(data), _ZSTD_BLOCK)]
        return b"".join([(len(block) << 3).to_bytes(3, "little") + block for block in blocks])

    def close(self) -> bytes:
        return _ZSTD_LAST if self._sum is None else _ZSTD_LAST + self._sum.flush()[-_ZSTD_SUM_BYTES:]
