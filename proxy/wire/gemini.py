"""What Gemini's formats share: where usage is stated, reading a request, the prompt's text.

The prompt includes what was read from a cache; what tools fed the model lies beside it, and thoughts lie beside the
candidates. All names are those of protobuf's JSON, which leaves zeros out: a count that is missing is unknown here.

Source: the types of google-genai 3.4 (GenerateContentResponseUsageMetadata), November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from proxy.wire import openai
from proxy.wire.canon import Path, Places, at
from proxy.wire.google import GoogleSurface, bare_model, model_in_path
from proxy.wire.lenient import Lenient
from proxy.wire.other import UnreadReply
from proxy.wire.surface import Asked, Headers, UsageReader, Way
from proxy.wire.texts import prompt

USAGE = Places(
    input_tokens=(("promptTokenCount",),),
    cached=(("cachedContentTokenCount",),),
    cache_write=(),
    audio_input=(("promptTokensDetails", "AUDIO"), ("promptTokenDetails", "AUDIO")),  # embeddings spell it so
    image_input=(("promptTokensDetails", "IMAGE"), ("promptTokenDetails", "IMAGE")),
    output_tokens=(("candidatesTokenCount",),),
    reasoning=(("thoughtsTokenCount",),),
    audio_output=(("candidatesTokensDetails", "AUDIO"),),
    image_output=(("candidatesTokensDetails", "IMAGE"),),
    total=(("totalTokenCount",),),
    beside_input=((("toolUsePromptTokenCount",),),),
    beside_output=((("thoughtsTokenCount",),),),
    total_tells=False,
)

_PROMPT: tuple[Path, ...] = (
    ("systemInstruction", "parts", "text"),
    ("system_instruction", "parts", "text"),
    ("contents", "parts", "text"),
    ("content", "parts", "text"),  # embeddings
    ("requests", "content", "parts", "text"),
)


class _Request(msgspec.Struct):
    model: Any = None
    camel: Any = msgspec.field(default=None, name="generationConfig")
    snake: Any = msgspec.field(default=None, name="generation_config")
    labels: Any = None  # Vertex: for its bills


_REQUEST = Lenient(_Request, _Request)


def asked(body: bytes, path: str) -> Asked:
    """Read a request, whose model and way of answering stand in the path."""
    request = _REQUEST.decode(body)
    model = model_in_path(path)
    stream = ":stream" in path.replace("%3A", ":").replace("%3a", ":")
    if request is None:
        return msgspec.structs.replace(openai.asked(body), model=model, stream=stream)
    return Asked(
        model=model or bare_model(request.model),
        stream=stream,
        output_limit=_output_limit(request),
        attributes=openai.attributes({}, labels=request.labels) if request.labels is not None else {},
    )


def by_modality(stated: Mapping[str, object]) -> dict[str, object]:
    """Give a usage object with its details ([{"modality": "AUDIO", "tokenCount": 7}]) as counts by modality."""
    counts = {name: _counts(details) for name, details in stated.items() if isinstance(details, list)}
    return {**stated, **counts}


class GeminiSurface(GoogleSurface):
    """A format of Gemini's, called on a model in the path."""

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request."""
        return asked(body, path)

    def prompt_text(self, body: bytes) -> str | None:
        """Give the prompt's text."""
        return prompt(body, _PROMPT, described=(("tools",),))


class CountTokens(GeminiSurface):
    """POST models/{model}:countTokens, on Vertex also :computeTokens; free."""

    name = "gemini.count_tokens"
    metered = False

    def reader(self, headers: Headers = (), status: int = 200) -> UsageReader:
        """Make a reader that reads nothing."""
        return UnreadReply()


def _counts(details: list[object]) -> dict[str, object]:
    counts = {}
    for each in details:
        modality, tokens = at(each, ("modality",)), at(each, ("tokenCount",))
        if isinstance(modality, str):
            counts[modality.upper()] = at(each, ("tokens",)) if tokens is None else tokens  # interactions: "tokens"
    return counts


def _output_limit(request: _Request) -> int | None:
    config = request.camel if request.camel is not None else request.snake
    limits = [at(config, (name,)) for name in ("maxOutputTokens", "max_output_tokens")]
    counts = [at(config, (name,)) for name in ("candidateCount", "candidate_count")]
    limit = next((each for each in limits if type(each) is int and each >= 0), None)
    candidates = next((each for each in counts if type(each) is int and each > 0), 1)
    return None if limit is None else limit * candidates


_COUNT_TOKENS = CountTokens()
WAYS = (Way("POST", "*:countTokens", _COUNT_TOKENS), Way("POST", "*:computeTokens", _COUNT_TOKENS))
