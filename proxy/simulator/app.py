"""The loopback provider as an ASGI application: which request gets which reply, and its headers.

The same request, with the same seed, always gets the same bytes: ids and times are made up from the
request. Whether it is streamed and what it asks of the stream do not count, so a streamed reply has
the text of the whole one. Only prompts long enough to be cached are remembered, as digests.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import TypeVar

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.simulator import refusals
from proxy.simulator.answer import SERVED, UNCHANGED, PrefixCache, answer
from proxy.simulator.asking import (
    ChatRequest,
    CompletionRequest,
    EmbeddingsRequest,
    JsonObject,
    ResponsesRequest,
    ask_of_chat,
    ask_of_completion,
    ask_of_response,
)
from proxy.simulator.chat import chat_body, chat_events, completion_body, completion_events
from proxy.simulator.embeddings import embeddings_body
from proxy.simulator.events import Event, body, broken_off, event
from proxy.simulator.responses import response_body, response_events
from proxy.simulator.wire import Line, Pace
from proxy.simulator.wishes import WishError, Wishes, read_wishes
from proxy.simulator.words import Dice, dice, identifier

# Any prefix goes, so that every provider's own base path works: /v1, /openai/v1, /api/v1, none.
PATHS = re.compile(r"(?:/[\w.~%:-]+)*?/(chat/completions|completions|responses|responses/input_tokens|embeddings)/?")
MODELS = re.compile(r"(?:/[\w.~%:-]+)*?/models(?:/(.+))?")
Reply = bytes | Iterator[Event]
Request = TypeVar("Request", ChatRequest, CompletionRequest, ResponsesRequest, EmbeddingsRequest)


class RefusedError(Exception):
    """The simulator answers a request with an error."""

    def __init__(self, status: int, error: JsonObject) -> None:
        super().__init__(status)
        self.status = status
        self.error = error


def build_simulator(*, fast: bool = False, seed: int = 0) -> ASGIApp:
    """Build the loopback provider; ``fast`` leaves out every wait that a request does not ask for."""
    cache = PrefixCache()

    async def simulator(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})
        else:
            await _answer_http(scope, receive, send, cache=cache, fast=fast, seed=seed)

    return simulator


async def _live(receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": message["type"] + ".complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def _answer_http(
    scope: Scope, receive: Receive, send: Send, *, cache: PrefixCache, fast: bool, seed: int
) -> None:
    sent = await _whole_body(receive)
    if sent is None:
        return  # the client left while it was still sending
    seeds = (seed, scope["path"].rpartition("/v1")[2], _identity(sent))
    chance = dice(*seeds)
    wishes = Wishes()
    status = 200
    try:
        wishes = read_wishes(scope["headers"])
        if wishes.status != 200:
            raise RefusedError(wishes.status, refusals.refusal(wishes.status))
        reply = _reply(scope, sent, wishes, chance, cache)
    except WishError as problem:
        status, reply = 400, body(refusals.refusal(400, str(problem), code="bad_simulate_header"))
    except RefusedError as refused:
        status, reply = refused.status, body(refused.error)
    pace = Pace(first_ms=0, token_ms=0) if fast else Pace(first_ms=dice(*seeds, "pace").uniform(150, 400), token_ms=10)
    pace = Pace(
        first_ms=pace.first_ms if wishes.first_token_ms is None else wishes.first_token_ms,
        token_ms=pace.token_ms if wishes.token_ms is None else wishes.token_ms,
    )
    heading = dice(*seeds, "headers")
    line = Line(scope, receive, send, wishes)
    try:
        if wishes.hang == "before_head":
            await line.wait(None)
        elif scope["method"] == "OPTIONS":
            await line.start(204, _CORS)
            await send({"type": "http.response.body", "body": b""})
        elif isinstance(reply, bytes):
            headers = _headers(status, wishes, heading, fast=fast, length=len(reply))
            await _send_whole(line, status, headers, reply, wishes, pace if status == 200 else None)
        else:
            await _send_stream(line, _headers(status, wishes, heading, fast=fast), reply, wishes, pace)
    finally:
        line.close()


def _reply(scope: Scope, sent: bytes, wishes: Wishes, chance: Dice, cache: PrefixCache) -> Reply:
    """Give the body or the events of the reply; raises :class:`RefusedError`."""
    method, path = scope["method"], scope["path"]
    if method == "OPTIONS":
        return b""
    models = MODELS.fullmatch(path)
    if models is not None and method in ("GET", "HEAD"):
        return body(_models(models[1]))
    surface = PATHS.fullmatch(path)
    if surface is None:
        raise RefusedError(404, refusals.refusal(404, f"Unknown request URL: {method} {path}.", code="unknown_url"))
    if method != "POST":
        raise RefusedError(
            405, refusals.refusal(405, f"Not allowed to {method} on {path}.", code="method_not_supported")
        )
    match surface[1]:
        case "chat/completions":
            return _chat(_read(sent, ChatRequest), wishes, chance, cache)
        case "completions":
            return _completion(_read(sent, CompletionRequest), wishes, chance, cache)
        case "responses":
            return _response(_read(sent, ResponsesRequest), wishes, chance, cache)
        case "embeddings":
            return _broken(body(embeddings_body(_read(sent, EmbeddingsRequest), wishes, chance)), wishes)
        case _:
            tokens = ask_of_response(_read(sent, ResponsesRequest)).input_tokens
            return body({"object": "response.input_tokens", "input_tokens": tokens})


def _chat(request: ChatRequest, wishes: Wishes, chance: Dice, cache: PrefixCache) -> Reply:
    ask = ask_of_chat(request)
    cached = cache.read(ask.model, ask.prompt, ask.input_tokens)
    given = answer(ask, wishes, chance, cached_tokens=cached)
    if not ask.stream:
        return _broken(body(chat_body(given, wishes, chance)), wishes)
    return _broken_stream(chat_events(ask, given, wishes, chance), wishes)


def _completion(request: CompletionRequest, wishes: Wishes, chance: Dice, cache: PrefixCache) -> Reply:
    ask = ask_of_completion(request)
    cached = cache.read(ask.model, ask.prompt, ask.input_tokens)
    given = answer(ask, wishes, chance, cached_tokens=cached)
    if not ask.stream:
        return _broken(body(completion_body(given, wishes, chance)), wishes)
    return _broken_stream(completion_events(ask, given, wishes, chance), wishes)


def _response(request: ResponsesRequest, wishes: Wishes, chance: Dice, cache: PrefixCache) -> Reply:
    ask = ask_of_response(request)
    cached = cache.read(ask.model, ask.prompt, ask.input_tokens)
    given = answer(ask, wishes, chance, cached_tokens=cached)
    if not ask.stream:
        return _broken(body(response_body(request, given, wishes, chance)), wishes)
    return response_events(request, ask, given, wishes, chance)


def _broken(whole: bytes, wishes: Wishes) -> bytes:
    """Give the reply, or the error that a broken provider puts into a 200."""
    return whole if wishes.error_after is None else body(refusals.refusal(500))


def _broken_stream(events: Iterator[Event], wishes: Wishes) -> Iterator[Event]:
    if wishes.error_after is None:
        return events
    return broken_off(events, wishes.error_after, [event(refusals.refusal(500))])


async def _send_whole(
    line: Line, status: int, headers: list[tuple[bytes, bytes]], reply: bytes, wishes: Wishes, pace: Pace | None
) -> None:
    if pace is not None and not await line.wait(pace.seconds("first")):
        return
    await line.start(status, headers)
    if wishes.hang == "before_body":
        await line.wait(None)
    elif wishes.cut_after is not None and wishes.cut_after < len(reply):
        await line.write(reply[: wishes.cut_after])
        await line.reset()
    else:
        await line.write(reply, last=True)


async def _send_stream(
    line: Line, headers: list[tuple[bytes, bytes]], events: Iterator[Event], wishes: Wishes, pace: Pace
) -> None:
    # The head leaves with the first event, as a provider's does: it waits for the first token too.
    first = next(events)
    if not await line.wait(pace.seconds(first.wait)):
        return
    await line.start(200, headers)
    if wishes.hang == "before_body":
        await line.wait(None)
        return
    for number, one in enumerate(itertools.chain([first], events)):
        if number == wishes.cut_after:
            await line.reset()
            return
        if number and not await line.wait(pace.seconds(one.wait)):
            return
        await line.write(one.data.replace(b"\n", b"\r\n") if wishes.crlf else one.data)
    await line.write(b"", last=True)


def _headers(
    status: int, wishes: Wishes, chance: Dice, *, fast: bool, length: int | None = None
) -> list[tuple[bytes, bytes]]:
    """Give the headers a provider sends; a length is told of plain bodies that are not encoded."""
    remaining = chance.randrange(5_000, 9_999)
    hexadecimal = "0123456789abcdef"
    named = [
        ("content-type", "text/event-stream; charset=utf-8" if length is None else "application/json"),
        ("server", "joulegate-simulate"),
        ("openai-organization", "simulated"),
        ("openai-processing-ms", str(chance.randrange(80, 900))),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-limit-tokens", "2000000"),
        ("x-ratelimit-remaining-requests", str(0 if status == 429 else remaining)),
        ("x-ratelimit-remaining-tokens", str(remaining * 200)),
        ("x-ratelimit-reset-requests", "6ms"),
        ("x-ratelimit-reset-tokens", "1ms"),
        ("x-request-id", identifier(chance, "req_", 32, hexadecimal)),
        ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
        ("set-cookie", "__cf_bm=" + identifier(chance, "", 43) + "; path=/; HttpOnly; Secure; SameSite=None"),
        ("set-cookie", "_cfuvid=" + identifier(chance, "", 43) + "; path=/; HttpOnly; Secure; SameSite=None"),
        ("x-content-type-options", "nosniff"),
        ("access-control-expose-headers", "X-Request-ID"),
        ("access-control-expose-headers", "CF-Ray"),
        ("cf-ray", identifier(chance, "", 16, hexadecimal) + "-FRA"),
    ]
    if status == 429:
        after_ms = wishes.retry_after_ms if wishes.retry_after_ms is not None else 20 if fast else 700
        named += [("retry-after-ms", str(after_ms)), ("retry-after", str(-(-after_ms // 1000)))]
    if status == 429 or status >= 500:
        named.append(("x-should-retry", "true"))
    if wishes.encodings:
        named.append(("content-encoding", ", ".join(name.removesuffix("-raw") for name in wishes.encodings)))
    elif length is not None:
        named.append(("content-length", str(length)))
    return [(name.encode(), value.encode("latin-1")) for name, value in named]


_CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-max-age", b"86400"),
]


def _models(name: str | None) -> JsonObject:
    known = sorted({*SERVED, *SERVED.values(), *UNCHANGED})
    listed = [{"id": one, "object": "model", "created": 1_767_225_600, "owned_by": "simulated"} for one in known]
    if name is None:
        return {"object": "list", "data": listed}
    for one in listed:
        if one["id"] == name:
            return dict(one)
    message = f"The model '{name}' does not exist"
    raise RefusedError(404, refusals.refusal(404, message, code="model_not_found", param="model"))


def _read(sent: bytes, kind: type[Request]) -> Request:
    try:
        return msgspec.json.decode(sent, type=kind)
    except msgspec.ValidationError as problem:
        raise RefusedError(400, refusals.refusal(400, f"Invalid request body: {problem}")) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        message = "We could not parse the JSON body of your request. (It was not valid JSON.)"
        raise RefusedError(400, refusals.refusal(400, message)) from None


def _identity(sent: bytes) -> bytes:
    """Give what makes a request what it is: its body, but for how the reply is to be streamed."""
    try:
        decoded = msgspec.json.decode(sent)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return sent
    if not isinstance(decoded, dict):
        return sent
    kept = {key: value for key, value in decoded.items() if key not in ("stream", "stream_options")}
    return msgspec.json.encode(kept, order="sorted")


async def _whole_body(receive: Receive) -> bytes | None:
    pieces: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)
