"""The meter of one call: takes a copy of the bytes, reads usage from it, writes the facts down once.

Nothing here may break, delay or alter the traffic: reading failures become flags, ``finish`` is
synchronous (a task that is being cancelled may not await again), runs once and never raises.
"""

from __future__ import annotations

import time
from typing import Protocol

from estimator.usage import Usage
from proxy.call import Closed, Opened, Outcome, UsageSource
from proxy.counting import Counter
from proxy.teams import Headers
from proxy.wire.content import Decoder, decoder
from proxy.wire.splice import CodedStripper
from proxy.wire.surface import Asked, Reading, Stripper, Surface, UsageReader

_REQUEST_ID_HEADERS = frozenset((b"x-request-id", b"request-id", b"apim-request-id", b"x-amzn-requestid"))
COUNTED_PROMPT_BYTES_AT_MOST = 64 * 1024  # a larger request is not kept for counting; its size is used


class Sink(Protocol):
    """Where records go: the journal."""

    def append(self, record: Opened | Closed) -> bool:
        """Write a record down; says whether it worked, never raises."""


class Meter:
    """Follows one call from the moment it goes upstream to its end."""

    __slots__ = (
        "_asked", "_body", "_coded_stripper", "_count", "_decoder", "_flags", "_opened", "_reader", "_request_id",
        "_response_bytes", "_sink", "_started_ns", "_status", "_stripper", "_surface", "_token_ns", "client_gone",
        "closed", "overhead_ns", "strips",
    )  # fmt: skip

    def __init__(
        self,
        opened: Opened,
        *,
        surface: Surface,
        asked: Asked,
        body: bytes,
        started_ns: int,
        asked_for_usage: bool,
        sink: Sink,
        count: Counter,
        flags: tuple[str, ...] = (),
    ) -> None:
        self._opened = opened
        self._surface = surface
        self._asked = asked
        self._body = body if len(body) <= COUNTED_PROMPT_BYTES_AT_MOST else b""
        self._started_ns = started_ns
        self._sink = sink
        self._count = count
        self.overhead_ns = 0
        self._status: int | None = None
        self._request_id: str | None = None
        self._reader: UsageReader | None = None
        self._decoder: Decoder | None = None
        self._stripper: Stripper | None = None
        self._coded_stripper: CodedStripper | None = None  # in its place where the reply is compressed
        self._response_bytes = 0
        self._token_ns: int | None = None
        self._flags = list(flags)
        self.strips = asked_for_usage  # until the reply says that there is nothing to take out
        self.client_gone = False
        self.closed: Closed | None = None

    def sent(self) -> None:
        """Write down that bytes go upstream."""
        self._sink.append(self._opened)

    def replied(self, status: int, headers: Headers) -> None:
        """Take the reply's head."""
        self._status = status
        encoding = content_type = b""
        for name, value in headers:
            if name == b"content-type":
                content_type = value
            elif name == b"content-encoding":
                encoding = encoding + b", " + value if encoding else value
            elif name in _REQUEST_ID_HEADERS and self._request_id is None:
                self._request_id = value.decode("latin-1")[:200]
        self._reader = self._surface.reader(headers, status)
        if encoding:
            self._decoder = decoder(encoding)
            if self._decoder is None:
                self._flags.append("content_encoding.unknown")
                self._reader = None
        if self.strips:
            document = content_type.partition(b";")[0].strip().lower() == b"application/json"
            stripper = self._surface.stripper() if status == 200 and not document else None
            if stripper is not None and encoding and self._decoder is None:
                stripper = None
                self._flags.append("include_usage.not_removed")
            self.strips = stripper is not None
            if stripper is not None and self._decoder is not None:
                self._coded_stripper = CodedStripper(encoding, self._decoder, stripper, self._read)
            else:
                self._stripper = stripper

    def feed(self, piece: bytes) -> bytes:
        """Read a piece of the body; gives what the client is to see of it, almost always the piece itself."""
        self._response_bytes += len(piece)
        if self._coded_stripper is not None:
            return self._coded_stripper.feed(piece)
        if self._decoder is not None:  # as much at a time as is decoded at once: it may be a thousand times the piece
            for plain in self._decoder.pieces(piece):
                self._read(plain)
            return piece
        self._read(piece)
        return piece if self._stripper is None else self._stripper.feed(piece)

    def _read(self, plain: bytes) -> None:
        try:
            if self._reader is not None:
                self._reader.feed(plain)
                if self._token_ns is None and self._reader.started:
                    self._token_ns = time.perf_counter_ns()
        except Exception:  # metering never breaks traffic
            self._reader = None
            self._flags.append("metering.failed")

    def last(self) -> bytes:
        """Give what the stripper still holds and the end of the content-encoding, at the end of the body."""
        if self._coded_stripper is not None:
            return self._coded_stripper.close()
        return b"" if self._stripper is None else self._stripper.close()

    @property
    def complete(self) -> bool:
        """Whether a stream's own end was seen: its client may leave now, though the transfer has not ended.

        A document ends with its transfer: one whose client is told of no end is no whole reply.
        """
        return self._asked.stream and self._reader is not None and self._reader.finished

    def finish(
        self, outcome: Outcome, reason: str | None = None, *, status: int | None = None, flags: tuple[str, ...] = ()
    ) -> Closed:
        """Write down how the call ended; the first of several calls counts."""
        if self.closed is not None:
            return self.closed
        self._flags += flags
        reading = self._close_reader()
        if reading.error is not None and outcome == "ok":
            outcome = "error"
        if outcome == "error" and reason is None:
            reason = (reading.error or f"status_{self._status}")[:200]
        if self.client_gone and outcome == "ok":
            outcome, reason = "aborted", "client_gone"
        if self._coded_stripper is not None and self._coded_stripper.stuck:
            self._flags.append("include_usage.not_removed")
        if self._decoder is not None and self._decoder.broken:
            self._flags.append("content_encoding.broken")
        elif self._decoder is not None and not self._decoder.whole and outcome == "ok" and not reading.finished:
            self._flags.append("content_encoding.truncated")
        try:
            usage, source, why = self._usage(reading, outcome)
        except Exception:  # metering never breaks traffic
            self._flags.append("metering.failed")
            usage, source, why = None, "absent", "usage.not_reported"
        now_ns = time.perf_counter_ns()
        self.closed = Closed(
            opened=self._opened,
            ended_at_us=self._opened.started_at_us + (now_ns - self._started_ns) // 1000,
            outcome=outcome,
            status=status if status is not None else self._status,
            model=reading.model,
            provider_request_id=self._request_id or reading.response_id,
            usage=usage,
            usage_source=source,
            flags=(*self._flags, *reading.flags),
            reason=reason or why,
            latency_us=(now_ns - self._started_ns) // 1000,
            time_to_first_token_us=None if self._token_ns is None else (self._token_ns - self._started_ns) // 1000,
            overhead_us=self.overhead_ns // 1000,
            response_bytes=self._response_bytes,
            service_tier=reading.service_tier,
            region=reading.region,
            lines=reading.lines,
            counted_as=reading.counted_as,
            calls=reading.calls,
            shown_again=reading.counted_as is not None and not self._surface.metered,
        )
        self._sink.append(self.closed)
        self._body = b""
        return self.closed

    def _close_reader(self) -> Reading:
        reader, self._reader = self._reader, None
        if reader is None:
            return Reading()
        try:
            return reader.close()
        except Exception:  # metering never breaks traffic
            self._flags.append("metering.failed")
            return Reading()

    def _usage(self, reading: Reading, outcome: Outcome) -> tuple[Usage | None, UsageSource, str | None]:
        if reading.usage is not None:
            return reading.usage, "reported", None
        if self._status is not None and self._status >= 400:
            return None, "absent", "usage.none_on_error"
        if self._asked.units and self._status is not None:
            return Usage(units=dict(self._asked.units)), "counted", None
        if reading.pending:
            return None, "absent", "usage.pending"
        if not self._surface.metered:
            return None, "absent", "usage.surface_without_usage"
        if self._status is None and outcome != "aborted":
            return None, "absent", "usage.no_reply"
        return self._own_count(reading)

    def _own_count(self, reading: Reading) -> tuple[Usage | None, UsageSource, str | None]:
        """Count what passed; flagged, and never more output than the request allowed."""
        prompt = self._surface.prompt_text(self._body)
        if prompt is None:
            return None, "absent", "usage.not_reported"
        characters = len(prompt) if self._body else self._opened.request_bytes or 0
        given = self._count(prompt, characters)
        made = self._count(reading.text, reading.text_characters) if reading.text_characters else None
        output = made.tokens if made is not None else None
        if output is not None and self._asked.output_limit is not None and output > self._asked.output_limit:
            output = self._asked.output_limit
            self._flags.append("usage.capped_by_output_limit")
        sources = {given.source} | ({made.source} if made is not None else set())
        source: UsageSource = "inferred" if "inferred" in sources else "counted"
        return Usage(input_tokens=given.tokens, output_tokens=output), source, "usage.not_reported"
