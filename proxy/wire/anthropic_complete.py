"""Anthropic's legacy completions: the text alone, without usage, so that what passed has to be counted.

Streamed, each event holds the text that is new.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.wire.anthropic import MESSAGES, AnthropicSurface
from proxy.wire.canon import error_code, label
from proxy.wire.lenient import Lenient
from proxy.wire.reply import ObjectReply
from proxy.wire.surface import Headers, Way


class _Completion(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    completion: Any = None
    stop_reason: Any = None
    error: Any = None


_COMPLETION = Lenient(_Completion, _Completion)


class CompleteReader(ObjectReply[_Completion]):
    """Reads the text of a completion, whole or in events."""

    shape = _COMPLETION
    places = MESSAGES
    members = frozenset({b"id", b"model", b"error"})

    def event(self, data: bytes) -> None:
        """Read one event."""
        completion = _COMPLETION.decode(data)
        if completion is None:
            self.flags["event.malformed"] = None
            return
        self.about(completion)
        self.started = self.started or self.text.characters > 0
        self.finished = self.finished or completion.stop_reason is not None

    def about(self, completion: _Completion) -> None:
        """Read the members."""
        self.model = label(completion.model) or self.model
        self.response_id = label(completion.id) or self.response_id
        if isinstance(completion.completion, str):
            self.text.add(completion.completion)
        if completion.error is not None:
            self.error = error_code(completion.error) or self.error


class Complete(AnthropicSurface):
    """POST /v1/complete."""

    name = "anthropic.complete"

    def reader(self, headers: Headers = (), status: int = 200) -> CompleteReader:
        """Make the reader for one reply; its first bytes say what it is."""
        return CompleteReader()


WAYS = (Way("POST", "complete", Complete()),)
