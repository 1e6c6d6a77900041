"""A chat as OpenAI answers it, whole and as a stream, for scripted providers."""

from __future__ import annotations

import asyncio
import json
import threading

from tests.loopback import chunk, post, stream_head, until

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2024-08-06"}
USAGE = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
WORDS = ["Tides ", "are ", "high", "."]
CHARACTERS = sum(map(len, WORDS))


def event(payload: object) -> bytes:
    return b"data: " + json.dumps(payload, separators=(",", ":")).encode() + b"\n\n"


def events(*, usage: bool) -> list[bytes]:
    """The events of one stream; with ``usage`` as ``stream_options.include_usage`` makes them."""
    null = {"usage": None} if usage else {}
    deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in WORDS), {}]
    chunks = [
        HEAD | {"choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}]} | null
        for delta in deltas
    ]
    if usage:
        chunks.append(HEAD | {"choices": [], "usage": USAGE})
    return [*map(event, chunks), b"data: [DONE]\n\n"]


def asking(*headers: str, path: str = "/v1/chat/completions", **members: object) -> bytes:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "How are the tides?"}], "stream": True}
    return post(path, json.dumps(body | members).encode(), *headers)


EVENTS = events(usage=True)
SHOWN = events(usage=False)
SHOWN_AT = [*SHOWN[:-1], b"", SHOWN[-1]]  # what the client sees of each of EVENTS
PLAIN = json.dumps({"id": "c", "model": "gpt-4o", "choices": [], "usage": USAGE}).encode()
CHAT = post("/v1/chat/completions", b'{"model":"gpt-4o","messages":[{"role":"user","content":"Tides?"}]}')
GET = b"GET /openai/v1/files HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n"


class Steps:
    """A provider that sends one event after the other, each when the test says so."""

    def __init__(self, events=EVENTS) -> None:
        self.events = events
        self.go = [threading.Event() for _ in range(len(events) + 1)]
        self.gone = threading.Event()

    async def __call__(self, seen, writer):
        left = asyncio.ensure_future(seen.gone())
        left.add_done_callback(lambda left: left.cancelled() or self.gone.set())
        writer.write(stream_head())
        for go, each in zip(self.go, [*self.events, b""], strict=True):
            await until(go)
            writer.write(chunk(each))
            await writer.drain()
        left.cancel()
        await asyncio.wait([left])

    def run_on(self) -> None:
        for go in self.go:
            go.set()
