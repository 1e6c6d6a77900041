"""Live traffic of a few teams through the official OpenAI SDK, for ``joulegate serve --demo``.

The teams differ as real ones do: short searches, chats that are broken off, long prompts that begin
alike, evaluations that run into rate limits. All of it goes to the gate, which the demo's
configuration points at the simulated provider; nothing leaves the machine.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import openai
from openai.types.chat import ChatCompletionFunctionToolParam

TEAMS = ("search", "support", "research", "platform-evals")
PROVIDERS = {"openai": "USA", "groq": "USA", "mistral": "SWE"}  # name: electricity zone
# Nobody's model: shows what the meter does with a name it has no facts about.
UNKNOWN_MODEL = "openai/aurora-preview-9b"
IN_FLIGHT_AT_MOST = 64

Ending = Literal["ok", "error", "aborted"]


@dataclass(slots=True, kw_only=True)
class Made:
    """One operation of the demo as its client saw it."""

    team: str
    habit: str
    requests: int = 0  # HTTP requests it took: the SDK retries by itself
    call_ids: list[str] = field(default_factory=list)  # the gate's, one a request
    ending: Ending = "ok"
    input_tokens: int | None = None  # as the SDK reported them; None: it did not
    output_tokens: int | None = None


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a client counts of its own traffic."""

    operations: int = 0
    requests: int = 0
    ok: int = 0
    errors: int = 0
    aborted: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, made: Made) -> None:
        """Count one operation in."""
        self.operations += 1
        self.requests += made.requests
        self.ok += made.ending == "ok"
        self.errors += made.ending == "error"
        self.aborted += made.ending == "aborted"
        self.input_tokens += made.input_tokens or 0
        self.output_tokens += made.output_tokens or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One operation about to be made."""

    client: openai.AsyncOpenAI
    model: str
    dice: random.Random
    made: Made
    headers: dict[str, str]

    def prompt(self) -> str:
        """Choose what to ask."""
        return f"{self.dice.choice(_QUESTIONS)} (case {self.dice.randrange(10_000)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """Something a team does, how often, and with which model."""

    weight: int
    act: Callable[[Turn], Awaitable[None]]
    model: str
    headers: Mapping[str, str] = field(default_factory=dict)


def demo_config_toml(
    simulator_origin: str, *, keys: Mapping[str, str] | None = None, credential: str | None = None
) -> str:
    """Give the demo's configuration: every provider it uses is the simulator, every team has its key.

    ``credential`` is a reference (``env:NAME`` or ``file:PATH``) to what the gate sends upstream in place of our keys.
    """
    lines: list[str] = []
    for name, zone in PROVIDERS.items():
        lines += ["[[provider]]", f'name = "{name}"', f'origin = "{simulator_origin}"', f'zone = "{zone}"']
        lines += [f'credential = "{credential}"'] if credential is not None else []
    for team in TEAMS:
        lines += ["[[team]]", f'name = "{team}"']
        if keys is not None and team in keys:
            digest = hashlib.sha256(keys[team].encode()).hexdigest()
            lines += ["[[team.key]]", f'id = "demo-{team}"', f'sha256 = "{digest}"']
    return "\n".join(lines) + "\n"


async def drive(
    gate_url: str,
    *,
    keys: Mapping[str, str],
    until: asyncio.Event | None = None,
    operations: int | None = None,
    rate: float = 2.0,
    seed: int = 0,
    on_made: Callable[[Made], None] | None = None,
) -> Tally:
    """Make traffic until the event is set or so many operations are made, and count it.

    ``keys`` gives our key of a team; a team without one names itself in headers. ``rate`` is operations per second.
    Never raises for what a provider or the gate answers: that is counted.
    """
    dice = random.Random(seed)  # noqa: S311 - which prompt comes next is no secret
    tally = Tally()
    running: set[asyncio.Task[None]] = set()
    stop = until or asyncio.Event()
    clients = {team: _client(gate_url, team, keys.get(team)) for team in TEAMS}

    async def make(team: str, habit: Habit, chance: random.Random) -> None:
        made = Made(team=team, habit=habit.act.__name__.strip("_"))
        _CURRENT.set(made)
        turn = Turn(
            client=clients[team], model=habit.model, dice=chance, made=made, headers=_headers(team, habit, chance)
        )
        try:
            await habit.act(turn)
        except openai.OpenAIError:
            made.ending = "error"
        tally.add(made)
        if on_made is not None:
            on_made(made)

    try:
        for _ in iter(int, 1) if operations is None else range(operations):
            if await _set_within(stop, dice.expovariate(rate)):
                break
            team = dice.choices(TEAMS, weights=[_WEIGHTS[name] for name in TEAMS])[0]
            habits = _HABITS[team]
            habit = dice.choices(habits, weights=[one.weight for one in habits])[0]
            if len(running) >= IN_FLIGHT_AT_MOST:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.ensure_future(make(team, habit, random.Random(dice.random())))  # noqa: S311
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for client in clients.values():
            await client.close()
    return tally


_CURRENT: contextvars.ContextVar[Made] = contextvars.ContextVar("made")


async def _count_request(_: object) -> None:
    _CURRENT.get().requests += 1


async def _note_call(response: object) -> None:
    headers = getattr(response, "headers", {})
    if call_id := headers.get("x-joulegate-call-id"):
        _CURRENT.get().call_ids.append(call_id)


def _client(gate_url: str, team: str, key: str | None) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=f"{gate_url}/v1",
        api_key=key or "demo-key-of-the-provider",
        default_headers={} if key is not None else {"x-joulegate-team": team},
        max_retries=2,
        http_client=openai.DefaultAsyncHttpxClient(
            event_hooks={"request": [_count_request], "response": [_note_call]},
            trust_env=False,  # a proxy of the environment has no business between loopback addresses
        ),
    )


def _headers(team: str, habit: Habit, dice: random.Random) -> dict[str, str]:
    return {
        "x-joulegate-project": dice.choice(_PROJECTS[team]),
        "x-joulegate-user": f"{team}-{dice.randint(1, 5)}",
        "x-joulegate-tags": f"env={dice.choice(('prod', 'prod', 'staging'))}",
        **habit.headers,
    }


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def _chat(turn: Turn) -> None:
    reply = await turn.client.chat.completions.create(
        model=turn.model, messages=[{"role": "user", "content": turn.prompt()}], extra_headers=turn.headers
    )
    _report(turn, reply.usage)


async def _chat_stream(turn: Turn) -> None:
    """Stream as most code does: without asking for usage, and indexing the first choice of every chunk."""
    stream = await turn.client.chat.completions.create(
        model=turn.model,
        messages=[{"role": "user", "content": turn.prompt()}],
        stream=True,
        extra_headers=turn.headers,
    )
    text = ""
    async for chunk in stream:
        text += chunk.choices[0].delta.content or ""
        if chunk.usage is not None:
            _report(turn, chunk.usage)


async def _chat_stream_with_usage(turn: Turn) -> None:
    stream = await turn.client.chat.completions.create(
        model=turn.model,
        messages=[{"role": "user", "content": turn.prompt()}],
        stream=True,
        stream_options={"include_usage": True},
        extra_headers=turn.headers,
    )
    async for chunk in stream:
        if chunk.usage is not None:
            _report(turn, chunk.usage)


async def _chat_broken_off(turn: Turn) -> None:
    stream = await turn.client.chat.completions.create(
        model=turn.model,
        messages=[{"role": "user", "content": turn.prompt()}],
        stream=True,
        extra_headers=turn.headers,
    )
    chunks = turn.dice.randint(1, 20)
    async for _ in stream:
        chunks -= 1
        if chunks == 0:
            turn.made.ending = "aborted"
            break
    await stream.close()


async def _chat_with_tool(turn: Turn) -> None:
    tool: ChatCompletionFunctionToolParam = {
        "type": "function",
        "function": {
            "name": "get_order_status",
            "description": "Look up where an order is.",
            "parameters": {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]},
        },
    }
    reply = await turn.client.chat.completions.create(
        model=turn.model,
        messages=[{"role": "user", "content": f"What is the status of my order {turn.dice.randrange(10_000)}?"}],
        tools=[tool],
        extra_headers=turn.headers,
    )
    _report(turn, reply.usage)


async def _graded(turn: Turn) -> None:
    """Ask for two graded answers that satisfy a schema."""
    schema: dict[str, object] = {
        "type": "object",
        "properties": {"grade": {"type": "integer", "minimum": 1, "maximum": 5}, "reason": {"type": "string"}},
        "required": ["grade", "reason"],
        "additionalProperties": False,
    }
    reply = await turn.client.chat.completions.create(
        model=turn.model,
        messages=[{"role": "user", "content": f"Grade this answer: {turn.prompt()}"}],
        n=2,
        response_format={"type": "json_schema", "json_schema": {"name": "graded", "schema": schema, "strict": True}},
        extra_headers=turn.headers,
    )
    _report(turn, reply.usage)


async def _respond(turn: Turn) -> None:
    reply = await turn.client.responses.create(model=turn.model, input=turn.prompt(), extra_headers=turn.headers)
    if reply.usage is not None:
        turn.made.input_tokens, turn.made.output_tokens = reply.usage.input_tokens, reply.usage.output_tokens


async def _study(turn: Turn) -> None:
    """Stream a response to a long paper that many questions share, so that its beginning is cached."""
    stream = await turn.client.responses.create(
        model=turn.model, instructions=_PAPER, input=turn.prompt(), stream=True, extra_headers=turn.headers
    )
    async for event in stream:
        if event.type == "response.completed" and event.response.usage is not None:
            usage = event.response.usage
            turn.made.input_tokens, turn.made.output_tokens = usage.input_tokens, usage.output_tokens


async def _embed(turn: Turn) -> None:
    texts = [turn.prompt() for _ in range(turn.dice.randint(1, 8))]
    reply = await turn.client.embeddings.create(model=turn.model, input=texts, extra_headers=turn.headers)
    turn.made.input_tokens, turn.made.output_tokens = reply.usage.prompt_tokens, 0


def _report(turn: Turn, usage: openai.types.CompletionUsage | None) -> None:
    if usage is not None:
        turn.made.input_tokens, turn.made.output_tokens = usage.prompt_tokens, usage.completion_tokens


_RATE_LIMITED = {"x-simulate-status": "429,200"}
_GROQ = {"x-simulate-usage": "x_groq"}
_MISTRAL = {"x-simulate-usage": "always"}
_WEIGHTS = {"search": 4, "support": 4, "research": 2, "platform-evals": 2}
_PROJECTS = {
    "search": ("ranking", "suggestions"),
    "support": ("helpdesk", "voice"),
    "research": ("papers",),
    "platform-evals": ("nightly", "regressions"),
}
_HABITS: dict[str, tuple[Habit, ...]] = {
    "search": (
        Habit(weight=4, act=_embed, model="text-embedding-3-small"),
        Habit(weight=3, act=_chat_stream, model="gpt-4o-mini"),
        Habit(weight=2, act=_respond, model="gpt-4.1-mini"),
    ),
    "support": (
        Habit(weight=4, act=_chat_stream, model="gpt-4o"),
        Habit(weight=2, act=_chat_broken_off, model="gpt-4o"),
        Habit(weight=2, act=_chat_with_tool, model="gpt-4.1-mini"),
        Habit(weight=2, act=_chat_stream, model="mistral/mistral-small-latest", headers=_MISTRAL),
        Habit(weight=1, act=_chat, model="gpt-4o", headers=_RATE_LIMITED),
    ),
    "research": (
        Habit(weight=3, act=_study, model="gpt-5"),
        Habit(weight=2, act=_chat_stream_with_usage, model="groq/llama-3.3-70b-versatile", headers=_GROQ),
        Habit(weight=1, act=_chat_stream, model="groq/llama-3.3-70b-versatile", headers=_GROQ),
    ),
    "platform-evals": (
        Habit(weight=4, act=_graded, model="gpt-4o-mini"),
        Habit(weight=2, act=_chat, model=UNKNOWN_MODEL),
        Habit(weight=1, act=_graded, model="gpt-4o-mini", headers=_RATE_LIMITED),
        Habit(weight=1, act=_chat, model="gpt-4o-mini", headers={"x-simulate-status": "400"}),
        Habit(weight=1, act=_chat_stream, model="gpt-4.1-mini", headers={"x-simulate-error-after": "12"}),
        Habit(weight=1, act=_chat_stream, model="gpt-4.1-mini", headers={"x-simulate-cut-after": "12"}),
    ),
}
_QUESTIONS = (
    "How much energy does a kettle need to boil a liter of water?",
    "Explain in two sentences how a heat pump works.",
    "Which of these three summaries is the clearest?",
    "Write a friendly reply to a customer whose parcel is late.",
    "List five names for a cycling club.",
    "What should I check before I replace a battery?",
    "Translate to German: the meeting begins at nine.",
    "Suggest a better title for an article about tidal power.",
)
_PAPER = "You answer questions about this paper. " + " ".join(
    f"Section {number}: measurements of site {number} show {number * 7 % 23 + 3} kWh a day, "
    f"{number * 5 % 11 + 1} hours of wind and {number * 3 % 13} of sun, as the table beside it says."
    for number in range(1, 61)
)
