"""CPU time of reading one streamed event, and of stripping one: run ``python -m bench.wire``.

Each figure is the best of several rounds, in microseconds of process time per event of about 250
bytes, fed as the network usually gives it: one event a piece, and three events a piece.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from proxy.wire.content import decoder, encoder
from proxy.wire.openai_chat import ChatReader
from proxy.wire.openai_embeddings import EmbeddingsReader
from proxy.wire.openai_responses import ResponsesReader
from proxy.wire.openai_strip import UsageStripper
from proxy.wire.splice import CodedStripper
from proxy.wire.sse import Framer

EVENTS = 3000
ROUNDS = 7


def _chat(word: str, *, asked: bool) -> bytes:
    chunk: dict[str, object] = {
        "id": "chatcmpl-Bx3kq0aZ8mQ2",
        "object": "chat.completion.chunk",
        "created": 1763900000,
        "model": "gpt-5.1-2025-11-13",
        "service_tier": "default",
        "system_fingerprint": None,
        "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}],
    }
    if asked:
        chunk["usage"] = None
    chunk["obfuscation"] = "x" * 12
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _responses(word: str) -> bytes:
    event = {
        "type": "response.output_text.delta",
        "sequence_number": 12,
        "item_id": "msg_68f0c2a1b4e8819",
        "output_index": 0,
        "content_index": 0,
        "delta": word,
        "logprobs": [],
        "obfuscation": "x" * 48,
    }
    return b"event: response.output_text.delta\ndata: " + json.dumps(event).encode() + b"\n\n"


def measure(name: str, make: Callable[[], Callable[[bytes], object]], pieces: list[bytes], events: int) -> None:
    best = min(_round(make(), pieces) for _ in range(ROUNDS))
    print(f"{name:<44} {best / events / 1000:7.2f} µs per event")


def _round(feed: Callable[[bytes], object], pieces: list[bytes]) -> int:
    begun = time.process_time_ns()
    for piece in pieces:
        feed(piece)
    return time.process_time_ns() - begun


def _frame_only() -> Callable[[bytes], object]:
    framer = Framer()
    return framer.payloads


def _decode_only(name: bytes) -> Callable[[], Callable[[bytes], object]]:
    def make() -> Callable[[bytes], object]:
        coding = decoder(name)
        assert coding is not None
        return coding.feed

    return make


def _strip_coded(name: bytes) -> Callable[[], Callable[[bytes], object]]:
    def make() -> Callable[[bytes], object]:
        coding = decoder(name)
        assert coding is not None
        return CodedStripper(name, coding, UsageStripper(), len).feed

    return make


def main() -> None:
    plain = [_chat(f" word{number % 97}", asked=False) for number in range(EVENTS)]
    asked = [_chat(f" word{number % 97}", asked=True) for number in range(EVENTS)]
    typed = [_responses(f" word{number % 97}") for number in range(EVENTS)]
    threes = [b"".join(plain[start : start + 3]) for start in range(0, EVENTS, 3)]
    halves = [half for event in plain for half in (event[:120], event[120:])]
    carriage = [event.replace(b"\n", b"\r\n") for event in plain]
    print(f"event sizes: chat {len(plain[0])} B, asked for usage {len(asked[0])} B, responses {len(typed[0])} B")
    measure("frame and payload only", _frame_only, plain, EVENTS)
    measure("chat reader, one event a piece", lambda: ChatReader().feed, plain, EVENTS)
    measure("chat reader, three events a piece", lambda: ChatReader().feed, threes, EVENTS)
    measure("chat reader, half an event a piece", lambda: ChatReader().feed, halves, EVENTS)
    measure("chat reader, CRLF", lambda: ChatReader().feed, carriage, EVENTS)
    measure("responses reader", lambda: ResponsesReader().feed, typed, EVENTS)
    measure("stripper, nothing asked", lambda: UsageStripper().feed, plain, EVENTS)
    measure("stripper, a null usage each", lambda: UsageStripper().feed, asked, EVENTS)
    for name in (b"gzip", b"br", b"zstd"):
        coder = encoder(name)
        assert coder is not None
        coded = [coder.feed(event) for event in plain]
        measure(f"decoding {name.decode()} alone", _decode_only(name), coded, EVENTS)
        measure(f"stripper, {name.decode()}, nothing there", _strip_coded(name), coded, EVENTS)
        coder = encoder(name)
        assert coder is not None
        measure(f"stripper, {name.decode()}, a null usage each", _strip_coded(name), [*map(coder.feed, asked)], EVENTS)
    vectors = b'{"object":"list","data":[[' + b"0.0123456," * 4_000_000 + b'1]],"usage":{"prompt_tokens":9}}'
    chunks = [vectors[start : start + 65536] for start in range(0, len(vectors), 65536)]
    best = min(_round(EmbeddingsReader().feed, chunks) for _ in range(3))
    print(f"{'embeddings reply of 40 MB':<44} {best / len(vectors):7.2f} ms per MB")


if __name__ == "__main__":
    main()
