"""Ollama's chat and generate: one JSON object per line, the last of which says what was read and written.

Streaming is the default. Only tokens that were evaluated are counted as read: where the prompt was
cached the count is missing, and then it is unknown. The durations are those of the machine itself.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.wire.canon import Places, error_code, label
from proxy.wire.lenient import REFUSED, Lenient
from proxy.wire.openai import OpenAISurface
from proxy.wire.reply import Framing, Reply
from proxy.wire.surface import Asked, Headers, Way
from proxy.wire.texts import prompt, strings
from proxy.wire.values import Values

PLACES = Places(
    input_tokens=(("prompt_eval_count",), ("prompt_tokens",), ("total_tokens",)),
    cached=(),
    cache_write=(),
    audio_input=(),
    image_input=(),
    output_tokens=(("eval_count",),),
    reasoning=(),
    audio_output=(),
    image_output=(),
    total=(),
)
COUNTS = ("prompt_eval_count", "eval_count")
DURATIONS = {  # nanoseconds
    "load_duration": "load_seconds",
    "prompt_eval_duration": "prompt_eval_seconds",
    "eval_duration": "eval_seconds",
}
_NS_PER_S = 1e9
_LONGEST_NS = 10**15  # eleven days
_SAID = (("content",), ("thinking",), ("tool_calls", "function", "name"))
_PROMPT = (("system",), ("prompt",), ("suffix",), ("messages", "content"), ("input",))


class _Line(msgspec.Struct, gc=False):
    model: Any = None
    message: Any = None  # chat
    response: Any = None  # generate
    thinking: Any = None
    done: Any = None
    error: Any = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    load_duration: Any = None
    prompt_eval_duration: Any = None
    eval_duration: Any = None


_LINE = Lenient(_Line, _Line)
_decode = _LINE.quick.decode


class OllamaReader(Reply):
    """Reads the lines of a stream; a plain reply is a stream of one."""

    places = PLACES

    def __init__(self) -> None:
        super().__init__()
        self._seconds: dict[str, float] = {}

    def framing(self, head: bytes) -> Framing | None:
        """Cut objects out of whatever begins with one."""
        return Values() if head[:1] == b"{" else None

    def undecided(self, head: bytes) -> bool:
        """Tell that the first byte decides."""
        return not head

    def event(self, data: bytes) -> None:
        """Read one line."""
        try:
            line = _decode(data)
        except REFUSED:
            lenient = _LINE.decode(data)
            if lenient is None:
                self.flags["event.malformed"] = None
                return
            line = lenient
        before = self.text.characters
        for said in (line.response, line.thinking):
            if isinstance(said, str):
                self.text.add(said)
        if line.message is not None:
            for path in _SAID:
                for piece in strings(line.message, path):
                    self.text.add(piece)
        if line.done is not True and self.text.characters > before:
            self.started = True
        if self.model is None:
            self.model = label(line.model)
        if line.done is True:
            self.finished = True
        if line.error is not None:
            self.error = error_code(line.error)
        if line.prompt_eval_count is not None or line.eval_count is not None:
            self.statement.add({name: getattr(line, name) for name in COUNTS})
            self._seconds = seconds({name: getattr(line, name) for name in DURATIONS})

    def units(self) -> dict[str, float]:
        """Give how long the machine loaded, read and wrote."""
        return self._seconds


def seconds(durations: dict[str, object]) -> dict[str, float]:
    """Give stated durations in seconds, by our names."""
    found: dict[str, float] = {}
    for name, unit in DURATIONS.items():
        value = durations.get(name)
        if type(value) is int and 0 < value < _LONGEST_NS:
            found[unit] = value / _NS_PER_S
    return found


class _Request(msgspec.Struct, gc=False):
    stream: Any = None
    options: Any = None


_REQUEST = Lenient(_Request, _Request)


class Chat(OpenAISurface):
    """POST /api/chat."""

    name = "ollama.chat"

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request, which streams unless it says that it does not."""
        asked = super().asked(body, path)
        request = _REQUEST.decode(body)
        if request is None:
            return asked
        limit = request.options.get("num_predict") if isinstance(request.options, dict) else None
        return msgspec.structs.replace(
            asked,
            stream=request.stream is not False,
            output_limit=limit if type(limit) is int and limit >= 0 else None,
        )

    def reader(self, headers: Headers = (), status: int = 200) -> OllamaReader:
        """Make the reader for one reply."""
        return OllamaReader()

    def prompt_text(self, body: bytes) -> str:
        """Give the prompt's text."""
        return prompt(body, _PROMPT, (("tools",),))

    def error(self, status: int, code: str, message: str) -> bytes:
        """Give the body of an error of ours."""
        return error(message)


class Generate(Chat):
    """POST /api/generate."""

    name = "ollama.generate"


def error(message: str) -> bytes:
    """Give the body of an error of ours in Ollama's shape."""
    return msgspec.json.encode({"error": message})


WAYS = (Way("POST", "api/chat", Chat()), Way("POST", "api/generate", Generate()))
