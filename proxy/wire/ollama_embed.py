"""Ollama's embed: what was read, after the vectors; the older embeddings says nothing.

Open WebUI answers ``/api/embeddings`` as OpenAI does; its usage is read as well.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.wire import ollama
from proxy.wire.canon import error_code, label
from proxy.wire.lenient import Lenient
from proxy.wire.openai import OpenAISurface
from proxy.wire.reply import ObjectReply
from proxy.wire.surface import Headers, Way
from proxy.wire.texts import prompt


class _Document(msgspec.Struct, gc=False):
    model: Any = None
    prompt_eval_count: Any = None
    load_duration: Any = None
    usage: Any = None
    error: Any = None


_DOCUMENT = Lenient(_Document, _Document)


class EmbedReader(ObjectReply[_Document]):
    """Reads what the reply says of itself; the vectors are skipped."""

    shape = _DOCUMENT
    places = ollama.PLACES
    members = frozenset(name.encode() for name in _Document.__struct_fields__)

    def __init__(self) -> None:
        super().__init__()
        self._seconds: dict[str, float] = {}

    def units(self) -> dict[str, float]:
        """Give how long the machine loaded."""
        return self._seconds

    def about(self, reply: _Document) -> None:
        """Read the members."""
        self.model = label(reply.model)
        self.statement.add(reply.usage)
        if reply.prompt_eval_count is not None:
            self.statement.add({"prompt_eval_count": reply.prompt_eval_count})
        self._seconds = ollama.seconds({"load_duration": reply.load_duration})
        if reply.error is not None:
            self.error = error_code(reply.error)


class Embed(OpenAISurface):
    """POST /api/embed and /api/embeddings."""

    name = "ollama.embed"

    def reader(self, headers: Headers = (), status: int = 200) -> EmbedReader:
        """Make the reader for one reply."""
        return EmbedReader()

    def prompt_text(self, body: bytes) -> str:
        """Give the texts."""
        return prompt(body, (("input",), ("prompt",)))

    def error(self, status: int, code: str, message: str) -> bytes:
        """Give the body of an error of ours."""
        return ollama.error(message)


_EMBED = Embed()
WAYS = (Way("POST", "api/embed", _EMBED), Way("POST", "api/embeddings", _EMBED))
