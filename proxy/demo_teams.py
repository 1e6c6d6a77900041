"""The teams of the demo: what each of them does, how often, and with which model.

They differ as real ones do: short searches, chats that are broken off, long prompts that begin
alike, evaluations that run into rate limits. Prompts are built in and harmless.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import openai
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionFunctionToolParam

# Nobody's model: shows what the meter does with a name it has no facts about.
UNKNOWN_MODEL = "openai/aurora-preview-9b"

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A team and what it is made of."""

    weight: int  # its part of the traffic
    projects: tuple[str, ...]
    habits: tuple[Habit, ...]


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


def _report(turn: Turn, usage: CompletionUsage | None) -> None:
    if usage is not None:
        turn.made.input_tokens, turn.made.output_tokens = usage.prompt_tokens, usage.completion_tokens


_RATE_LIMITED = {"x-simulate-status": "429,200"}
_GROQ = {"x-simulate-usage": "x_groq"}
_MISTRAL = {"x-simulate-usage": "always"}
TEAMS: dict[str, Team] = {
    "search": Team(
        weight=4,
        projects=("ranking", "suggestions"),
        habits=(
            Habit(weight=4, act=_embed, model="text-embedding-3-small"),
            Habit(weight=3, act=_chat_stream, model="gpt-4o-mini"),
            Habit(weight=2, act=_respond, model="gpt-4.1-mini"),
        ),
    ),
    "support": Team(
        weight=4,
        projects=("helpdesk", "voice"),
        habits=(
            Habit(weight=4, act=_chat_stream, model="gpt-4o"),
            Habit(weight=2, act=_chat_broken_off, model="gpt-4o"),
            Habit(weight=2, act=_chat_with_tool, model="gpt-4.1-mini"),
            Habit(weight=2, act=_chat_stream, model="mistral/mistral-small-latest", headers=_MISTRAL),
            Habit(weight=1, act=_chat, model="gpt-4o", headers=_RATE_LIMITED),
        ),
    ),
    "research": Team(
        weight=2,
        projects=("papers",),
        habits=(
            Habit(weight=3, act=_study, model="gpt-5"),
            Habit(weight=2, act=_chat_stream_with_usage, model="groq/llama-3.3-70b-versatile", headers=_GROQ),
            Habit(weight=1, act=_chat_stream, model="groq/llama-3.3-70b-versatile", headers=_GROQ),
        ),
    ),
    "platform-evals": Team(
        weight=2,
        projects=("nightly", "regressions"),
        habits=(
            Habit(weight=4, act=_graded, model="gpt-4o-mini"),
            Habit(weight=2, act=_chat, model=UNKNOWN_MODEL),
            Habit(weight=1, act=_graded, model="gpt-4o-mini", headers=_RATE_LIMITED),
            Habit(weight=1, act=_chat, model="gpt-4o-mini", headers={"x-simulate-status": "400"}),
            Habit(weight=1, act=_chat_stream, model="gpt-4.1-mini", headers={"x-simulate-error-after": "12"}),
            Habit(weight=1, act=_chat_stream, model="gpt-4.1-mini", headers={"x-simulate-cut-after": "12"}),
        ),
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
