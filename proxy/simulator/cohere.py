"""Cohere's second API: chat, whole and streamed in named events, embed and rerank."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from proxy.simulator.answer import Answer, Call
from proxy.simulator.asking import Ask, ChatTool, JsonObject, Message, ask_of_messages, count, words_of
from proxy.simulator.embeddings import vectors
from proxy.simulator.events import DONE, Event, Wait, event
from proxy.simulator.format import Format, Headers, RefusedError, Request, Stream, Whole
from proxy.simulator.wishes import Wishes
from proxy.simulator.words import Dice, identifier

PATH = re.compile(r"(?:/[\w.~%:-]+)*?/v2/(?P<door>chat|embed|rerank)/?")
STOPS = {"length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "stop": "COMPLETE"}
CHOICES = {"REQUIRED": "required", "NONE": "none"}
DIMENSIONS = 1536
DOCUMENTS_A_SEARCH = 100  # what one search unit pays for
MADE_UP_TOKENS = 200  # of Cohere's own instructions, which every chat reads and nobody is billed
HEX = "0123456789abcdef"
MESSAGES = {
    400: "invalid request",
    401: "invalid api token",
    403: "this feature is not enabled for your organization",
    404: "model not found",
    429: "You are using a Trial key, which is limited to 20 API calls / minute.",
    500: "internal server error",
    503: "service unavailable",
}


class Turn(msgspec.Struct, frozen=True):
    """One message."""

    role: str
    content: object = None
    tool_calls: object = None

    def message(self) -> Message:
        """Give the message in the normal form."""
        return Message(role=self.role, content=words_of(self.content) + words_of(self.tool_calls))


class ResponseFormat(msgspec.Struct, frozen=True):
    """The form of the reply."""

    type: str = "text"
    json_schema: JsonObject | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """Body of ``/v2/chat``."""

    model: str
    messages: list[Turn]
    stream: bool = False
    max_tokens: int | None = None
    tools: list[ChatTool] = []
    tool_choice: str | None = None
    response_format: ResponseFormat = ResponseFormat()


class EmbedRequest(msgspec.Struct, frozen=True):
    """Body of ``/v2/embed``."""

    model: str
    texts: list[str] = []
    output_dimension: int | None = None


class RerankRequest(msgspec.Struct, frozen=True):
    """Body of ``/v2/rerank``."""

    model: str
    query: str
    documents: list[str]
    top_n: int | None = None


def ask_of(request: ChatRequest) -> Ask:
    """Read a chat request."""
    form = request.response_format
    return ask_of_messages(
        request.model,
        [turn.message() for turn in request.messages],
        functions=[tool.function for tool in request.tools if tool.function is not None],
        choice=CHOICES.get(request.tool_choice or "", "auto"),
        schema=form.json_schema if form.type == "json_object" else None,
        output_limit=request.max_tokens,
        stream=request.stream,
    )


def chat_body(answer: Answer, wishes: Wishes, dice: Dice) -> JsonObject:
    """Give a whole reply."""
    choice = answer.choices[0]
    message: JsonObject = {"role": "assistant"}
    if choice.calls:
        message |= {"tool_plan": "I will look it up.", "tool_calls": [_call(call) for call in choice.calls]}
    else:
        message["content"] = [{"type": "text", "text": "".join(choice.text)}]
    ended: JsonObject = {"id": _uuid(dice), "message": message, "finish_reason": STOPS[choice.finish_reason]}
    return ended | _usage(answer, wishes)


def chat_events(answer: Answer, wishes: Wishes, dice: Dice) -> Iterator[Event]:
    """Give a streamed reply, which says what it cost in its last event."""
    choice = answer.choices[0]

    def typed(kind: str, fields: JsonObject, message: object = None, wait: Wait = "none") -> Event:
        said: JsonObject = {} if message is None else {"delta": {"message": message}}
        return event({"type": kind} | fields | said, name=kind, wait=wait)

    begun: JsonObject = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    yield typed("message-start", {"id": _uuid(dice)}, begun, "first")
    if choice.calls:
        yield typed("tool-plan-delta", {}, {"tool_plan": "I will look it up."})
    for index, call in enumerate(choice.calls):
        place: JsonObject = {"index": index}
        yield typed("tool-call-start", place, {"tool_calls": _call(call, arguments="")})
        for piece in call.arguments:
            yield typed("tool-call-delta", place, {"tool_calls": {"function": {"arguments": piece}}}, "token")
        yield typed("tool-call-end", place)
    if choice.text:
        yield typed("content-start", {"index": 0}, {"content": {"type": "text", "text": ""}})
        for piece in choice.text:
            yield typed("content-delta", {"index": 0}, {"content": {"text": piece}}, "token")
        yield typed("content-end", {"index": 0})
    ended: JsonObject = {"finish_reason": STOPS[choice.finish_reason]}
    yield typed("message-end", {"delta": ended | _usage(answer, wishes)})
    yield DONE


def embed_body(request: EmbedRequest, wishes: Wishes, dice: Dice) -> JsonObject:
    """Give one unit vector for each text."""
    made = vectors(dice, len(request.texts), request.output_dimension or DIMENSIONS, wishes)
    reply: JsonObject = {"id": _uuid(dice), "texts": request.texts, "embeddings": {"float": made}}
    units: JsonObject = {"input_tokens": sum(map(count, request.texts)), "image_tokens": 0}
    return reply | {"meta": _meta(units, wishes), "response_type": "embeddings_by_type"}


def rerank_body(request: RerankRequest, wishes: Wishes, dice: Dice) -> JsonObject:
    """Give the documents in an order of their own, with a score each."""
    scores = sorted(((round(dice.random(), 8), index) for index in range(len(request.documents))), reverse=True)
    results = [{"index": index, "relevance_score": score} for score, index in scores[: request.top_n]]
    units: JsonObject = {"search_units": -(-len(request.documents) // DOCUMENTS_A_SEARCH)}
    return {"id": _uuid(dice), "results": results, "meta": _meta(units, wishes)}


def _meta(units: JsonObject, wishes: Wishes) -> JsonObject:
    meta: JsonObject = {"api_version": {"version": "2"}}
    return meta if wishes.usage == "absent" else meta | {"billed_units": units}


def _call(call: Call, arguments: str | None = None) -> JsonObject:
    written = "".join(call.arguments) if arguments is None else arguments
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": written}}


def _usage(answer: Answer, wishes: Wishes) -> JsonObject:
    """Give the counts: what was read, and the smaller part of it that is billed."""
    if wishes.usage == "absent":
        return {}
    billed = {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens}
    read = {"input_tokens": answer.input_tokens + MADE_UP_TOKENS, "output_tokens": answer.output_tokens}
    return {"usage": {"billed_units": billed, "tokens": read, "cached_tokens": answer.cached_tokens}}


def _uuid(dice: Dice) -> str:
    return "-".join(identifier(dice, "", length, HEX) for length in (8, 4, 4, 4, 12))


def _reply(request: Request) -> Whole | Stream:
    if request.method != "POST":
        raise RefusedError(405, f"Not allowed to {request.method} on {request.path}.")
    wishes, dice = request.wishes, request.dice
    match request.door:
        case "embed":
            return Whole(body=msgspec.json.encode(embed_body(request.read(EmbedRequest), wishes, dice)))
        case "rerank":
            return Whole(body=msgspec.json.encode(rerank_body(request.read(RerankRequest), wishes, dice)))
    ask = ask_of(request.read(ChatRequest))
    given = request.answer(ask)
    if not ask.stream:
        return Whole(body=msgspec.json.encode(chat_body(given, wishes, dice)))
    # Cohere has no event for an error: a reply that fails says so at its end.
    ended: JsonObject = {"finish_reason": "ERROR", "error": MESSAGES[500]}
    failed = event({"type": "message-end", "delta": ended}, name="message-end")
    return Stream(events=chat_events(given, wishes, dice), failure=(failed,), content_type="text/event-stream")


def _refusal(refused: RefusedError) -> JsonObject:
    usual = MESSAGES.get(refused.status) or MESSAGES[500 if refused.status >= 500 else 400]
    return {"message": refused.message or usual}


def _headers(status: int, dice: Dice) -> Headers:
    return [
        ("access-control-expose-headers", "X-Debug-Trace-ID"),
        ("cache-control", "no-cache, no-store, no-transform, must-revalidate, private, max-age=0"),
        ("vary", "Origin,Accept-Encoding"),
        ("x-debug-trace-id", identifier(dice, "", 32, HEX)),
        ("x-endpoint-monthly-call-limit", "1000"),
        ("x-trial-endpoint-call-limit", "20"),
        ("x-trial-endpoint-call-remaining", str(0 if status == 429 else dice.randrange(1, 20))),
    ]


FORMAT = Format(path=PATH, reply=_reply, refusal=_refusal, headers=_headers)
