"""Gemini's generateContent, whole and streamed as events or as one growing array; its embeddings and free counts."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from proxy.simulator.answer import Answer, Choice
from proxy.simulator.asking import Ask, Function, JsonObject, Message, ask_of_messages, count, words_of
from proxy.simulator.embeddings import vectors
from proxy.simulator.events import Event, Wait, body
from proxy.simulator.format import Format, Headers, RefusedError, Request, Stream, Whole
from proxy.simulator.wishes import Wishes
from proxy.simulator.words import Dice, identifier

ACTIONS = ("generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents")
PATH = re.compile(rf"(?:/[\w.~%:@-]+)*?/models/(?P<model>[^/]+):(?P<door>{'|'.join(ACTIONS)})/?")
STOPS = {"length": "MAX_TOKENS", "tool_calls": "STOP", "stop": "STOP"}
MODES = {"AUTO": "auto", "ANY": "required", "VALIDATED": "auto", "NONE": "none"}
DIMENSIONS = 3072
KINDS = {  # status: (status in words, message)
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    403: ("PERMISSION_DENIED", "The caller does not have permission"),
    404: ("NOT_FOUND", "Requested entity was not found."),
    429: ("RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    500: ("INTERNAL", "An internal error has occurred. Please retry."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    504: ("DEADLINE_EXCEEDED", "The request timed out. Please try again."),
}


class Content(msgspec.Struct, frozen=True):
    """One turn: its parts are texts, calls, answers of tools, images, …."""

    parts: list[JsonObject] = []
    role: str = "user"

    def message(self) -> Message:
        """Give the turn in the normal form."""
        answered = any("functionResponse" in part for part in self.parts)
        return Message(role="tool" if answered else self.role, content=words_of(self.parts))


class Declaration(msgspec.Struct, frozen=True, rename="camel"):
    """A function the model may call."""

    name: str
    description: str | None = None
    parameters: JsonObject | None = None
    parameters_json_schema: JsonObject | None = None


class Tool(msgspec.Struct, frozen=True, rename="camel"):
    """A tool; only functions are understood."""

    function_declarations: list[Declaration] = []
    snake: list[Declaration] = msgspec.field(default=[], name="function_declarations")  # as LiteLLM spells it


class Calling(msgspec.Struct, frozen=True, rename="camel"):
    """Which functions to call."""

    mode: str = "AUTO"
    allowed_function_names: list[str] = []


class ToolConfig(msgspec.Struct, frozen=True, rename="camel"):
    """Holder of which functions to call."""

    function_calling_config: Calling = Calling()


class GenerationConfig(msgspec.Struct, frozen=True, rename="camel"):
    """How to answer."""

    max_output_tokens: int | None = None
    candidate_count: int | None = None
    response_mime_type: str | None = None
    response_schema: JsonObject | None = None
    response_json_schema: JsonObject | None = None
    thinking_config: JsonObject = {}


class GenerateRequest(msgspec.Struct, frozen=True, rename="camel"):
    """Body of ``:generateContent``, ``:streamGenerateContent`` and ``:countTokens``."""

    contents: list[Content]
    system_instruction: Content | None = None
    tools: list[Tool] = []
    tool_config: ToolConfig = ToolConfig()
    generation_config: GenerationConfig = GenerationConfig()


class EmbedRequest(msgspec.Struct, frozen=True, rename="camel"):
    """Body of ``:embedContent``."""

    content: Content
    output_dimensionality: int | None = None


class BatchRequest(msgspec.Struct, frozen=True):
    """Body of ``:batchEmbedContents``."""

    requests: list[EmbedRequest]


def ask_of(request: GenerateRequest, model: str, *, stream: bool) -> Ask:
    """Read a request."""
    config, calling = request.generation_config, request.tool_config.function_calling_config
    declared = [each for tool in request.tools for each in (*tool.function_declarations, *tool.snake)]
    allowed = calling.allowed_function_names
    # protobuf's JSON takes both spellings, and the official client sends either
    budget = config.thinking_config.get("thinkingBudget", config.thinking_config.get("thinking_budget"))
    schema = config.response_json_schema or config.response_schema
    return ask_of_messages(
        model,
        [content.message() for content in request.contents],
        system=words_of(request.system_instruction.parts) if request.system_instruction is not None else "",
        functions=[
            Function(
                name=each.name, description=each.description, parameters=each.parameters_json_schema or each.parameters
            )
            for each in declared
            if not allowed or each.name in allowed
        ],
        choice=MODES.get(calling.mode, "auto"),
        schema=schema if config.response_mime_type == "application/json" else None,
        choices=config.candidate_count or 1,
        output_limit=config.max_output_tokens,
        stream=stream,
        thinks=False if budget == 0 else None,
    )


def generate_body(answer: Answer, wishes: Wishes, dice: Dice) -> JsonObject:
    """Give a whole answer."""
    candidates = [
        _candidate(index, [part for part, _ in _parts(choice, whole=True)], choice)
        for index, choice in enumerate(answer.choices)
    ]
    said = answer.output_tokens - answer.reasoning_tokens
    return {"candidates": candidates} | _about(answer, wishes, identifier(dice, "", 22), said)


def generate_chunks(answer: Answer, wishes: Wishes, dice: Dice) -> Iterator[tuple[JsonObject, Wait]]:
    """Give the chunks of a streamed answer, each with the wait before it and all counts so far."""
    response_id, said = identifier(dice, "", 22), 0
    wait: Wait = "first"
    for index, choice in enumerate(answer.choices):
        parts = _parts(choice, whole=False) or [({"text": ""}, 0)]
        for number, (part, tokens) in enumerate(parts, 1):
            said += tokens
            candidate = _candidate(index, [part], choice if number == len(parts) else None)
            yield {"candidates": [candidate]} | _about(answer, wishes, response_id, said), wait
            wait = "token"


def events(chunks: Iterator[tuple[JsonObject, Wait]]) -> Iterator[Event]:
    """Write chunks as server-sent events; Google's end their lines with CR LF."""
    for chunk, wait in chunks:
        yield Event(data=b"data: " + msgspec.json.encode(chunk) + b"\r\n\r\n", wait=wait)


def elements(chunks: Iterator[tuple[JsonObject, Wait]]) -> Iterator[Event]:
    """Write chunks as the elements of one array."""
    opening = b"["
    for chunk, wait in chunks:
        yield Event(data=opening + body(chunk).rstrip(), wait=wait)
        opening = b"\r\n,\r\n"
    yield Event(data=b"\r\n]")


def _candidate(index: int, parts: list[JsonObject], ended: Choice | None) -> JsonObject:
    candidate: JsonObject = {"content": {"parts": parts, "role": "model"}} if parts else {}
    if ended is not None:
        candidate["finishReason"] = STOPS[ended.finish_reason]
    return candidate | {"index": index}


def _parts(choice: Choice, *, whole: bool) -> list[tuple[JsonObject, int]]:
    """Give the parts of a reply, each with its tokens; a call always comes in one piece."""
    parts: list[tuple[JsonObject, int]] = [
        ({"functionCall": {"name": call.name, "args": call.input}}, 1 + len(call.arguments)) for call in choice.calls
    ]
    texts = [choice.text] if whole and choice.text else [(piece,) for piece in choice.text]
    parts.extend(({"text": "".join(pieces)}, len(pieces)) for pieces in texts)
    return parts


def _about(answer: Answer, wishes: Wishes, response_id: str, said: int) -> JsonObject:
    """Give what stands beside the candidates; a count of nothing is left out, as protobuf does."""
    about: JsonObject = {"modelVersion": answer.model, "responseId": response_id}
    if wishes.usage == "absent":
        return about
    counts = {
        "promptTokenCount": answer.input_tokens,
        "candidatesTokenCount": said,
        "cachedContentTokenCount": answer.cached_tokens,
        "thoughtsTokenCount": answer.reasoning_tokens,
        "totalTokenCount": answer.input_tokens + said + answer.reasoning_tokens,
    }
    usage: JsonObject = {name: tokens for name, tokens in counts.items() if tokens}
    usage["promptTokensDetails"] = _by_modality(answer.input_tokens)
    if answer.cached_tokens:
        usage["cacheTokensDetails"] = _by_modality(answer.cached_tokens)
    return {"usageMetadata": usage} | about


def _by_modality(tokens: int) -> list[JsonObject]:
    return [{"modality": "TEXT", "tokenCount": tokens}]


def _reply(request: Request) -> Whole | Stream:
    if request.method != "POST":
        raise RefusedError(405, f"Not allowed to {request.method} on {request.path}.")
    match request.door:
        case "embedContent":
            return _embed(request, [request.read(EmbedRequest)])
        case "batchEmbedContents":
            return _embed(request, request.read(BatchRequest).requests)
        case _:
            stream = request.door == "streamGenerateContent"
            ask = ask_of(request.read(GenerateRequest), request.model, stream=stream)
    if request.door == "countTokens":
        return Whole(
            body=body({"totalTokens": ask.input_tokens, "promptTokensDetails": _by_modality(ask.input_tokens)})
        )
    given = request.answer(ask)
    if not ask.stream:
        return Whole(body=body(generate_body(given, request.wishes, request.dice)))
    chunks = generate_chunks(given, request.wishes, request.dice)
    failure = _refusal(RefusedError(503))
    if "alt=sse" in request.query:
        failed = Event(data=b"data: " + msgspec.json.encode(failure) + b"\r\n\r\n")
        return Stream(events=events(chunks), failure=(failed,), content_type="text/event-stream")
    opening = b"\r\n,\r\n" if request.wishes.error_after else b"["
    failed = Event(data=opening + body(failure).rstrip() + b"\r\n]")
    return Stream(events=elements(chunks), failure=(failed,), content_type="application/json; charset=UTF-8")


def _embed(request: Request, asked: list[EmbedRequest]) -> Whole:
    dimensions = max((each.output_dimensionality or DIMENSIONS for each in asked), default=DIMENSIONS)
    made: list[JsonObject] = [
        {"values": vector} for vector in vectors(request.dice, len(asked), dimensions, request.wishes)
    ]
    reply: JsonObject = {"embeddings": made} if request.door == "batchEmbedContents" else {"embedding": made[0]}
    # Only newer models say what they have read, and spell the details in the singular.
    if request.model.startswith("gemini-embedding-2") and request.wishes.usage != "absent":
        tokens = sum(count(words_of(each.content.parts)) for each in asked)
        reply["usageMetadata"] = {"promptTokenCount": tokens, "promptTokenDetails": _by_modality(tokens)}
    return Whole(body=body(reply))


def _refusal(refused: RefusedError) -> JsonObject:
    kind, usual = KINDS.get(refused.status) or KINDS[500 if refused.status >= 500 else 400]
    return {"error": {"code": refused.status, "message": refused.message or usual, "status": kind}}


def _headers(status: int, dice: Dice) -> Headers:
    return [
        ("server-timing", f"gfet4t7; dur={dice.randrange(80, 900)}"),
        ("vary", "Origin"),
        ("vary", "X-Origin"),
        ("vary", "Referer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "SAMEORIGIN"),
        ("x-xss-protection", "0"),
    ]


FORMAT = Format(path=PATH, reply=_reply, refusal=_refusal, headers=_headers, write=body)
