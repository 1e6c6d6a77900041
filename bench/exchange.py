"""What is sent and answered in the benchmark: a 2 kB question, a 1.2 kB reply, a stream of 250-byte chunks."""

import json
import re
from dataclasses import dataclass

CANNED_MODEL = "gpt-4o-mini"
PACED_MODEL = "gpt-4o"
MARK = re.compile(rb"@(\d+)@")  # the moment a chunk was sent, monotonic nanoseconds, inside its content

_PROSE = "The meter by the door turns slowly at night and quickly at noon, and nobody in the house has ever read it. "


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a stream is to come; it travels in the question's text, which every proxy passes on."""

    interval_ms: int
    chunks: int


def read_pace(body: bytes) -> Pace:
    match = re.search(rb"pace (\d+) (\d+)", body)
    if match is None:
        raise ValueError("the question does not say its pace")
    return Pace(interval_ms=int(match[1]), chunks=int(match[2]))


def question(*, pace: Pace | None = None, asks_for_usage: bool = False) -> bytes:
    """A chat completion request of about 2 kB; with a pace it asks for a stream."""
    body = {
        "model": CANNED_MODEL if pace is None else PACED_MODEL,
        "messages": [
            {"role": "system", "content": f"pace {pace.interval_ms} {pace.chunks}" if pace else "Answer briefly."},
            {"role": "user", "content": (_PROSE * 18)[:1800]},
        ],
        "temperature": 0.2,
    }
    if pace:
        body["stream"] = True
        if asks_for_usage:
            body["stream_options"] = {"include_usage": True}
    return json.dumps(body).encode()


def reply() -> bytes:
    """A chat completion of about 1.2 kB."""
    body = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": f"{CANNED_MODEL}-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": (_PROSE * 6)[:640], "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 402,
            "completion_tokens": 148,
            "total_tokens": 550,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }
    return json.dumps(body).encode()


def chunk(*, sent_ns: int, usage_member: bool) -> bytes:
    """One event of a stream, about 250 bytes, marked with the moment it is sent."""
    usage = ',"usage":null' if usage_member else ""
    content = f"@{sent_ns}@ joule"
    return (
        f'data: {{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1790000000,'
        f'"model":"{PACED_MODEL}-2024-08-06","service_tier":"default","system_fingerprint":"fp_0123456789",'
        f'"choices":[{{"index":0,"delta":{{"content":"{content}"}},"logprobs":null,"finish_reason":null}}]{usage}}}\n\n'
    ).encode()


def stream_end(*, chunks: int, usage_member: bool) -> bytes:
    """The last events: the finish reason, the usage if it was asked for, and the end mark."""
    head = (
        '"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1790000000,'
        f'"model":"{PACED_MODEL}-2024-08-06","service_tier":"default","system_fingerprint":"fp_0123456789"'
    )
    null = ',"usage":null' if usage_member else ""
    events = f'data: {{{head},"choices":[{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"stop"}}]{null}}}\n\n'
    if usage_member:
        usage = f'{{"prompt_tokens":402,"completion_tokens":{chunks},"total_tokens":{402 + chunks}}}'
        events += f'data: {{{head},"choices":[],"usage":{usage}}}\n\n'
    return (events + "data: [DONE]\n\n").encode()
