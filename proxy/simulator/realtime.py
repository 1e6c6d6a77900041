"""OpenAI's Realtime API over a WebSocket, in text: each ``response.create`` is answered and says what it took.

Every turn reads the whole conversation again, as the real one does. It is only there where uvicorn finds a library of
WebSockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from urllib.parse import parse_qs

import msgspec
from starlette.types import Receive, Scope, Send

from proxy.simulator.answer import Answer, PrefixCache, answer
from proxy.simulator.asking import JsonObject, Message, ask_of_messages, words_of
from proxy.simulator.events import body
from proxy.simulator.format import RefusedError
from proxy.simulator.refusals import refusal
from proxy.simulator.wishes import WishError, read_wishes
from proxy.simulator.words import Dice, dice, identifier

MODEL = "gpt-realtime"


class Item(msgspec.Struct, frozen=True):
    """A piece of the conversation."""

    type: str = "message"
    role: str = "user"
    content: list[JsonObject] = []


class ClientEvent(msgspec.Struct, frozen=True):
    """What a client sends."""

    type: str
    item: Item | None = None


async def converse(scope: Scope, receive: Receive, send: Send, *, cache: PrefixCache, seed: int) -> None:
    """Serve one connection until its client leaves."""
    await receive()  # websocket.connect
    try:
        wishes = read_wishes(scope["headers"])
        if not scope["path"].rstrip("/").endswith("/realtime"):
            raise RefusedError(404, f"Unknown request URL: {scope['path']}.", code="unknown_url")
        if wishes.status != 200:
            raise RefusedError(wishes.status)
    except WishError as problem:
        await _refuse(send, 400, refusal(400, str(problem), code="bad_simulate_header"))
        return
    except RefusedError as refused:
        await _refuse(send, refused.status, refusal(refused.status, refused.message, code=refused.code))
        return
    asked = parse_qs(scope["query_string"].decode("latin-1")).get("model", [MODEL])[0]
    chance = dice(seed, "realtime", asked)
    numbers = iter(range(1_000_000_000))
    turns: list[Message] = []

    async def say(kind: str, **fields: object) -> None:
        event = {"type": kind, "event_id": f"event_{next(numbers)}", **fields}
        await send({"type": "websocket.send", "text": msgspec.json.encode(event).decode()})

    offered = scope.get("subprotocols", [])
    await send({"type": "websocket.accept", "subprotocol": "realtime" if "realtime" in offered else None})
    session = {"id": identifier(chance, "sess_", 21), "object": "realtime.session", "type": "realtime", "model": asked}
    await say("session.created", session=session)
    while (message := await receive())["type"] == "websocket.receive":
        try:
            event = msgspec.json.decode(message.get("text") or message.get("bytes") or b"", type=ClientEvent)
        except msgspec.MsgspecError as problem:
            await say(
                "error", error={"type": "invalid_request_error", "code": "invalid_event", "message": str(problem)}
            )
            continue
        if event.type == "session.update":
            await say("session.updated", session=session)
        elif event.type == "conversation.item.create" and event.item is not None:
            turns.append(Message(role=event.item.role, content=words_of(event.item.content)))
            await say(
                "conversation.item.created", item={"id": identifier(chance, "item_", 21), "object": "realtime.item"}
            )
        elif event.type == "response.create":
            ask = ask_of_messages(asked, turns)
            given = answer(ask, wishes, chance, cached_tokens=cache.read(asked, ask.prompt, ask.input_tokens))
            turns.append(Message(role="assistant", content="".join(given.choices[0].text)))
            for kind, fields in _events(given, chance):
                if kind.endswith(".delta"):
                    await asyncio.sleep((wishes.token_ms or 0) / 1000)
                await say(kind, **fields)


async def _refuse(send: Send, status: int, error: JsonObject) -> None:
    """Answer the handshake as a plain request."""
    headers = [(b"content-type", b"application/json")]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body(error)})


def _events(given: Answer, chance: Dice) -> Iterator[tuple[str, JsonObject]]:
    """Give the events of one reply."""
    text, place = given.choices[0].text, {"output_index": 0, "content_index": 0}
    response: JsonObject = {"id": identifier(chance, "resp_", 21), "object": "realtime.response"}
    item: JsonObject = {"id": identifier(chance, "item_", 21), "type": "message", "role": "assistant"}
    at: JsonObject = {"response_id": response["id"], "item_id": item["id"], **place}
    yield "response.created", {"response": response | {"status": "in_progress", "output": [], "usage": None}}
    for piece in text:
        yield "response.output_text.delta", at | {"delta": piece}
    said = "".join(text)
    yield "response.output_text.done", at | {"text": said}
    output = [item | {"status": "completed", "content": [{"type": "output_text", "text": said}]}]
    yield "response.done", {"response": response | {"status": "completed", "output": output, "usage": _usage(given)}}


def _usage(given: Answer) -> JsonObject:
    cached = given.cached_tokens
    return {
        "total_tokens": given.input_tokens + given.output_tokens,
        "input_tokens": given.input_tokens,
        "output_tokens": given.output_tokens,
        "input_token_details": {
            "text_tokens": given.input_tokens,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": cached,
            "cached_tokens_details": {"text_tokens": cached, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": given.output_tokens, "audio_tokens": 0},
    }
