"""Amazon Bedrock's ApplyGuardrail: no model and no tokens, but policies that are billed by the unit of text."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.wire import bedrock
from proxy.wire.canon import Places
from proxy.wire.lenient import Lenient
from proxy.wire.other import Other
from proxy.wire.surface import Headers, Way

_PLACES = Places(
    input_tokens=(),
    cached=(),
    cache_write=(),
    audio_input=(),
    image_input=(),
    output_tokens=(),
    reasoning=(),
    audio_output=(),
    image_output=(),
    total=(),
    units=tuple((unit, (name,)) for name, unit in bedrock.GUARDRAIL_UNITS.items()),
)


class _Document(msgspec.Struct, gc=False):
    usage: Any = None


_DOCUMENT = Lenient(_Document, _Document)


class GuardrailReader(bedrock.BedrockReply):
    """Reads the units; what was assessed is skipped."""

    places = _PLACES
    members = frozenset({b"usage"})

    def document(self, body: bytes) -> bool:
        """Read a whole reply."""
        reply = _DOCUMENT.decode(body)
        if reply is None:
            return self.array(body)
        self.statement.add(reply.usage)
        self.refused(body)
        return True

    def parts(self, found: dict[str, object]) -> None:
        """Read the usage of a reply that could not be read whole."""
        self.statement.add(found.get("usage"))


class ApplyGuardrail(Other):
    """POST /guardrail/{guardrail}/version/{version}/apply; where it states no units, there is nothing to count."""

    name = "bedrock.apply_guardrail"

    def reader(self, headers: Headers = (), status: int = 200) -> GuardrailReader:
        """Make the reader for one reply."""
        return GuardrailReader(headers, status)

    def error(self, status: int, code: str, message: str) -> bytes:
        """Give the body of an error of ours."""
        return bedrock.error(status, message)


WAYS = (Way("POST", "guardrail/*/version/*/apply", ApplyGuardrail()),)
