"""Amazon Bedrock's Converse and ConverseStream: one shape for all models; cached counts lie beside the input.

Streamed: an event stream whose last message is ``metadata``. No reply names its model, but for a
prompt router, which names the one it chose in the trace.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from proxy.wire import bedrock
from proxy.wire.canon import Places, at, label, quantity
from proxy.wire.lenient import REFUSED, Lenient
from proxy.wire.other import Other
from proxy.wire.surface import Headers, Way
from proxy.wire.texts import prompt, strings

# Some models state the cached counts under two names at once.
_CACHE_READ = (("cacheReadInputTokens",), ("cacheReadInputTokenCount",))
_CACHE_WRITE = (("cacheWriteInputTokens",), ("cacheWriteInputTokenCount",))
_PLACES = Places(
    input_tokens=(("inputTokens",),),
    cached=_CACHE_READ,
    cache_write=_CACHE_WRITE,
    audio_input=(),
    image_input=(),
    output_tokens=(("outputTokens",),),
    reasoning=(),
    audio_output=(),
    image_output=(),
    total=(("totalTokens",),),
    beside_input=(_CACHE_READ, _CACHE_WRITE),
)
_WRITTEN = (("text",), ("reasoningContent", "text"), ("toolUse", "input"))
_BEGUN = (("toolUse", "name"),)
_CONTENT = (
    ("text",),
    ("reasoningContent", "reasoningText", "text"),
    ("citationsContent", "content", "text"),
    ("toolUse", "name"),
)
_PROMPT = (
    ("system", "text"),
    ("messages", "content", "text"),
    ("messages", "content", "guardContent", "text", "text"),
    ("messages", "content", "toolResult", "content", "text"),
)
_TTL = re.compile(r"\d{1,3}[mh]")
_CAPITAL = re.compile(r"(?=[A-Z])")
_TOOLS_AT_MOST = 16


class _Event(msgspec.Struct, rename="camel", gc=False):
    delta: Any = None  # contentBlockDelta
    start: Any = None  # contentBlockStart
    output: Any = None  # of a plain reply
    usage: Any = None
    trace: Any = None
    service_tier: Any = None


_EVENT = Lenient(_Event, _Event)
_decode = _EVENT.quick.decode


class ConverseReader(bedrock.BedrockReply):
    """Reads a plain reply or the messages of a stream."""

    places = _PLACES
    members = frozenset({b"usage", b"trace", b"serviceTier"})

    def __init__(self, headers: Headers = (), status: int = 200) -> None:
        super().__init__(headers, status)
        self._trace: object = None

    def said(self, data: bytes) -> None:
        """Read one message."""
        try:
            event = _decode(data)
        except REFUSED:
            lenient = _EVENT.decode(data)
            if lenient is None:
                self.flags["event.malformed"] = None
                return
            event = lenient
        if event.usage is not None:
            self._about(event)
            self.finished = True
        for said, paths in ((event.delta, _WRITTEN), (event.start, _BEGUN)):
            if said is not None:
                for path in paths:
                    for piece in strings(said, path):
                        if piece:
                            self.started = True
                            self.text.add(piece)

    def document(self, body: bytes) -> bool:
        """Read a plain reply."""
        reply = _EVENT.decode(body)
        if reply is None:
            return self.array(body)
        self._about(reply)
        self.refused(body)
        content = at(reply.output, ("message", "content"))
        for path in _CONTENT:
            for piece in strings(content, path):
                self.text.add(piece)
        return True

    def parts(self, found: dict[str, object]) -> None:
        """Read the members of a reply that could not be read whole."""
        self._about(msgspec.convert(found, _Event))

    def units(self) -> dict[str, float]:
        """Give the cache's writes by their time to live, what tools did and what guardrails bill."""
        found = bedrock.guardrail_units(self._trace)
        details = at(self.statement.stated, ("cacheDetails",))
        for detail in details if isinstance(details, list) else ():
            ttl, amount = at(detail, ("ttl",)), quantity(at(detail, ("inputTokens",)))
            if isinstance(ttl, str) and _TTL.fullmatch(ttl) and amount:
                unit = f"cache_write_{ttl}_tokens"
                found[unit] = found.get(unit, 0) + amount
        tools = at(self.statement.stated, ("serverToolUsage",))
        # Its members are in no service model yet: each amount goes by its own name, webSearchRequests as …_requests.
        for name in list(tools)[:_TOOLS_AT_MOST] if isinstance(tools, dict) else ():
            amount = quantity(at(tools, (name,)))
            if amount and name.isascii() and name.isalpha():
                found[_CAPITAL.sub("_", name).lower()[:64]] = amount
        return found

    def _about(self, event: _Event) -> None:
        self.statement.add(event.usage)
        if event.trace is not None:
            self._trace = event.trace
            self.model = label(at(event.trace, ("promptRouter", "invokedModelId"))) or self.model
        self.service_tier = label(at(event.service_tier, ("type",))) or self.service_tier


class Converse(bedrock.BedrockSurface):
    """POST /model/{model}/converse and /converse-stream."""

    name = "bedrock.converse"

    def reader(self, headers: Headers = (), status: int = 200) -> ConverseReader:
        """Make the reader for one reply."""
        return ConverseReader(headers, status)

    def prompt_text(self, body: bytes) -> str:
        """Give the prompt's text."""
        return prompt(body, _PROMPT, (("toolConfig", "tools"),))


class CountTokens(Other):
    """POST /model/{model}/count-tokens: free, what it states is no usage."""

    name = "bedrock.count_tokens"

    def error(self, status: int, code: str, message: str) -> bytes:
        """Give the body of an error of ours."""
        return bedrock.error(status, message)


_CONVERSE = Converse()
_COUNT_TOKENS = CountTokens()
# A model may be an ARN, whose slash not every client encodes.
WAYS = (
    *(
        Way("POST", f"model/{model}/{action}", _CONVERSE)
        for model in ("*", "*/*")
        for action in ("converse", "converse-stream")
    ),
    *(Way("POST", f"model/{model}/count-tokens", _COUNT_TOKENS) for model in ("*", "*/*")),
)
