"""A chat stream as OpenAI sends it, for scripted providers."""

from __future__ import annotations

import json

from tests.loopback import post

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
