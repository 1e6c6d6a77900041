"""Cohere's embed: text and image tokens billed apart, after the vectors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from proxy.wire import cohere
from proxy.wire.canon import at, label
from proxy.wire.lenient import Lenient
from proxy.wire.openai import OpenAISurface
from proxy.wire.reply import ObjectReply
from proxy.wire.surface import Headers, Way
from proxy.wire.texts import prompt

_PLACES = replace(cohere.PLACES, beside_input=((("beside", "image_tokens"),),))
_PROMPT = (("texts",), ("inputs", "content", "text"))


class _Document(msgspec.Struct, gc=False):
    id: Any = None
    meta: Any = None


_DOCUMENT = Lenient(_Document, _Document)


class EmbedReader(ObjectReply[_Document]):
    """Reads what the reply says of itself; the vectors are skipped."""

    shape = _DOCUMENT
    places = _PLACES
    members = frozenset({b"id", b"meta"})

    def units(self) -> dict[str, float]:
        """Give what is billed where that is said beside what was read."""
        return cohere.billed(self.statement.stated)

    def about(self, reply: _Document) -> None:
        """Read the members."""
        self.response_id = label(reply.id)
        self.statement.add(reply.meta)
        if _images_beside(reply.meta):
            self.statement.add({"beside": {"image_tokens": at(reply.meta, ("billed_units", "image_tokens"))}})


def _images_beside(meta: object) -> bool:
    """Tell whether the tokens of images are to be added: not where all that was read, or a sum, is stated."""
    read, text = (at(meta, ("billed_units", name)) for name in ("input_tokens", "text_tokens"))
    summed = read is not None and text is not None and read != text
    return at(meta, ("tokens", "input_tokens")) is None and not summed


class Embed(OpenAISurface):
    """POST /v2/embed and /v1/embed."""

    name = "cohere.embed"

    def reader(self, headers: Headers = (), status: int = 200) -> EmbedReader:
        """Make the reader for one reply."""
        return EmbedReader()

    def prompt_text(self, body: bytes) -> str:
        """Give the texts."""
        return prompt(body, _PROMPT)

    def error(self, status: int, code: str, message: str) -> bytes:
        """Give the body of an error of ours."""
        return cohere.error(message)


_EMBED = Embed()
WAYS = (Way("POST", "v2/embed", _EMBED), Way("POST", "v1/embed", _EMBED))
