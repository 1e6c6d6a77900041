"""Cloudflare's Workers AI on its own path: a reply lies in ``result``, the last event of a stream states its usage.

Some models stream chunks shaped like OpenAI's in front of that event, whose usage is that of the chunk alone: the last
event has the sum. Some reply as OpenAI's Responses do, in ``result`` as well. Neurons, which are billed, stand beside.

Sources: the types of @cloudflare/workers-types 4.20251118 and streams printed in public reports, looked up 2026-11-28.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import msgspec

from proxy.wire.canon import CHAT, error_code, label
from proxy.wire.lenient import Lenient
from proxy.wire.openai import OpenAISurface
from proxy.wire.reply import ObjectReply
from proxy.wire.surface import Asked, Headers, Way
from proxy.wire.texts import strings

_MODEL = re.compile(r"/(?:ai/run|workers-ai)/([^?]+)")
_SAID = (
    ("response",),
    ("choices", "delta", "content"),
    ("choices", "message", "content"),
    ("output", "content", "text"),
)


class _Part(msgspec.Struct, gc=False):
    result: Any = None
    response: Any = None
    choices: Any = None
    output: Any = None
    usage: Any = None
    id: Any = None
    model: Any = None
    errors: Any = None
    error: Any = None


_PART = Lenient(_Part, _Part)


class WorkersReader(ObjectReply[_Part]):
    """Reads a plain reply or a stream."""

    shape = _PART
    places = replace(
        CHAT,
        input_tokens=(*CHAT.input_tokens, ("input_tokens",)),
        output_tokens=(*CHAT.output_tokens, ("output_tokens",)),
        units=(("neurons", ("neurons",)),),
    )
    members = frozenset(name.encode() for name in _Part.__struct_fields__)

    def event(self, data: bytes) -> None:
        """Read one event."""
        if data.startswith(b"[DONE]"):
            self.finished = True
            return
        part = _PART.decode(data)
        if part is None:
            self.flags["event.malformed"] = None
            return
        self._about(part)
        if part.response is not None:
            self.statement.add(part.usage)
        before = self.text.characters
        self._said(part)
        self.started = self.started or self.text.characters > before

    def about(self, part: _Part) -> None:
        """Read the members."""
        self._about(part)
        inner = _PART.convert(part.result) or part
        self._about(inner)
        self.statement.add(inner.usage)
        self._said(inner)

    def _about(self, part: _Part) -> None:
        self.model = self.model or label(part.model)
        self.response_id = self.response_id or label(part.id)
        for error in (*(part.errors if isinstance(part.errors, list) else ()), part.error):
            self.error = self.error or error_code(error)

    def _said(self, part: _Part) -> None:
        tree = {name: getattr(part, name) for name in ("response", "choices", "output")}
        for path in _SAID:
            for piece in strings(tree, path):
                self.text.add(piece)


class Workers(OpenAISurface):
    """POST ai/run/{model}, and workers-ai/{model} behind Cloudflare's AI Gateway."""

    name = "cloudflare.run"

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request, whose model stands in the path."""
        named = _MODEL.search(path)
        asked = super().asked(body, path)
        return asked if named is None else msgspec.structs.replace(asked, model=label(unquote(named[1])))

    def reader(self, headers: Headers = (), status: int = 200) -> WorkersReader:
        """Make the reader for one reply; its first bytes say what it is."""
        return WorkersReader()


_WORKERS = Workers()
WAYS = tuple(
    Way("POST", ending, _WORKERS)
    for ending in ("ai/run/*", "ai/run/*/*", "ai/run/*/*/*", "workers-ai/*", "workers-ai/*/*", "workers-ai/*/*/*")
)
