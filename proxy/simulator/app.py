"""The loopback provider as an ASGI application: which request gets which reply, and its headers.

The same request, with the same seed, always gets the same bytes: ids and times are made up from the
request. Whether it is streamed and what it asks of the stream do not count, so a streamed reply has
the text of the whole one. Only prompts long enough to be cached are remembered, as digests, and how
often a request came that is to fail a number of times.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import OrderedDict
from dataclasses import replace

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.simulator import anthropic, bedrock, cohere, gemini, ollama, openai, realtime
from proxy.simulator.answer import PrefixCache
from proxy.simulator.events import broken_off
from proxy.simulator.format import PLAIN_DOORS, Format, Headers, RefusedError, Request, Stream, Whole
from proxy.simulator.wire import Line, Pace
from proxy.simulator.wishes import WishError, Wishes, read_wishes
from proxy.simulator.words import dice

# The first whose path fits; OpenAI's fits every path.
FORMATS = (anthropic.FORMAT, gemini.FORMAT, bedrock.FORMAT, cohere.FORMAT, ollama.FORMAT, openai.FORMAT)
_LINE_END = re.compile(rb"\r?\n")


class Attempts:
    """Counts how often a request came, by its digest, for clients that do not count their attempts themselves."""

    def __init__(self, *, most: int = 4096) -> None:
        self._most = most
        self._seen: OrderedDict[bytes, int] = OrderedDict()

    def number(self, request: bytes, of: int) -> int:
        """Give which attempt this is, from 0; after ``of`` of them it is another request."""
        key = hashlib.blake2b(request, digest_size=16).digest()
        number = self._seen.pop(key, 0)
        self._seen[key] = (number + 1) % of
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
        return number


def build_simulator(*, fast: bool = False, seed: int = 0) -> ASGIApp:
    """Build the loopback provider; ``fast`` leaves out every wait that a request does not ask for."""
    cache, attempts = PrefixCache(), Attempts()

    async def simulator(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await realtime.converse(scope, receive, send, cache=cache, seed=seed)
        else:
            await _answer_http(scope, receive, send, cache=cache, attempts=attempts, fast=fast, seed=seed)

    return simulator


async def _live(receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": message["type"] + ".complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def _answer_http(
    scope: Scope, receive: Receive, send: Send, *, cache: PrefixCache, attempts: Attempts, fast: bool, seed: int
) -> None:
    sent = await _whole_body(receive)
    if sent is None:
        return  # the client left while it was still sending
    spoken, door, model = _asked_for(scope["path"])
    seeds = (seed, model + "/" + PLAIN_DOORS.get(door, door), _identity(sent))
    wishes = Wishes()
    status = 200
    reply: Whole | Stream
    try:
        wishes = read_wishes(scope["headers"])
        if wishes.attempt is None and len(wishes.statuses) > 1:
            number = attempts.number(repr((seeds, wishes)).encode(), len(wishes.statuses))
            wishes = replace(wishes, attempt=number)
        if wishes.status != 200:
            raise RefusedError(wishes.status)
        request = Request(
            method=scope["method"],
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            door=door,
            model=model,
            sent=sent,
            wishes=wishes,
            dice=dice(*seeds),
            cache=cache,
        )
        reply = Whole(body=b"") if request.method == "OPTIONS" else _reply(spoken, request)
    except WishError as problem:
        refused = RefusedError(400, str(problem), code="bad_simulate_header")
        status, reply = 400, Whole(body=spoken.write(spoken.refusal(refused)))
    except RefusedError as refused:
        status, reply = refused.status, Whole(body=spoken.write(spoken.refusal(refused)))
    pace = Pace(first_ms=0, token_ms=0) if fast else Pace(first_ms=dice(*seeds, "pace").uniform(150, 400), token_ms=10)
    pace = Pace(
        first_ms=pace.first_ms if wishes.first_token_ms is None else wishes.first_token_ms,
        token_ms=pace.token_ms if wishes.token_ms is None else wishes.token_ms,
    )
    headers = _headers(status, reply, wishes, spoken.headers(status, dice(*seeds, "headers")), fast=fast)
    line = Line(scope, receive, send, wishes)
    try:
        if wishes.hang == "before_head":
            await line.wait(None)
        elif scope["method"] == "OPTIONS":
            await line.start(204, _CORS)
            await send({"type": "http.response.body", "body": b""})
        elif isinstance(reply, Whole):
            await _send_whole(line, status, headers, reply.body, wishes, pace if status == 200 else None)
        else:
            await _send_stream(line, headers, reply, wishes, pace)
    finally:
        line.close()


def _asked_for(path: str) -> tuple[Format, str, str]:
    """Give the format of a request, the door it comes to and the model that its path names."""
    for spoken in FORMATS:
        found = spoken.path.fullmatch(path)
        if found is not None:
            named = found.groupdict()
            return spoken, named["door"] or path, named.get("model") or ""
    raise AssertionError(path)  # OpenAI's fits every path


def _reply(spoken: Format, request: Request) -> Whole | Stream:
    """Give the reply, or one with the error that a broken provider puts into a 200."""
    reply, after = spoken.reply(request), request.wishes.error_after
    if after is None:
        return reply
    if isinstance(reply, Stream):
        return replace(reply, events=broken_off(reply.events, after, reply.failure))
    return Whole(body=spoken.write(spoken.refusal(RefusedError(500))))


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
    line: Line, headers: list[tuple[bytes, bytes]], reply: Stream, wishes: Wishes, pace: Pace
) -> None:
    # The head leaves with the first event, as a provider's does: it waits for the first token too.
    first = next(reply.events)
    if not await line.wait(pace.seconds(first.wait)):
        return
    await line.start(200, headers)
    if wishes.hang == "before_body":
        await line.wait(None)
        return
    for number, one in enumerate(itertools.chain([first], reply.events)):
        if number == wishes.cut_after:
            await line.reset()
            return
        if number and not await line.wait(pace.seconds(one.wait)):
            return
        await line.write(_LINE_END.sub(b"\r\n", one.data) if wishes.crlf and reply.is_text else one.data)
    await line.write(b"", last=True)


def _headers(
    status: int, reply: Whole | Stream, wishes: Wishes, own: Headers, *, fast: bool
) -> list[tuple[bytes, bytes]]:
    """Give the headers a provider sends; a length is told of plain bodies that are not encoded."""
    content_type = reply.content_type if isinstance(reply, Stream) else "application/json"
    named = [("content-type", content_type), ("server", "joulegate-simulate"), *own]
    if isinstance(reply, Whole):
        named += reply.headers
    if status == 429:
        after_ms = wishes.retry_after_ms if wishes.retry_after_ms is not None else 20 if fast else 700
        named += [("retry-after-ms", str(after_ms)), ("retry-after", str(-(-after_ms // 1000)))]
    if wishes.encodings:
        named.append(("content-encoding", ", ".join(name.removesuffix("-raw") for name in wishes.encodings)))
    elif isinstance(reply, Whole):
        named.append(("content-length", str(len(reply.body))))
    return [(name.encode(), value.encode("latin-1")) for name, value in named]


_CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b"*"),
    (b"access-control-max-age", b"86400"),
]


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
