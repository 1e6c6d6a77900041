"""A reply being read: what it is, is told by its first bytes, not by the request or the content type.

A reply is a stream of events, a JSON document, or something without usage. Readers of a format
inherit :class:`Reply` and say what an event and a document mean, and how events are cut out of the
bytes where that is not as server-sent events. Nothing raises; what cannot be read becomes a flag.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from estimator.usage import Usage, UsageLine
from proxy.wire.canon import Places, Statement, at, error_code, label, normal
from proxy.wire.lenient import Lenient, first, loads, repeats
from proxy.wire.members import Members
from proxy.wire.sse import Framer
from proxy.wire.surface import Reading
from proxy.wire.values import Values

DOCUMENT_LIMIT = 1024 * 1024  # bytes of a document that are held; a larger one is only scanned
LOOK_LIMIT = 128 * 1024  # bytes that are looked through for a count that is named twice
TEXT_LIMIT = 256 * 1024  # characters of generated text that are kept
_EARLY_TRIES = 4  # times a held document is tried before the reply is closed

T = TypeVar("T")

IN_FRONT = b" \t\r\n\xef\xbb\xbf"  # white space and byte order marks, in whatever pieces
_EVENTS = re.compile(rb"(?:data|event|id|retry)(?::|\r|\n)|:")
_EVENTS_BEGUN = (b"data:", b"event:", b"id:", b"retry:")


class Framing(Protocol):
    """Cuts a byte stream into events."""

    oversized: bool  # an event was too large to be read

    def payloads(self, data: bytes) -> Iterable[bytes]:
        """Give the payloads of the events that ``data`` completed."""

    def last_payload(self) -> Iterable[bytes]:
        """Give what is left at the end of the stream and can be read."""


class Text:
    """Generated text, kept up to a bound and counted beyond it."""

    __slots__ = ("_pieces", "characters", "kept")

    def __init__(self) -> None:
        self.characters = 0
        self.kept = 0
        self._pieces: list[str] = []

    def add(self, piece: str) -> None:
        """Take the next piece."""
        self.characters += len(piece)
        if self.kept < TEXT_LIMIT:
            piece = piece[: TEXT_LIMIT - self.kept]
            self.kept += len(piece)
            self._pieces.append(piece)

    def joined(self) -> str:
        """Give what was kept."""
        text = "".join(self._pieces)
        return text if text.isascii() else text.encode("utf-8", "replace").decode()


class Reply:
    """What all readers share: telling events from a document, bounds, and the closing."""

    places: Places
    members: frozenset[bytes] = frozenset()  # what to look for in a document too large to hold

    def __init__(self) -> None:
        self.started = False
        self.finished = False
        self.model: str | None = None
        self.response_id: str | None = None
        self.service_tier: str | None = None
        self.region: str | None = None
        self.counted_as: str | None = None
        self.lines: tuple[UsageLine, ...] = ()
        self.error: str | None = None
        self.statement = Statement()
        self.text = Text()
        self.calls = 1
        self.pending = False
        self.flags: dict[str, None] = {}
        self._framing: Framing | None = None  # set: the reply is a stream of events
        self._head = b""  # bytes before it is known what the reply is
        self._opaque = False  # neither events nor a document
        self._document: list[bytes] | None = None
        self._size = 0
        self._tries = _EARLY_TRIES
        self._on_first_line = True
        self._told: list[tuple[bytes, dict[str, object]]] = []
        self._members: Members | None = None  # set: the document is too large to hold

    # What a format says; each is given complete bytes and must not trust them.

    def framing(self, head: bytes) -> Framing | None:
        """Choose by its first bytes how a reply is cut into events; None: it is no stream, or too short to say."""
        return Framer() if is_events(head) else None

    def undecided(self, head: bytes) -> bool:
        """Tell whether a reply that is neither yet may still become a stream."""
        return could_become_events(head)

    def event(self, data: bytes) -> None:
        """Read the payload of one event."""

    def document(self, body: bytes) -> bool:
        """Read a whole JSON document; False: it is not one, or not yet."""
        return False

    def one_of_many(self, value: bytes) -> bool:
        """Tell whether an object is one event of a stream that has one to a line, and no document."""
        return False

    def parts(self, found: dict[str, object]) -> None:
        """Read the top-level members found in a document that could not be read whole."""

    def units(self) -> dict[str, float]:
        """Give billed units stated outside the usage."""
        return {}

    def ended(self) -> None:
        """Conclude what only the whole reply tells."""

    def array(self, body: bytes) -> bool:
        """Read a document that is an array: Google's servers wrap an error so."""
        tree = loads(body)
        if not isinstance(tree, list):
            return False
        if tree:
            self.error = error_code(at(tree[0], ("error",)))
        return True

    # The reader's side.

    def feed(self, data: bytes) -> None:
        """Take the next decoded bytes of the body."""
        try:
            framing = self._framing
            if framing is None:
                if not self._opaque:
                    self._begin(data)
                return
            for payload in framing.payloads(data):
                self._read(payload)
        except Exception:  # metering never fails a call
            self._opaque = True
            self._framing = None
            self.flags["reader.failed"] = None

    def close(self) -> Reading:
        """Say what was read."""
        try:
            self._end()
        except Exception:
            self.flags["reader.failed"] = None
        usage, flags = normal(self.statement.stated, self.places, model=self.model)
        units = self.units()
        if usage is None and units:
            usage = Usage()
        if usage is not None:
            usage.units.update(units)
        if usage is not None and self.service_tier is None:
            self.service_tier = label(at(self.statement.stated, ("service_tier",)))  # Mistral
        return Reading(
            usage=usage,
            lines=self.lines,
            counted_as=self.counted_as,
            calls=self.calls,
            pending=self.pending,
            model=self.model,
            response_id=self.response_id,
            service_tier=self.service_tier,
            region=self.region,
            error=self.error,
            finished=self.finished,
            flags=(*self.flags, *flags),
            text=self.text.joined(),
            text_characters=self.text.characters,
        )

    def _begin(self, data: bytes) -> None:
        if self._members is not None:
            self._scan(data)
        elif self._document is not None:
            self._hold(data)
        else:
            head = (self._head + data).lstrip(IN_FRONT)
            framing = self.framing(head)
            self._head = b""
            if framing is not None:
                self._framing = framing
                for payload in framing.payloads(head):
                    self._read(payload)
            elif head[:1] in (b"{", b"["):
                self._document = []
                self._hold(head)
            elif self.undecided(head):
                self._head = head
            else:
                self._opaque = True

    def _read(self, payload: bytes) -> None:
        try:
            self.event(payload)
            if self.statement.fresh is not None:
                self._keep(payload)
        except Exception:  # one event that cannot be read loses no other
            self.flags["reader.failed"] = None

    def _keep(self, data: bytes) -> None:
        """Keep the first and the last of what stated usage, to be looked through when the reply has ended."""
        fresh, self.statement.fresh = self.statement.fresh, None
        if fresh is not None and len(data) <= LOOK_LIMIT:
            self._told[1:] = [(data, fresh)]

    def _hold(self, data: bytes) -> None:
        document = self._document
        if document is None or not data:
            return
        document.append(data)
        self._size += len(data)
        if self._on_first_line and b"\n" in data:
            self._on_first_line = False
            if self._are_lines(b"".join(document)):
                return
        if self._size > DOCUMENT_LIMIT:
            self._members = Members(self.members)
            self._document = None
            self.flags["reply.large"] = None
            self._scan(b"".join(document))
        elif self._tries and data.rstrip(b" \t\r\n")[-1:] in (b"}", b"]"):
            self._tries -= 1
            if not (self._on_first_line and self.one_of_many(b"".join(document))):
                self._whole(document)

    def _are_lines(self, body: bytes) -> bool:
        """Read on as a stream of objects where the first is one of many."""
        if not self.one_of_many(body.partition(b"\n")[0]):
            return False
        self._document = None
        self._framing = Values()
        for payload in self._framing.payloads(body):
            self._read(payload)
        return True

    def _whole(self, document: list[bytes]) -> bool:
        body = b"".join(document)
        self._document = [body]
        if not self.document(body):
            return False
        if self.statement.fresh is not None:
            self._keep(body)
        self.finished = True
        self._document = None
        self._opaque = True  # whatever follows the closing brace
        return True

    def _scan(self, data: bytes) -> None:
        members = self._members
        if members is not None and not self.finished:
            members.feed(data)
            self.finished = members.finished

    def _end(self) -> None:
        if self._framing is not None:
            for payload in self._framing.last_payload():
                self._read(payload)
            if self._framing.oversized:
                self.flags["event.oversized"] = None
        elif self._document is not None and not (
            (self._on_first_line and self._are_lines(b"".join(self._document))) or self._whole(self._document)
        ):
            body = b"".join(self._document)
            value = first(body)
            if value is None or not self._whole([value]):
                self._members = Members(self.members)
                self._scan(body)
                if not self.finished:
                    self.flags["reply.truncated"] = None
        if any(repeats(data, usage) for data, usage in self._told):  # the last one was read, as all parsers do
            self.flags["usage.duplicate_member"] = None
        if self._members is not None:
            self.parts({name.decode(): loads(value) for name, value in self._members.found.items()})
            if self._members.broken:
                self.flags["reply.malformed"] = None
        self.ended()


class ObjectReply(Reply, Generic[T]):
    """A reply that is one JSON object of a known shape, where it is no stream."""

    shape: Lenient[T]

    def document(self, body: bytes) -> bool:
        """Read the object."""
        part = self.shape.decode(body)
        if part is None:
            return self.array(body)
        self.about(part)
        return True

    def parts(self, found: dict[str, object]) -> None:
        """Read what was found of an object that could not be read whole."""
        part = self.shape.convert(found)
        if part is not None:
            self.about(part)

    def about(self, part: T) -> None:
        """Read the members of the object."""


def is_events(head: bytes) -> bool:
    """Tell whether bytes begin a stream of server-sent events."""
    return _EVENTS.match(head) is not None


def could_become_events(head: bytes) -> bool:
    """Tell whether bytes are too few to say that they are not a stream of events."""
    return any(begun.startswith(head) for begun in _EVENTS_BEGUN)
