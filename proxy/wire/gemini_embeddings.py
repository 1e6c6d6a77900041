"""Gemini's embedContent and batchEmbedContents: many numbers and, of newer models, the prompt's tokens behind them."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.wire.canon import Statement, error_code
from proxy.wire.gemini import USAGE, GeminiSurface, by_modality
from proxy.wire.lenient import Lenient
from proxy.wire.reply import ObjectReply
from proxy.wire.surface import Headers, Way


class _Document(msgspec.Struct, rename="camel", gc=False):
    usage_metadata: Any = None
    error: Any = None


_DOCUMENT = Lenient(_Document, _Document)


class EmbedReader(ObjectReply[_Document]):
    """Reads the usage; the vectors are skipped."""

    shape = _DOCUMENT
    places = USAGE
    members = frozenset({b"usageMetadata", b"error"})

    def about(self, reply: _Document) -> None:
        """Read the members."""
        self.statement = Statement()
        if isinstance(reply.usage_metadata, dict):
            self.statement.add(by_modality(reply.usage_metadata))
        if reply.error is not None:
            self.error = error_code(reply.error)


class EmbedContent(GeminiSurface):
    """POST models/{model}:embedContent and :batchEmbedContents."""

    name = "gemini.embed_content"

    def reader(self, headers: Headers = (), status: int = 200) -> EmbedReader:
        """Make the reader for one reply."""
        return EmbedReader()


_EMBED = EmbedContent()
WAYS = (Way("POST", "*:embedContent", _EMBED), Way("POST", "*:batchEmbedContents", _EMBED))
