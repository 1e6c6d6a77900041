"""Ollama's own API: chat and generate, streamed as lines of JSON unless a request says no, and embed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from proxy.simulator.answer import Answer, Choice
from proxy.simulator.asking import ANY_OBJECT, Ask, ChatTool, JsonObject, Message, ask_of_messages, count, words_of
from proxy.simulator.embeddings import vectors
from proxy.simulator.events import Event, Wait
from proxy.simulator.format import Format, Headers, RefusedError, Request, Stream, Whole
from proxy.simulator.wishes import Wishes
from proxy.simulator.words import Dice, prose

PATH = re.compile(r"(?:/[\w.~%:-]+)*?/api/(?P<door>chat|generate|embed)/?")
DIMENSIONS = 768
LOAD_NS = 140_000_000
READ_NS = 300_000  # for each token that is read
WRITE_NS = 10_000_000  # and for each that is written
MESSAGES = {
    400: "invalid request",
    401: "unauthorized",
    404: "model not found, try pulling it first",
    429: "too many requests",
    500: "llama runner process has terminated",
    503: "server busy, please try again. maximum pending requests exceeded",
}


class Turn(msgspec.Struct, frozen=True):
    """One message."""

    role: str
    content: str = ""
    tool_calls: object = None

    def message(self) -> Message:
        """Give the message in the normal form."""
        return Message(role=self.role, content=self.content + words_of(self.tool_calls))


class Options(msgspec.Struct, frozen=True):
    """Parameters of the model."""

    num_predict: int | None = None


class AnyRequest(msgspec.Struct, frozen=True):
    """Body of ``/api/chat`` and ``/api/generate``."""

    model: str
    messages: list[Turn] = []  # chat
    prompt: str = ""  # generate
    system: str | None = None
    stream: bool | None = None
    tools: list[ChatTool] | None = None
    format: str | JsonObject | None = None
    options: Options | None = None
    think: bool | str | None = None


class EmbedRequest(msgspec.Struct, frozen=True):
    """Body of ``/api/embed``."""

    model: str
    input: str | list[str]
    dimensions: int | None = None


def ask_of(request: AnyRequest) -> Ask:
    """Read a request."""
    limit = request.options.num_predict if request.options is not None else None
    form = request.format
    return ask_of_messages(
        request.model,
        [turn.message() for turn in request.messages] or [Message(role="user", content=request.prompt)],
        system=request.system or "",
        functions=[tool.function for tool in request.tools or [] if tool.function is not None],
        schema=form if isinstance(form, dict) else ANY_OBJECT if form == "json" else None,
        output_limit=limit if limit is not None and limit >= 0 else None,
        stream=request.stream is not False,
        thinks=bool(request.think),
    )


def whole_body(door: str, answer: Answer, wishes: Wishes, dice: Dice) -> JsonObject:
    """Give a whole reply."""
    choice = answer.choices[0]
    said = _said(door, "".join(choice.text), thinking="".join(_thought(choice, dice)), calls=_calls(choice))
    return _about(answer) | said | _ended(answer, wishes)


def lines(door: str, answer: Answer, wishes: Wishes, dice: Dice) -> Iterator[Event]:
    """Give a streamed reply, one JSON object a line; the last one says what it took."""
    choice, about = answer.choices[0], _about(answer)
    wait: Wait = "first"
    for member, pieces in (("thinking", _thought(choice, dice)), ("text", choice.text)):
        for piece in pieces:
            said = _said(door, piece) if member == "text" else _said(door, "", thinking=piece)
            yield _line(about | said | {"done": False}, wait)
            wait = "token"
    if choice.calls:
        yield _line(about | _said(door, "", calls=_calls(choice)) | {"done": False}, wait)
    yield _line(about | _said(door, "") | _ended(answer, wishes))


def embed_body(request: EmbedRequest, wishes: Wishes, dice: Dice) -> JsonObject:
    """Give one unit vector for each input."""
    texts = [request.input] if isinstance(request.input, str) else request.input
    made = vectors(dice, len(texts), request.dimensions or DIMENSIONS, wishes)
    tokens = sum(map(count, texts))
    reply: JsonObject = {"model": request.model, "embeddings": made}
    reply |= {"total_duration": LOAD_NS + tokens * READ_NS, "load_duration": LOAD_NS}
    return reply if wishes.usage == "absent" else reply | {"prompt_eval_count": tokens}


def _written(value: JsonObject) -> bytes:
    # Go writes U+2028 escaped, and the official client, which cuts lines there, relies on it.
    return msgspec.json.encode(value).replace("\u2028".encode(), b"\\u2028")


def _line(value: JsonObject, wait: Wait = "none") -> Event:
    return Event(data=_written(value) + b"\n", wait=wait)


def _about(answer: Answer) -> JsonObject:
    created = datetime.fromtimestamp(answer.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"model": answer.model, "created_at": created}


def _said(door: str, text: str, *, thinking: str = "", calls: list[JsonObject] | None = None) -> JsonObject:
    thought: JsonObject = {"thinking": thinking} if thinking else {}
    if door == "generate":
        return {"response": text} | thought
    called: JsonObject = {"tool_calls": calls} if calls else {}
    return {"message": {"role": "assistant", "content": text} | thought | called}


def _thought(choice: Choice, dice: Dice) -> tuple[str, ...]:
    return tuple(prose(dice, choice.reasoning_tokens))


def _calls(choice: Choice) -> list[JsonObject]:
    return [
        {"id": call.id[:13], "function": {"index": index, "name": call.name, "arguments": call.input}}
        for index, call in enumerate(choice.calls)
    ]


def _ended(answer: Answer, wishes: Wishes) -> JsonObject:
    """Give the end of a reply: what was evaluated, which is less than what was read where some of it was cached."""
    ended: JsonObject = {"done": True, "done_reason": "length" if answer.choices[0].limited else "stop"}
    if wishes.usage == "absent":
        return ended
    evaluated = answer.input_tokens - answer.cached_tokens
    read, wrote = evaluated * READ_NS, answer.output_tokens * WRITE_NS
    return ended | {
        "total_duration": LOAD_NS + read + wrote,
        "load_duration": LOAD_NS,
        "prompt_eval_count": evaluated,
        "prompt_eval_duration": read,
        "eval_count": answer.output_tokens,
        "eval_duration": wrote,
    }


def _reply(request: Request) -> Whole | Stream:
    if request.method != "POST":
        raise RefusedError(405, f"Not allowed to {request.method} on {request.path}.")
    wishes, dice = request.wishes, request.dice
    if request.door == "embed":
        return Whole(body=msgspec.json.encode(embed_body(request.read(EmbedRequest), wishes, dice)))
    ask = ask_of(request.read(AnyRequest))
    given = request.answer(ask)
    if not ask.stream:
        return Whole(body=_written(whole_body(request.door, given, wishes, dice)))
    failed = _line({"error": MESSAGES[500]})
    events = lines(request.door, given, wishes, dice)
    return Stream(events=events, failure=(failed,), content_type="application/x-ndjson")


def _refusal(refused: RefusedError) -> JsonObject:
    usual = MESSAGES.get(refused.status) or MESSAGES[500 if refused.status >= 500 else 400]
    return {"error": refused.message or usual}


def _headers(_status: int, _dice: Dice) -> Headers:
    return []


FORMAT = Format(path=PATH, reply=_reply, refusal=_refusal, headers=_headers)
