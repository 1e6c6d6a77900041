"""Amazon Bedrock's InvokeModel: each vendor's own body; what was read and written stands in Bedrock's own words.

Plain: in headers (``x-amzn-bedrock-input-token-count`` and its kin). Streamed: in the last chunk's
``amazon-bedrock-invocationMetrics``. Where neither came, the bodies of Anthropic, Nova, Titan, Llama
and of those shaped like OpenAI's state it themselves.
"""

from __future__ import annotations

import msgspec

from proxy.wire import bedrock
from proxy.wire.anthropic import MESSAGES
from proxy.wire.anthropic_messages import beside
from proxy.wire.canon import Places, at, error_code, label
from proxy.wire.lenient import REFUSED, loads
from proxy.wire.surface import Headers, Way
from proxy.wire.texts import prompt, strings

_METRICS = "amazon-bedrock-invocationMetrics"
_TRACE = "amazon-bedrock-trace"
_HEADERS = {
    b"x-amzn-bedrock-input-token-count": "inputTokenCount",
    b"x-amzn-bedrock-output-token-count": "outputTokenCount",
    b"x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    b"x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}
_CACHE_READ = (
    (_METRICS, "cacheReadInputTokenCount"),
    ("cache_read_input_tokens",),  # Anthropic
    ("cacheReadInputTokens",),  # Nova, under either name
    ("cacheReadInputTokenCount",),
)
_CACHE_WRITE = (
    (_METRICS, "cacheWriteInputTokenCount"),
    ("cache_creation_input_tokens",),
    ("cacheWriteInputTokens",),
    ("cacheWriteInputTokenCount",),
)
_PLACES = Places(
    input_tokens=(
        (_METRICS, "inputTokenCount"),
        ("input_tokens",),  # Anthropic
        ("inputTokens",),  # Nova
        ("inputTextTokenCount",),  # Titan
        ("prompt_token_count",),  # Llama
        ("prompt_tokens",),  # gpt-oss, Jamba, DeepSeek, …
    ),
    cached=(*_CACHE_READ, ("prompt_tokens_details", "cached_tokens")),
    cache_write=_CACHE_WRITE,
    audio_input=(),
    image_input=(),
    output_tokens=(
        (_METRICS, "outputTokenCount"),
        ("output_tokens",),
        ("outputTokens",),
        ("totalOutputTextTokenCount",),
        ("generation_token_count",),
        ("completion_tokens",),
    ),
    reasoning=(("output_tokens_details", "thinking_tokens"), ("completion_tokens_details", "reasoning_tokens")),
    audio_output=(),
    image_output=(),
    total=(("totalTokens",), ("total_tokens",)),
    units=MESSAGES.units,
    beside_input=(_CACHE_READ, _CACHE_WRITE),
)
# Where each vendor's plain body or stream event has what was generated.
_TEXTS = {
    "delta": (("text",), ("thinking",), ("partial_json",)),  # Anthropic, streamed
    "content": (("text",), ("thinking",), ("name",)),  # Anthropic, plain
    "completion": ((),),  # Claude 2
    "contentBlockDelta": (("delta", "text"), ("delta", "toolUse", "input")),  # Nova, streamed
    "output": (("message", "content", "text"),),  # Nova, plain
    "outputText": ((),),  # Titan, streamed
    "results": (("outputText",),),  # Titan, plain
    "generation": ((),),  # Llama
    "outputs": (("text",),),  # Mistral
    "choices": (("delta", "content"), ("message", "content"), ("text",)),
    "text": ((),),  # Cohere
    "generations": (("text",),),
    "completions": (("data", "text"),),  # Jurassic
}
_COUNTS = ("inputTextTokenCount", "totalOutputTextTokenCount", "prompt_token_count", "generation_token_count")
_PROMPT = (
    ("system",),
    ("system", "text"),
    ("messages", "content"),
    ("messages", "content", "text"),
    ("messages", "content", "content"),
    ("messages", "content", "content", "text"),
    ("prompt",),
    ("inputText",),
    ("message",),
    ("chat_history", "message"),
    ("texts",),
    ("query",),
    ("documents",),
)


class _Chunk(msgspec.Struct, gc=False):
    inner: bytes = msgspec.field(name="bytes")  # base64 on the wire


_decode = msgspec.json.Decoder(_Chunk).decode
_decode_any = msgspec.json.Decoder().decode
_ABOUT = frozenset(
    {"model", "id", "message", "metadata", "usage", "results", "error", _METRICS, _TRACE, *_COUNTS}
)  # what is said beside the text


class InvokeReader(bedrock.BedrockReply):
    """Reads the counts in the head, and a vendor's body or the events of its stream."""

    places = _PLACES
    members = frozenset(
        name.encode() for name in ("model", "id", "usage", "results", "type", "error", _METRICS, _TRACE, *_COUNTS)
    )

    def __init__(self, headers: Headers = (), status: int = 200) -> None:
        super().__init__(headers, status)
        self._trace: object = None
        stated = {_HEADERS[name]: _number(value) for name, value in headers if name in _HEADERS}
        if stated:
            self.statement.add({_METRICS: stated})

    def said(self, data: bytes) -> None:
        """Read one chunk: an event of the vendor's stream."""
        try:
            inner = _tree(_decode(data).inner)
        except REFUSED:
            inner = None
        if not isinstance(inner, dict):
            self.flags["event.malformed"] = None
            return
        if not _ABOUT.isdisjoint(inner):
            self._about(inner)
        before = self.text.characters
        self._collect(inner)
        if self.text.characters > before:
            self.started = True
        if inner.get(_METRICS) is not None:
            self.finished = True

    def document(self, body: bytes) -> bool:
        """Read a plain reply."""
        tree = _tree(body)
        if not isinstance(tree, dict):
            return self.array(body)
        self._about(tree)
        self._collect(tree)
        self.refused(body)
        return True

    def parts(self, found: dict[str, object]) -> None:
        """Read the members of a reply too large to hold."""
        self._about(found)

    def units(self) -> dict[str, float]:
        """Give what guardrails bill."""
        return bedrock.guardrail_units(self._trace)

    def ended(self) -> None:
        """Take Anthropic's lines beside the usage, and the model that served after a fallback."""
        super().ended()
        self.lines, served = beside(self.statement.stated)
        self.model = served or self.model

    def _about(self, body: dict[str, object]) -> None:
        message = body.get("message")  # Anthropic's message_start
        self.model = label(body.get("model")) or label(at(message, ("model",))) or self.model
        self.response_id = self.response_id or label(body.get("id")) or label(at(message, ("id",)))
        for usage in (at(message, ("usage",)), body.get("usage"), at(body.get("metadata"), ("usage",))):
            self.statement.add(usage)
        self.statement.add({name: body[name] for name in _COUNTS if name in body})
        if (titans := _titans(body.get("results"))) is not None:
            self.statement.add({"totalOutputTextTokenCount": titans})
        if body.get(_METRICS) is not None:
            self.statement.add({_METRICS: body[_METRICS]})
        if body.get(_TRACE) is not None:
            self._trace = body[_TRACE]
        if body.get("type") == "error":
            self.error = error_code(body.get("error")) or "error"

    def _collect(self, body: dict[str, object]) -> None:
        for name, value in body.items():
            for path in _TEXTS.get(name, ()):
                for piece in strings(value, path):
                    self.text.add(piece)


def _tree(body: bytes) -> object:
    try:
        return _decode_any(body)
    except REFUSED:
        return loads(body)


def _number(value: bytes) -> object:
    return int(value) if value.isdigit() and len(value) < 12 else value.decode("latin-1")


def _titans(results: object) -> int | None:
    """Give the tokens of all of Titan's results together."""
    counts = [at(each, ("tokenCount",)) for each in results] if isinstance(results, list) else []
    whole = [each for each in counts if type(each) is int]
    return sum(whole) if whole and len(whole) == len(counts) else None


class Invoke(bedrock.BedrockSurface):
    """POST /model/{model}/invoke and /invoke-with-response-stream."""

    name = "bedrock.invoke"

    def reader(self, headers: Headers = (), status: int = 200) -> InvokeReader:
        """Make the reader for one reply, whose head says what it cost."""
        return InvokeReader(headers, status)

    def prompt_text(self, body: bytes) -> str:
        """Give the prompt's text."""
        return prompt(body, _PROMPT, (("tools",),))


_INVOKE = Invoke()
# A model may be an ARN, whose slash not every client encodes.
WAYS = tuple(
    Way("POST", f"model/{model}/{action}", _INVOKE)
    for model in ("*", "*/*")
    for action in ("invoke", "invoke-with-response-stream")
)
