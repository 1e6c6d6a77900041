"""Content codings, decoded and encoded piece by piece, bounded in memory and never raising.

Decoding is for a copy: the client gets the bytes as they came. Encoding is only for a stream whose
bytes had to be changed; it flushes at every piece, so that no event waits inside a compressor.

Sources: RFC 9110 section 8.4 (codings, their order), RFC 1952 (gzip members), RFC 9659 (zstd window).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import brotli  # type: ignore[import-untyped]
import zstandard

PIECE = 64 * 1024  # bytes a coding is undone at once, so that a bomb is seen before it swells
OUTPUT_LIMIT = 64 * 1024 * 1024  # bytes one feed may swell to before the stream is taken for a bomb; never held at once
CODINGS_LIMIT = 4  # stacked codings
_ZSTD_WINDOW = 8 * 1024 * 1024  # RFC 9659: what a zstd content coding may ask a decoder to hold
# Bytes put in at once: the library gives back all that they stand for in one piece, and 4 can stand for 128 KiB.
_ZSTD_SLICE, _ZSTD_SMALL_SLICE = 256, 16


class Decoder(Protocol):
    """Turns the bytes of a coded body into the body."""

    broken: bool  # the coding was violated, or was a bomb; nothing more comes
    swollen: bool  # it was a bomb: a feed swelled beyond OUTPUT_LIMIT

    @property
    def whole(self) -> bool:
        """Tell whether the coding came to its end, or never began."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Give back what ``data`` completed, a piece at a time as it is asked for; never raises."""

    def feed(self, data: bytes) -> bytes:
        """Give back all that ``data`` completed at once; never raises."""


class Encoder(Protocol):
    """Turns a body into its coded bytes, flushed at every piece."""

    def feed(self, data: bytes) -> bytes:
        """Give back coded bytes from which all of ``data`` can be decoded."""

    def close(self) -> bytes:
        """Give back the end of the coded stream."""


class _Coding(Protocol):
    @property
    def whole(self) -> bool: ...

    def pieces(self, data: bytes) -> Iterator[bytes]: ...


class Identity:
    """No coding at all."""

    __slots__ = ()
    broken = swollen = False
    whole = True

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Give ``data`` back."""
        yield data

    def feed(self, data: bytes) -> bytes:
        """Give ``data`` back."""
        return data


class _Zlib:
    """gzip with any number of members, or deflate, which in the wild is zlib or raw."""

    __slots__ = ("_gzip", "_head", "_members", "_over", "_stream")

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._head = b""
        self._members = 0
        self._over = False  # what follows the last member is rubbish, which every client ignores
        self._stream: zlib._Decompress | None = None

    @property
    def whole(self) -> bool:
        return self._stream is None and (self._members > 0 or not self._head)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data and not self._over:
            if self._stream is None:
                data = self._head + data
                if self._gzip and self._members:
                    data = data.lstrip(b"\0")  # padding between members
                if len(data) < 2:
                    self._head = data
                    return
                self._head = b""
                if self._members and not (self._gzip and data.startswith(b"\x1f\x8b")):
                    self._over = True
                    return
                self._stream = zlib.decompressobj(31 if self._gzip else deflate_window(data))
            piece = self._stream.decompress(data, PIECE)
            while piece:
                yield piece
                piece = self._stream.decompress(self._stream.unconsumed_tail, PIECE)
            if not self._stream.eof:
                return
            data = self._stream.unused_data
            self._stream = None
            self._members += 1


def deflate_window(head: bytes) -> int:
    """Tell by the first two bytes of a deflate coding what it is in the wild: zlib or raw, as zlib's ``wbits``."""
    is_zlib = head[0] & 0x0F == 8 and (head[0] << 8 | head[1]) % 31 == 0
    return 15 if is_zlib else -15


class _Brotli:
    __slots__ = ("_begun", "_stream")

    def __init__(self) -> None:
        self._begun = False
        self._stream = brotli.Decompressor()

    @property
    def whole(self) -> bool:
        return not self._begun or bool(self._stream.is_finished())

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if self._stream.is_finished():
            return
        self._begun = self._begun or bool(data)
        piece = self._stream.process(data, output_buffer_limit=PIECE)
        while piece or not self._stream.can_accept_more_data():
            if piece:
                yield piece
            piece = self._stream.process(b"", output_buffer_limit=PIECE)


class _Zstd:
    """zstd, any number of frames."""

    __slots__ = ("_decompressor", "_stream")

    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._stream: zstandard.ZstdDecompressionObj | None = None

    @property
    def whole(self) -> bool:
        return self._stream is None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        at, step = 0, _ZSTD_SLICE
        while at < len(data):
            rest = data[at : at + step]
            at += step
            step = _ZSTD_SLICE
            while rest:
                if self._stream is None:
                    self._stream = self._decompressor.decompressobj()
                piece = self._stream.decompress(rest)
                if len(piece) > PIECE:
                    step = _ZSTD_SMALL_SLICE
                if piece:
                    yield piece
                if not self._stream.eof:
                    break
                rest = self._stream.unused_data
                self._stream = None


class _Decoding:
    """Codings undone one after the other, the last applied first."""

    __slots__ = ("_codings", "broken", "swollen")

    def __init__(self, codings: list[_Coding]) -> None:
        self._codings = codings
        self.broken = self.swollen = False

    @property
    def whole(self) -> bool:
        return not self.broken and all(coding.whole for coding in self._codings)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if self.broken:
            return
        pieces: Iterable[bytes] = (data,)
        for coding in self._codings:
            pieces = _through(coding, pieces)
        try:
            yield from pieces
        except _BombError:
            self.broken = self.swollen = True
        except (zlib.error, brotli.error, zstandard.ZstdError):
            self.broken = True

    def feed(self, data: bytes) -> bytes:
        return b"".join(self.pieces(data))


class _BombError(Exception):
    pass


def _through(coding: _Coding, pieces: Iterable[bytes]) -> Iterator[bytes]:
    swollen = 0
    for piece in pieces:
        for decoded in coding.pieces(piece):
            swollen += len(decoded)
            if swollen > OUTPUT_LIMIT:
                raise _BombError
            yield decoded


class _ZlibEncoder:
    __slots__ = ("_stream",)

    def __init__(self, window: int) -> None:
        self._stream = zlib.compressobj(level=4, wbits=window)

    def feed(self, data: bytes) -> bytes:
        return self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH) if data else b""

    def close(self) -> bytes:
        return self._stream.flush()


class _BrotliEncoder:
    __slots__ = ("_stream",)

    def __init__(self) -> None:
        self._stream = brotli.Compressor(quality=4)

    def feed(self, data: bytes) -> bytes:
        return bytes(self._stream.process(data) + self._stream.flush()) if data else b""

    def close(self) -> bytes:
        return bytes(self._stream.finish())


class _ZstdEncoder:
    __slots__ = ("_stream",)

    def __init__(self) -> None:
        self._stream = zstandard.ZstdCompressor(level=3).compressobj()

    def feed(self, data: bytes) -> bytes:
        return self._stream.compress(data) + self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) if data else b""

    def close(self) -> bytes:
        return self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


class _Encoding:
    """Codings applied one after the other; none at all for identity."""

    __slots__ = ("_codings",)

    def __init__(self, codings: list[Encoder]) -> None:
        self._codings = codings

    def feed(self, data: bytes) -> bytes:
        for coding in self._codings:
            data = coding.feed(data)
        return data

    def close(self) -> bytes:
        tail = b""
        for coding in self._codings:
            tail = coding.feed(tail) + coding.close()
        return tail


_DECODERS: dict[bytes, Callable[[], _Coding]] = {
    b"gzip": lambda: _Zlib(gzip=True),
    b"x-gzip": lambda: _Zlib(gzip=True),
    b"deflate": lambda: _Zlib(gzip=False),
    b"br": _Brotli,
    b"zstd": _Zstd,
}
_ENCODERS: dict[bytes, Callable[[], Encoder]] = {
    b"gzip": lambda: _ZlibEncoder(31),
    b"x-gzip": lambda: _ZlibEncoder(31),
    b"deflate": lambda: _ZlibEncoder(15),
    b"br": _BrotliEncoder,
    b"zstd": _ZstdEncoder,
}


def decoder(content_encoding: bytes | None) -> Decoder | None:
    """Make the decoder for a Content-Encoding header; None: an encoding that cannot be decoded here."""
    found = names(content_encoding)
    if found is None:
        return None
    return _Decoding([_DECODERS[name]() for name in reversed(found)]) if found else Identity()


def encoder(content_encoding: bytes | None) -> Encoder | None:
    """Make the encoder for a Content-Encoding header; None: an encoding that cannot be made here."""
    found = names(content_encoding)
    return None if found is None else _Encoding([_ENCODERS[name]() for name in found])


def names(content_encoding: bytes | None) -> list[bytes] | None:
    """Give the codings of a Content-Encoding header, without identity; None: one cannot be decoded here."""
    found = [name.strip().lower() for name in (content_encoding or b"").split(b",")]
    found = [name for name in found if name not in (b"", b"identity")]
    return found if len(found) <= CODINGS_LIMIT and all(name in _DECODERS for name in found) else None
