"""Anthropic's messages, whole and streamed in named events, and the free count of their tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from proxy.simulator.answer import Answer, Choice
from proxy.simulator.asking import Ask, Function, JsonObject, Message, ask_of_messages, words_of
from proxy.simulator.events import Event, Wait, event
from proxy.simulator.format import Format, Headers, RefusedError, Request, Stream, Whole
from proxy.simulator.wishes import Wishes
from proxy.simulator.words import Dice, identifier, prose

PATH = re.compile(r"(?:/[\w.~%:-]+)*?/(?P<door>messages|messages/count_tokens)/?")
STOPS = {"length": "max_tokens", "tool_calls": "tool_use", "stop": "end_turn"}
CHOICES = {"auto": "auto", "any": "required", "none": "none"}
KINDS = {  # status: (type, message)
    400: ("invalid_request_error", "Invalid request."),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use this resource."),
    404: ("not_found_error", "Not found."),
    413: ("request_too_large", "Request exceeds the maximum size."),
    429: ("rate_limit_error", "This request would exceed your account's rate limit. Please try again later."),
    500: ("api_error", "Internal server error"),
    529: ("overloaded_error", "Overloaded"),
}


class Turn(msgspec.Struct, frozen=True):
    """One message: text, or blocks of which the texts and whether a tool answered are read."""

    role: str
    content: object = ""

    def message(self) -> Message:
        """Give the message in the normal form."""
        blocks = self.content if isinstance(self.content, list) else []
        answered = any(isinstance(block, dict) and block.get("type") == "tool_result" for block in blocks)
        return Message(role="tool" if answered else self.role, content=words_of(self.content))


class Tool(msgspec.Struct, frozen=True):
    """A tool; only those with a schema are understood."""

    name: str
    description: str | None = None
    input_schema: JsonObject | None = None


class ToolChoice(msgspec.Struct, frozen=True):
    """Which tool to use."""

    type: str = "auto"
    name: str | None = None


class Thinking(msgspec.Struct, frozen=True):
    """Whether to think."""

    type: str = "disabled"


class OutputFormat(msgspec.Struct, frozen=True):
    """The form of the reply."""

    schema: JsonObject | None = None


class OutputConfig(msgspec.Struct, frozen=True):
    """How to reply."""

    format: OutputFormat | None = None


class MessagesRequest(msgspec.Struct, frozen=True):
    """Body of ``POST …/messages``; on Bedrock the path names the model."""

    messages: list[Turn]
    model: str = ""
    system: object = None
    max_tokens: int | None = None
    stream: bool = False
    tools: list[Tool] = []
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None


def ask_of(request: MessagesRequest, sent: bytes, model: str) -> Ask:
    """Read a request; its prompt is cached only where it says so."""
    tools = [tool for tool in request.tools if tool.input_schema is not None]
    chosen = request.tool_choice or ToolChoice()
    form = request.output_config.format if request.output_config is not None else None
    return ask_of_messages(
        model,
        [turn.message() for turn in request.messages],
        system=words_of(request.system),
        functions=[
            Function(name=tool.name, description=tool.description, parameters=tool.input_schema) for tool in tools
        ],
        choice={"name": chosen.name} if chosen.type == "tool" else CHOICES.get(chosen.type, "auto"),
        schema=form.schema if form is not None else None,
        output_limit=request.max_tokens,
        stream=request.stream,
        thinks=request.thinking is not None and request.thinking.type != "disabled",
        caches=b'"cache_control"' in sent,
    )


def message_body(answer: Answer, wishes: Wishes, dice: Dice) -> JsonObject:
    """Give a whole message."""
    choice = answer.choices[0]
    content = [block for block, _ in _blocks(choice, dice)]
    return _message(answer, wishes, dice, content, STOPS[choice.finish_reason], answer.output_tokens)


def message_events(answer: Answer, wishes: Wishes, dice: Dice) -> Iterator[Event]:
    """Give a streamed message: what it read stands at its beginning, what it wrote at its end."""
    choice = answer.choices[0]
    blocks = _blocks(choice, dice)
    yield _typed("message_start", {"message": _message(answer, wishes, dice, [], None, 1)}, "first")
    for index, (block, pieces) in enumerate(blocks):
        place: JsonObject = {"index": index}
        kind = str(block["type"])
        yield _typed("content_block_start", place | {"content_block": block | _EMPTY[kind]})
        if index == 0:
            yield _typed("ping", {})
        named, member = _DELTAS[kind]
        for piece in pieces:
            yield _typed("content_block_delta", place | {"delta": {"type": named, member: piece}}, "token")
        if kind == "thinking":
            delta = {"type": "signature_delta", "signature": block["signature"]}
            yield _typed("content_block_delta", place | {"delta": delta})
        yield _typed("content_block_stop", place)
    ended: JsonObject = {"delta": {"stop_reason": STOPS[choice.finish_reason], "stop_sequence": None}}
    if wishes.usage != "absent":
        ended["usage"] = {name: value for name, value in usage(answer).items() if isinstance(value, int)}
    yield _typed("message_delta", ended)
    yield _typed("message_stop", {})


FAILURE: JsonObject = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
_EMPTY: dict[str, JsonObject] = {
    "text": {"text": ""},
    "tool_use": {"input": {}},
    "thinking": {"thinking": "", "signature": ""},
}
_DELTAS = {
    "text": ("text_delta", "text"),
    "tool_use": ("input_json_delta", "partial_json"),
    "thinking": ("thinking_delta", "thinking"),
}


def usage(answer: Answer) -> JsonObject:
    """Give the counts as Anthropic reports them: what the cache gave or took is not in the input."""
    written = answer.cacheable_tokens - answer.cached_tokens
    counts: JsonObject = {
        "input_tokens": answer.input_tokens - answer.cacheable_tokens,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": answer.cached_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": answer.output_tokens,
        "service_tier": "standard",
    }
    if answer.reasoning_tokens:
        counts["output_tokens_details"] = {"thinking_tokens": answer.reasoning_tokens}
    return counts


def _typed(kind: str, fields: JsonObject, wait: Wait = "none") -> Event:
    return event({"type": kind} | fields, name=kind, wait=wait)


def _message(
    answer: Answer, wishes: Wishes, dice: Dice, content: list[JsonObject], stop: str | None, output_tokens: int
) -> JsonObject:
    message: JsonObject = {
        "model": answer.model,
        "id": identifier(dice, "msg_01", 22),
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
    }
    if wishes.usage != "absent":
        message["usage"] = usage(answer) | {"output_tokens": output_tokens}
    return message


def _blocks(choice: Choice, dice: Dice) -> list[tuple[JsonObject, tuple[str, ...]]]:
    """Give the blocks of a reply, each with the pieces it is streamed in."""
    blocks: list[tuple[JsonObject, tuple[str, ...]]] = []
    if choice.reasoning_tokens:
        summary = tuple(prose(dice, 12))  # of what was thought; the counts are of all of it
        thought: JsonObject = {"type": "thinking", "thinking": "".join(summary)}
        blocks.append((thought | {"signature": identifier(dice, "", 64) + "=="}, summary))
    for call in choice.calls:
        used: JsonObject = {"type": "tool_use", "id": "toolu_01" + call.id[-22:], "name": call.name}
        blocks.append((used | {"input": call.input}, call.arguments))
    if choice.text:
        blocks.append(({"type": "text", "text": "".join(choice.text)}, choice.text))
    return blocks


def _reply(request: Request) -> Whole | Stream:
    if request.method != "POST":
        raise RefusedError(405, f"Not allowed to {request.method} on {request.path}.")
    asked = request.read(MessagesRequest)
    if not asked.model:
        raise RefusedError(400, "model: Field required")
    ask = ask_of(asked, request.sent, asked.model)
    if request.door == "messages/count_tokens":
        return Whole(body=msgspec.json.encode({"input_tokens": ask.input_tokens}))
    given = request.answer(ask)
    if not ask.stream:
        return Whole(body=msgspec.json.encode(message_body(given, request.wishes, request.dice)))
    events = message_events(given, request.wishes, request.dice)
    return Stream(events=events, failure=(event(FAILURE, name="error"),))


def _refusal(refused: RefusedError) -> JsonObject:
    kind, usual = KINDS.get(refused.status) or KINDS[500 if refused.status >= 500 else 400]
    return {"type": "error", "error": {"type": kind, "message": refused.message or usual}}


def _headers(status: int, dice: Dice) -> Headers:
    remaining = dice.randrange(2_000, 3_999)
    named = [
        ("anthropic-organization-id", "00000000-0000-4000-8000-000000000000"),
        ("anthropic-ratelimit-requests-limit", "4000"),
        ("anthropic-ratelimit-requests-remaining", str(0 if status == 429 else remaining)),
        ("anthropic-ratelimit-requests-reset", "2026-01-15T12:00:00Z"),
        ("anthropic-ratelimit-tokens-limit", "480000"),
        ("anthropic-ratelimit-tokens-remaining", str(remaining * 100)),
        ("anthropic-ratelimit-tokens-reset", "2026-01-15T12:00:00Z"),
        ("request-id", identifier(dice, "req_01", 22)),
        ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
        ("x-robots-tag", "none"),
    ]
    if status == 429 or status >= 500:
        named.append(("x-should-retry", "true"))
    return named


FORMAT = Format(path=PATH, reply=_reply, refusal=_refusal, headers=_headers)
