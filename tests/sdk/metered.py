"""What the tests of the official clients share: a gate with a key of ours, and what it wrote down of their calls."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from proxy.call import Closed
from tests.loopback import RunningGate

KEY = "jg-a-key-of-ours-for-the-official-clients"
PROVIDERS = ("openai", "anthropic", "gemini", "bedrock", "mistral", "cohere", "ollama")
# What most clients are asked.
ASK = [{"role": "user", "content": "Tell me about tidal power, café by café."}]
WEATHER = [{"role": "user", "content": "How is the weather in Oslo?"}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
    "required": ["city", "days"],
}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
Result = TypeVar("Result")
Client = TypeVar("Client")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the user of a client sees of a reply."""

    shown: object  # all of it
    surface: str
    model: str | None  # as served; None: the reply does not say
    input_tokens: int | None  # in our words: all that was read
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """The same provider, called directly and through a gate that knows our key."""

    direct: str  # origins
    gate: RunningGate

    def closed(self, act: Callable[[], Result], count: int = 1) -> tuple[Result, list[Closed]]:
        """Do something through the gate; gives what came of it and the calls that were written down."""
        before = len([record for record in self.gate.records() if isinstance(record, Closed)])
        result = act()
        return result, self.gate.closed(before + count)[before:]


def config_toml(origin: str, credential_file: str) -> str:
    """Every provider is the simulator, under the operator's own credential; the gate asks for a key of ours."""
    lines = []
    for name in PROVIDERS:
        lines += ["[[provider]]", f'name = "{name}"', f'origin = "{origin}"', f'credential = "file:{credential_file}"']
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    lines += ["[[team]]", 'name = "clients"', "[[team.key]]", 'id = "official"', f'sha256 = "{digest}"']
    return "\n".join(lines) + "\n"


def check(closed: Closed, seen: Seen, *, asked: str, stream: bool) -> None:
    """The record says what the client saw."""
    opened, usage = closed.opened, closed.usage
    assert (closed.outcome, closed.status, closed.usage_source, closed.flags) == ("ok", 200, "reported", ())
    assert (opened.team, opened.key_id) == ("clients", "official")
    assert (opened.surface, opened.model_requested, closed.model) == (seen.surface, asked, seen.model)
    assert opened.stream == stream
    assert (usage.input_tokens, usage.output_tokens) == (seen.input_tokens, seen.output_tokens)
    assert (usage.cached_input_tokens or 0, usage.reasoning_tokens or 0) == (
        seen.cached_input_tokens or 0,
        seen.reasoning_tokens or 0,
    )


def same(
    ways: Ways, clients: tuple[Client, Client], call: Callable[[Client], Seen], *, asked: str, stream: bool
) -> tuple[Seen, Closed]:
    """A call directly and through the gate shows the client the same, and is written down so."""
    direct, through_gate = clients
    given, (closed,) = ways.closed(lambda: call(through_gate))
    assert given == call(direct)
    check(closed, given, asked=asked, stream=stream)
    return given, closed
