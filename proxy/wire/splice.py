"""Takes something out of a coded stream, and leaves the coded bytes before it as they came.

What is to be taken out is known only when it has come, and often nothing is. So coded bytes are passed on as they are
while the stripper keeps their text whole, up to a seam: a place from which others can carry the coding on. Where
something is taken out, the rest of the text follows from the last seam as a continuation of the same member or frame,
which any decoder reads. A stream that nobody flushes has no seams: it is held, within a bound, or else coded anew. One
that is flushed, as its pieces tell, in a way that leaves none is coded anew, too: its events are not to wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from proxy.wire.content import Decoder, Encoder, encoder
from proxy.wire.seams import Rest, Seams, seams
from proxy.wire.sse import EVENT_LIMIT
from proxy.wire.surface import Stripper

HELD_LIMIT = 64 * 1024  # coded bytes that are held for a seam although most of their text may be seen
WAITING_LIMIT = 8  # pieces at whose end nothing but whole events is held, if these are half of all pieces or more
HELD_TEXT_LIMIT = 2 * EVENT_LIMIT  # and bytes of that text, where few coded bytes stand for many


class _Mark(NamedTuple):
    raw: int  # coded bytes up to a seam
    text: int  # bytes of text that they stand for
    rest: Rest


class CodedStripper:
    """Fed with coded bytes at any split; gives back coded bytes that stand for what the stripper keeps."""

    __slots__ = (
        "_decoder", "_encoder", "_encoding", "_judged", "_marks", "_pieces", "_raw", "_raw_sent", "_read", "_seams",
        "_stripper", "_text", "_text_sent", "_waiting", "stuck",
    )  # fmt: skip

    def __init__(
        self, content_encoding: bytes, decoding: Decoder, stripper: Stripper, read: Callable[[bytes], None]
    ) -> None:
        """``content_encoding``: one that can be decoded; ``read`` is shown all that is decoded."""
        self.stuck = False  # what had to be taken out could not be
        self._encoding = content_encoding
        self._decoder = decoding
        self._stripper: Stripper | None = stripper  # None: all passes as it is
        self._read = read
        self._seams = seams(content_encoding)
        self._encoder: Encoder | None = None  # set: the rest is coded anew
        if self._seams is None:
            self._encoder = encoder(content_encoding)
        self._raw = bytearray()  # not yet passed on
        self._raw_sent = 0
        self._text = bytearray()  # what the coded bytes stand for that were not yet passed on
        self._text_sent = 0
        self._judged = 0  # how much of that text may be seen
        self._pieces = 0  # that brought text…
        self._waiting = 0  # …and of these, how many ended with whole events held
        self._marks: list[_Mark] = []  # the seam up to which all was passed on, and those behind it

    def feed(self, piece: bytes) -> bytes:
        """Take coded bytes, give back what the client may see now."""
        if self._stripper is None:
            for plain in self._decoder.pieces(piece):
                self._read(plain)
            return piece
        if self._encoder is None and self._seams is not None:
            return self._follow(piece, self._seams)
        shown = [self._take(plain) for plain in self._decoder.pieces(piece)]
        if self._decoder.broken:  # a client that decodes fails as it would have without us
            self._stripper = None
            return piece
        return b"".join(shown)

    def close(self) -> bytes:
        """Give back what was held, and the end of the coding, at the end of the stream."""
        if self._stripper is None:
            return b""
        rest = self._stripper.close()
        if self._encoder is None:
            same = self._judges(rest)
            if same and self._judged == len(self._text):
                return self._pass_all()
            shown = self._pass_on() + self._switch(b"" if same else rest)
        else:
            shown = self._encoder.feed(rest)
        return shown if self._encoder is None else shown + self._encoder.close()

    def _follow(self, piece: bytes, following: Seams) -> bytes:
        """Pass on coded bytes as far as their text is seen to stay as it came."""
        shown: list[bytes] = []
        known, end = self._text_sent + len(self._text), self._raw_sent + len(self._raw)
        self._raw += piece
        for part in following.parts(piece):
            end += len(part)
            shown += [self._take(plain) for plain in self._decoder.pieces(part)]
            if self._encoder is None and self._stripper is not None and not self._decoder.broken:
                size = self._text_sent + len(self._text)
                rest = following.seam(size, settled=self._judged == len(self._text))
                if rest is not None:
                    self._marks.append(_Mark(end, size, rest))
        if self._encoder is None and self._stripper is not None:
            if self._decoder.broken or self._stripper.idle:
                shown.append(self._pass_all())
            else:
                shown.append(self._pass_on())
                if self._waits_for_nothing(known):
                    shown.append(self._switch(b""))
        return b"".join(shown)

    def _waits_for_nothing(self, known: int) -> bool:
        """Tell whether what is held had better be coded anew; up to ``known`` bytes of text were there before."""
        if self._text_sent + len(self._text) > known:
            self._pieces += 1
            self._waiting += 0 < self._judged == len(self._text)
        if self._waiting >= WAITING_LIMIT and self._waiting * 2 >= self._pieces:
            return self._judged > 0
        return len(self._raw) > HELD_LIMIT and self._judged > len(self._text) // 2

    def _take(self, plain: bytes) -> bytes:
        """Take decoded text; gives what the client may see for it, where that is coded anew."""
        self._read(plain)
        if self._stripper is None:
            return b""
        kept = self._stripper.feed(plain)
        if self._encoder is not None:
            return self._encoder.feed(kept)
        self._text += plain
        if not self._judges(kept):
            return self._pass_on() + self._switch(kept)
        return self._pass_on() + self._switch(b"") if self._judged > HELD_TEXT_LIMIT else b""

    def _judges(self, kept: bytes) -> bool:
        """Take note of what may be seen, if that is what came."""
        if not self._text.startswith(kept, self._judged):
            return False
        self._judged += len(kept)
        return True

    def _pass_on(self) -> bytes:
        """Give the coded bytes up to the last seam before which all may be seen."""
        may = self._text_sent + self._judged
        passed = [mark for mark in self._marks if mark.text <= may]
        if not passed:
            return b""
        del self._marks[: len(passed) - 1]
        raw, text, _ = passed[-1]
        shown = bytes(self._raw[: raw - self._raw_sent])
        if self._seams is not None:
            self._seams.passed(bytes(self._text[: text - self._text_sent]))
        del self._raw[: raw - self._raw_sent], self._text[: text - self._text_sent]
        self._judged -= text - self._text_sent
        self._raw_sent, self._text_sent = raw, text
        return shown

    def _switch(self, kept: bytes) -> bytes:
        """Carry on from the last seam, with the text behind it that may be seen, and ``kept``."""
        before = b""
        if not self._raw_sent:
            self._encoder = encoder(self._encoding)
        elif (rest := self._marks[0].rest()) is not None:
            before, self._encoder = rest
        if self._encoder is None:
            self.stuck = True
            return self._pass_all()
        text = bytes(self._text[: self._judged]) + kept
        self._raw.clear()
        self._text.clear()
        return before + self._encoder.feed(text)

    def _pass_all(self) -> bytes:
        self._stripper = None
        shown = bytes(self._raw)
        self._raw.clear()
        self._text.clear()
        return shown
