"""Amazon Bedrock: Converse and ConverseStream for every model, InvokeModel with Anthropic's bodies."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import msgspec

from proxy.simulator import anthropic, eventstream
from proxy.simulator.answer import Answer, Choice
from proxy.simulator.asking import Ask, Function, JsonObject, Message, ask_of_messages, words_of
from proxy.simulator.events import Event, Wait
from proxy.simulator.format import Format, Headers, RefusedError, Request, Stream, Whole
from proxy.simulator.wishes import Wishes
from proxy.simulator.words import ALPHABET, Dice, identifier

ACTIONS = ("converse", "converse-stream", "invoke", "invoke-with-response-stream")
PATH = re.compile(rf"(?:/[\w.~%:-]+)*?/model/(?P<model>.+)/(?P<door>{'|'.join(ACTIONS)})/?")
STOPS = {"length": "max_tokens", "tool_calls": "tool_use", "stop": "end_turn"}
HEX = "0123456789abcdef"
KINDS = {  # status: (name of the exception, message)
    400: ("ValidationException", "The input fails to satisfy the constraints of the service."),
    403: ("AccessDeniedException", "You don't have access to the model with the specified model ID."),
    404: ("ResourceNotFoundException", "Could not resolve the foundation model from the provided model identifier."),
    408: ("ModelTimeoutException", "The request took too long to process."),
    424: ("ModelErrorException", "The request failed due to an error while processing the model."),
    429: ("ThrottlingException", "Too many requests, please wait before trying again."),
    500: ("InternalServerException", "An internal server error occurred."),
    503: ("ServiceUnavailableException", "Bedrock is unable to process your request."),
}


class Turn(msgspec.Struct, frozen=True):
    """One message of a conversation."""

    role: str
    content: list[JsonObject] = []

    def message(self) -> Message:
        """Give the message in the normal form."""
        answered = any("toolResult" in block for block in self.content)
        return Message(role="tool" if answered else self.role, content=words_of(self.content))


class InputSchema(msgspec.Struct, frozen=True):
    """Holder of a tool's schema."""

    json: JsonObject


class ToolSpec(msgspec.Struct, frozen=True, rename="camel"):
    """A function the model may call."""

    name: str
    input_schema: InputSchema
    description: str | None = None


class Tool(msgspec.Struct, frozen=True, rename="camel"):
    """A tool, or a mark that the cache is to keep what stands before it."""

    tool_spec: ToolSpec | None = None


class ToolConfig(msgspec.Struct, frozen=True, rename="camel"):
    """The tools and which of them to call: ``auto``, ``any`` or ``tool``."""

    tools: list[Tool] = []
    tool_choice: dict[str, JsonObject] = {}


class InferenceConfig(msgspec.Struct, frozen=True, rename="camel"):
    """How to answer."""

    max_tokens: int | None = None


class ConverseRequest(msgspec.Struct, frozen=True, rename="camel"):
    """Body of ``converse`` and ``converse-stream``."""

    messages: list[Turn] = []
    system: list[JsonObject] = []
    inference_config: InferenceConfig = InferenceConfig()
    tool_config: ToolConfig = ToolConfig()


def ask_of(request: ConverseRequest, sent: bytes, model: str, *, stream: bool) -> Ask:
    """Read a request; its prompt is cached only where it says so."""
    config = request.tool_config
    specs = [tool.tool_spec for tool in config.tools if tool.tool_spec is not None]
    chosen = config.tool_choice
    return ask_of_messages(
        model,
        [turn.message() for turn in request.messages],
        system=words_of(request.system),
        functions=[
            Function(name=spec.name, description=spec.description, parameters=spec.input_schema.json) for spec in specs
        ],
        choice=chosen.get("tool") or ("required" if "any" in chosen else "auto"),
        output_limit=request.inference_config.max_tokens,
        stream=stream,
        caches=b'"cachePoint"' in sent,
    )


def converse_body(answer: Answer, wishes: Wishes, dice: Dice) -> JsonObject:
    """Give a whole reply."""
    choice = answer.choices[0]
    content: list[JsonObject] = [
        {"toolUse": {"toolUseId": "tooluse_" + call.id[-22:], "name": call.name, "input": call.input}}
        for call in choice.calls
    ]
    message = {"role": "assistant", "content": content or [{"text": "".join(choice.text)}]}
    ended: JsonObject = {"output": {"message": message}, "stopReason": STOPS[choice.finish_reason]}
    return ended | _about(answer, wishes, dice)


def converse_events(answer: Answer, wishes: Wishes, dice: Dice) -> Iterator[Event]:
    """Give a streamed reply, which says what it cost in its last message."""
    choice, about = answer.choices[0], _about(answer, wishes, dice)

    def message(kind: str, payload: JsonObject, wait: Wait = "none") -> Event:
        return eventstream.event(kind, payload | _padding(dice), wait=wait)

    yield message("messageStart", {"role": "assistant"}, "first")
    for index, (start, deltas) in enumerate(_blocks(choice)):
        place: JsonObject = {"contentBlockIndex": index}
        if start is not None:
            yield message("contentBlockStart", place | {"start": start})
        for delta in deltas:
            yield message("contentBlockDelta", place | {"delta": delta}, "token")
        yield message("contentBlockStop", place)
    yield message("messageStop", {"stopReason": STOPS[choice.finish_reason]})
    yield message("metadata", about)


def invoke_events(answer: Answer, wishes: Wishes, dice: Dice) -> Iterator[Event]:
    """Give Anthropic's events, each in a chunk; the last one also says in Bedrock's words what it cost."""
    for event in anthropic.message_events(answer, wishes, dice):
        named: JsonObject = msgspec.json.decode(event.data.partition(b"data: ")[2])
        if named["type"] == "ping":
            continue
        if named["type"] == "message_stop" and wishes.usage != "absent":
            latency = _latency(dice)
            times: JsonObject = {"invocationLatency": latency, "firstByteLatency": latency // 2}
            named["amazon-bedrock-invocationMetrics"] = _counts(answer) | times
        inner = base64.b64encode(msgspec.json.encode(named)).decode()
        yield eventstream.event("chunk", {"bytes": inner} | _padding(dice), wait=event.wait)


def _padding(dice: Dice) -> JsonObject:
    """Give what keeps a message's size from saying anything of its text."""
    return {"p": ALPHABET[: dice.randint(1, 40)]}


def _blocks(choice: Choice) -> list[tuple[JsonObject | None, list[JsonObject]]]:
    """Give the blocks of a reply: how each begins, where that is said, and the deltas it comes in."""
    called: list[tuple[JsonObject | None, list[JsonObject]]] = [
        (
            {"toolUse": {"toolUseId": "tooluse_" + call.id[-22:], "name": call.name}},
            [{"toolUse": {"input": piece}} for piece in call.arguments],
        )
        for call in choice.calls
    ]
    return called or [(None, [{"text": piece} for piece in choice.text])]


def _about(answer: Answer, wishes: Wishes, dice: Dice) -> JsonObject:
    """Give the counts and the latency: what the cache gave or took is not in the input."""
    about: JsonObject = {"metrics": {"latencyMs": _latency(dice)}}
    if wishes.usage == "absent":
        return about
    read, written = answer.cached_tokens, answer.cacheable_tokens - answer.cached_tokens
    usage: JsonObject = {
        "inputTokens": answer.input_tokens - answer.cacheable_tokens,
        "outputTokens": answer.output_tokens,
        "totalTokens": answer.input_tokens + answer.output_tokens,
        "cacheReadInputTokens": read,
        "cacheWriteInputTokens": written,
    }
    if written:
        usage["cacheDetails"] = [{"ttl": "5m", "inputTokens": written}]
    return {"usage": usage} | about


def _counts(answer: Answer) -> JsonObject:
    return {
        "inputTokenCount": answer.input_tokens - answer.cacheable_tokens,
        "outputTokenCount": answer.output_tokens,
        "cacheReadInputTokenCount": answer.cached_tokens,
        "cacheWriteInputTokenCount": answer.cacheable_tokens - answer.cached_tokens,
    }


def _latency(dice: Dice) -> int:
    return dice.randrange(80, 900)


def _reply(request: Request) -> Whole | Stream:
    if request.method != "POST":
        raise RefusedError(405, f"Not allowed to {request.method} on {request.path}.")
    stream = request.door.endswith("-stream")
    if request.door.startswith("converse"):
        ask = ask_of(request.read(ConverseRequest), request.sent, request.model, stream=stream)
    else:
        ask = anthropic.ask_of(request.read(anthropic.MessagesRequest), request.sent, request.model)
    given, failure = request.answer(ask), (_exception(503),)
    match request.door:
        case "converse":
            return Whole(body=msgspec.json.encode(converse_body(given, request.wishes, request.dice)))
        case "converse-stream":
            events = converse_events(given, request.wishes, request.dice)
        case "invoke":
            return _invoked(given, request)
        case _:
            events = invoke_events(given, request.wishes, request.dice)
    return Stream(events=events, failure=failure, content_type=eventstream.CONTENT_TYPE)


def _invoked(given: Answer, request: Request) -> Whole:
    message = anthropic.message_body(given, request.wishes, request.dice)
    counts = _counts(given) if request.wishes.usage != "absent" else {}
    named = [(_HEADERS[name], str(tokens)) for name, tokens in counts.items()]
    named.append(("x-amzn-bedrock-invocation-latency", str(_latency(request.dice))))
    return Whole(body=msgspec.json.encode(message), headers=tuple(named))


_HEADERS = {
    "inputTokenCount": "x-amzn-bedrock-input-token-count",
    "outputTokenCount": "x-amzn-bedrock-output-token-count",
    "cacheReadInputTokenCount": "x-amzn-bedrock-cache-read-input-token-count",
    "cacheWriteInputTokenCount": "x-amzn-bedrock-cache-write-input-token-count",
}


def _kind(status: int) -> tuple[str, str]:
    return KINDS.get(status) or KINDS[500 if status >= 500 else 400]


def _exception(status: int) -> Event:
    kind, message = _kind(status)
    return eventstream.exception(kind[0].lower() + kind[1:], {"message": message})


def _refusal(refused: RefusedError) -> JsonObject:
    return {"message": refused.message or _kind(refused.status)[1]}


def _headers(status: int, dice: Dice) -> Headers:
    named = [("x-amzn-requestid", "-".join(identifier(dice, "", length, HEX) for length in (8, 4, 4, 4, 12)))]
    return named if status == 200 else [*named, ("x-amzn-errortype", _kind(status)[0])]


FORMAT = Format(path=PATH, reply=_reply, refusal=_refusal, headers=_headers)
