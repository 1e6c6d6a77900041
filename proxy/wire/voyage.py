"""Voyage's embeddings of contexts and of images with text: what was read is stated as the total alone."""

from __future__ import annotations

from dataclasses import replace

from proxy.wire.canon import CHAT
from proxy.wire.openai import OpenAISurface
from proxy.wire.openai_embeddings import EmbeddingsReader
from proxy.wire.surface import Headers, Way
from proxy.wire.texts import prompt

_PROMPT = (("inputs",), ("inputs", "content", "text"))


class VoyageReader(EmbeddingsReader):
    """Reads the usage of OpenAI's embeddings with the pixels of images, which are billed beside the text."""

    places = replace(CHAT, units=(("image_pixels", ("image_pixels",)), ("video_pixels", ("video_pixels",))))


class Embeddings(OpenAISurface):
    """POST /v1/multimodalembeddings and /v1/contextualizedembeddings."""

    name = "voyage.embeddings"

    def reader(self, headers: Headers = (), status: int = 200) -> VoyageReader:
        """Make the reader for one reply."""
        return VoyageReader()

    def prompt_text(self, body: bytes) -> str:
        """Give the texts."""
        return prompt(body, _PROMPT)


_EMBEDDINGS = Embeddings()
WAYS = (Way("POST", "multimodalembeddings", _EMBEDDINGS), Way("POST", "contextualizedembeddings", _EMBEDDINGS))
