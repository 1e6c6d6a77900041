"""The native formats of inference engines one hosts oneself: TGI, SGLang and llama.cpp.

``/generate`` is TGI's and SGLang's, ``/completion`` llama.cpp's; the members of a reply say whose it is.

* TGI streams tokens and states counts in the last event's ``details``, plain ones in headers, too.
* SGLang states them in ``meta_info`` of every event, cumulatively, and of several prompts for each.
* llama.cpp states the whole prompt as ``tokens_evaluated`` and how much of it was cached in ``timings``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from proxy.wire import openai
from proxy.wire.canon import Places, at, error_code, label, quantity
from proxy.wire.lenient import REFUSED, Lenient, loads
from proxy.wire.openai import OpenAISurface
from proxy.wire.reply import Reply
from proxy.wire.surface import Asked, Headers, Way
from proxy.wire.texts import prompt, strings

_PLACES = Places(
    input_tokens=(("x-prompt-tokens",), ("prompt_tokens",)),
    cached=(("cached_tokens",),),
    cache_write=(),
    audio_input=(),
    image_input=(),
    output_tokens=(("x-generated-tokens",), ("completion_tokens",)),
    reasoning=(("reasoning_tokens",),),
    audio_output=(),
    image_output=(),
    total=(),
    units=(("compute_seconds", ("x-compute-time",)),),
)
_HEADERS = (b"x-prompt-tokens", b"x-generated-tokens")
_COUNTED = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
_SECONDS = re.compile(rb"\d{1,9}(?:\.\d{1,30})?")
_MILLISECONDS = {"prompt_ms": "prompt_eval_seconds", "predicted_ms": "eval_seconds"}
_SEQUENCES_AT_MOST = 4096  # of one reply: prompts times samples
_PROMPT = (("inputs",), ("text",), ("prompt",), ("input_prefix",), ("input_extra", "text"), ("input_suffix",))


class _Part(msgspec.Struct, gc=False):
    index: Any = None
    token: Any = None  # TGI
    generated_text: Any = None
    details: Any = None
    error_type: Any = None
    text: Any = None  # SGLang
    meta_info: Any = None
    content: Any = None  # llama.cpp
    stop: Any = None
    model: Any = None
    tokens_evaluated: Any = None
    tokens_predicted: Any = None
    timings: Any = None
    error: Any = None


_PART = Lenient(_Part, _Part)
_decode = _PART.quick.decode


class EngineReader(Reply):
    """Reads a plain reply, one for several prompts, or a stream of any of the three."""

    places = _PLACES
    members = frozenset(name.encode() for name in _Part.__struct_fields__)

    def __init__(self, headers: Headers = ()) -> None:
        super().__init__()
        self._sequences: dict[int, dict[str, object]] = {}  # what each said last
        self._timings: object = None
        for name, value in headers:
            if name in _HEADERS:
                whole = value.isdigit() and len(value) < 12
                self.statement.add({name.decode(): int(value) if whole else value.decode("latin-1")})
            elif name == b"x-compute-time" and _SECONDS.fullmatch(value):
                self.statement.add({"x-compute-time": float(value)})

    def event(self, data: bytes) -> None:
        """Read one event of a stream."""
        try:
            part = _decode(data)
        except REFUSED:
            if data.startswith(b"[DONE]"):
                self.finished = True
                return
            lenient = _PART.decode(data)
            if lenient is None:
                self.flags["event.malformed"] = None
                return
            part = lenient
        self._about(part, part.index if type(part.index) is int else 0)
        for piece in (part.content, at(part.token, ("text",))):
            if piece and isinstance(piece, str):
                self.started = True
                self.text.add(piece)
        if part.text:  # SGLang repeats all that it wrote in every event, beside its count
            self.started = True
        if part.stop is True or part.generated_text is not None:
            self.finished = True

    def document(self, body: bytes) -> bool:
        """Read a plain reply."""
        part = _PART.decode(body)
        if part is None:
            return self.array(body)
        self._plain(part, 0)
        return True

    def array(self, body: bytes) -> bool:
        """Read the replies to several prompts."""
        parts = loads(body)
        if not isinstance(parts, list):
            return False
        for index, each in enumerate(parts):
            part = _PART.convert(each)
            if part is not None:
                self._plain(part, index)
        return True

    def parts(self, found: dict[str, object]) -> None:
        """Read the members of a reply that could not be read whole."""
        self._about(_Part(**found), 0)

    def units(self) -> dict[str, float]:
        """Give how long llama.cpp read and wrote."""
        amounts = {unit: quantity(at(self._timings, (name,))) for name, unit in _MILLISECONDS.items()}
        return {unit: amount / 1000 for unit, amount in amounts.items() if amount and len(self._sequences) == 1}

    def ended(self) -> None:
        """Add up the sequences, each of which has stated its own counts."""
        total: dict[str, object] = {}
        for name in _COUNTED:
            counts = [each[name] for each in self._sequences.values() if each.get(name) is not None]
            odd = [each for each in counts if type(each) is not int or each < 0]
            if odd:
                total[name] = odd[0]  # to be flagged
            elif counts:
                total[name] = sum(each for each in counts if type(each) is int)
        self.statement.add(total)

    def _plain(self, part: _Part, index: int) -> None:
        self._about(part, index)
        for value in (part.generated_text, part.content, part.text):
            for piece in strings(value, ()):
                self.text.add(piece)

    def _about(self, part: _Part, index: int) -> None:
        stated = _stated(part)
        if stated:
            if index in self._sequences or len(self._sequences) < _SEQUENCES_AT_MOST:
                self._sequences[index] = {**self._sequences.get(index, {}), **stated}
            else:
                self.flags["reply.too_many_sequences"] = None
        if part.timings is not None:
            self._timings = part.timings
        self.model = self.model or label(part.model)
        self.response_id = self.response_id or label(at(part.meta_info, ("id",)))
        if part.error is not None:
            self.error = error_code({"type": part.error_type}) if part.error_type else error_code(part.error)


def _stated(part: _Part) -> dict[str, object]:
    """Give what a part states, under SGLang's names, without what is null."""
    if isinstance(part.meta_info, Mapping):
        stated = {name: part.meta_info.get(name) for name in _COUNTED}
    elif part.details is not None:
        prefill = at(part.details, ("prefill",))
        read = at(part.details, ("input_length",))
        stated = {
            "prompt_tokens": len(prefill) if read is None and prefill and isinstance(prefill, list) else read,
            "completion_tokens": at(part.details, ("generated_tokens",)),
        }
    elif part.tokens_evaluated is None and part.tokens_predicted is None:
        return {}
    else:
        stated = {
            "prompt_tokens": part.tokens_evaluated,
            "completion_tokens": part.tokens_predicted,
            "cached_tokens": at(part.timings, ("cache_n",)),
        }
    return {name: value for name, value in stated.items() if value is not None}


class _Request(msgspec.Struct, gc=False):
    parameters: Any = None  # TGI
    sampling_params: Any = None  # SGLang
    n_predict: Any = None  # llama.cpp


_REQUEST = Lenient(_Request, _Request)


class Generate(OpenAISurface):
    """POST /generate and /generate_stream."""

    name = "engine.generate"

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request."""
        asked = super().asked(body, path)
        request = _REQUEST.decode(body)
        limit = None if request is None else _output_limit(request)
        return msgspec.structs.replace(
            asked,
            stream=asked.stream or path.partition("?")[0].rstrip("/").endswith("_stream"),
            output_limit=asked.output_limit if limit is None else limit,
        )

    def reader(self, headers: Headers = (), status: int = 200) -> EngineReader:
        """Make the reader for one reply."""
        return EngineReader(headers)

    def prompt_text(self, body: bytes) -> str:
        """Give the prompt's text."""
        return prompt(body, _PROMPT)

    def error(self, status: int, code: str, message: str) -> bytes:
        """Give the body of an error of ours in TGI's shape."""
        return msgspec.json.encode({"error": message, "error_type": code})


class Completion(Generate):
    """POST /completion and /infill."""

    name = "llamacpp.completion"

    def error(self, status: int, code: str, message: str) -> bytes:
        """Give the body of an error of ours in OpenAI's shape, which is llama.cpp's as well."""
        return openai.error(status, code, message)


def _output_limit(request: _Request) -> int | None:
    samples = at(request.sampling_params, ("n",))
    for limit in (
        at(request.parameters, ("max_new_tokens",)),
        at(request.sampling_params, ("max_new_tokens",)),
        request.n_predict,
    ):
        if type(limit) is int and limit >= 0:
            return limit * samples if type(samples) is int and samples > 0 else limit
    return None


_GENERATE, _COMPLETION = Generate(), Completion()
WAYS = (
    Way("POST", "generate", _GENERATE),
    Way("POST", "generate_stream", _GENERATE),
    Way("POST", "completion", _COMPLETION),
    Way("POST", "infill", _COMPLETION),
)
