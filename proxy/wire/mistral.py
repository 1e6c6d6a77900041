"""Mistral's own: conversations, whose connectors feed the model beside the prompt, and reading documents by the page.

``/v1/conversations`` is OpenAI's path as well, for a conversation that is only stored; the members say whose it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from proxy.wire.canon import CHAT, at, error_code, label, quantity
from proxy.wire.lenient import REFUSED, Lenient
from proxy.wire.other import Other
from proxy.wire.reply import Reply
from proxy.wire.surface import Headers, Way
from proxy.wire.texts import strings

_PLACES = replace(
    CHAT,
    units=(
        *CHAT.units,
        ("web_searches", ("connectors", "web_search")),
        ("code_interpreter_calls", ("connectors", "code_interpreter")),
    ),
)


class _Part(msgspec.Struct, gc=False):
    object: Any = None
    type: Any = None  # of an event
    conversation_id: Any = None
    model: Any = None
    content: Any = None
    outputs: Any = None
    usage: Any = None
    usage_info: Any = None
    error: Any = None
    code: Any = None


_PART = Lenient(_Part, _Part)
_decode = _PART.quick.decode


class ConversationReader(Reply):
    """Reads an answer in a conversation, whole or in events; or a document that was read."""

    places = _PLACES
    members = frozenset({b"object", b"conversation_id", b"model", b"usage", b"usage_info", b"error"})

    def __init__(self) -> None:
        super().__init__()
        self._pages: float | None = None

    def event(self, data: bytes) -> None:
        """Read one event."""
        try:
            part = _decode(data)
        except REFUSED:
            lenient = _PART.decode(data)
            if lenient is None:
                self.flags["event.malformed"] = None
                return
            part = lenient
        self._about(part)
        if part.type == "message.output.delta":
            for path in ((), ("text",)):
                for piece in strings(part.content, path):
                    self.text.add(piece)
            self.started = self.started or self.text.characters > 0
        elif part.type == "conversation.response.done":
            self.finished = True
        elif part.type == "conversation.response.error":
            self.error = error_code({"code": part.code}) or "error"

    def document(self, body: bytes) -> bool:
        """Read a plain reply."""
        part = _PART.decode(body)
        if part is None:
            return self.array(body)
        self._about(part)
        for path in (("content",), ("content", "text")):
            for piece in strings(part.outputs, path):
                self.text.add(piece)
        return True

    def parts(self, found: dict[str, object]) -> None:
        """Read the members of a reply too large to hold."""
        self._about(_Part(**found))

    def units(self) -> dict[str, float]:
        """Give the pages of a document."""
        return {"pages": self._pages} if self._pages else {}

    def _about(self, part: _Part) -> None:
        self.model = label(part.model) or next(
            (named for each in strings(part.outputs, ("model",)) if (named := label(each))), self.model
        )
        self.response_id = label(part.conversation_id) or self.response_id
        self.statement.add(part.usage)
        self._pages = quantity(at(part.usage_info, ("pages_processed",))) or self._pages
        if part.error is not None:
            self.error = error_code(part.error)


class Conversations(Other):
    """POST conversations, and to one of them; the reply to OpenAI's states no usage."""

    name = "mistral.conversations"

    def reader(self, headers: Headers = (), status: int = 200) -> ConversationReader:
        """Make the reader for one reply; its first bytes say what it is."""
        return ConversationReader()


class Ocr(Conversations):
    """POST ocr: billed by the page."""

    name = "mistral.ocr"


_CONVERSATIONS = Conversations()
WAYS = (
    Way("POST", "conversations", _CONVERSATIONS),
    Way("POST", "conversations/*", _CONVERSATIONS),
    Way("POST", "conversations/*/restart", _CONVERSATIONS),
    Way("POST", "ocr", Ocr()),
)
