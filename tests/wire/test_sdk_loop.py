"""The official SDK's usual loop over ``chunk.choices[0]`` runs on a stripped stream as on a direct one."""

from __future__ import annotations

import json

import httpx2
import openai
import pytest

from proxy.wire.openai_strip import UsageStripper


def chunk(choices: list[object], **members: object) -> bytes:
    tree = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **members}
    return b"data: " + json.dumps(tree).encode() + b"\n\n"


def words(*, asked: bool) -> bytes:
    null = {"usage": None} if asked else {}
    body = b"".join(
        chunk([{"index": 0, "delta": {"content": word}, "finish_reason": None}], **null) for word in ("Hi", "!")
    )
    body += chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}], **null)
    if asked:
        body += chunk([], usage={"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7})
    return body + b"data: [DONE]\n\n"


def loop(body: bytes) -> str:
    reply = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)
    with (
        httpx2.Client(transport=httpx2.MockTransport(lambda request: reply)) as web,
        openai.OpenAI(api_key="k", base_url="http://test/v1", http_client=web) as client,
    ):
        stream = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}], stream=True)
        return "".join(part.choices[0].delta.content or "" for part in stream)


def test_the_loop_runs_on_a_stripped_stream() -> None:
    stripper = UsageStripper()
    seen = stripper.feed(words(asked=True)) + stripper.close()
    assert seen == words(asked=False)
    assert loop(seen) == loop(words(asked=False)) == "Hi!"


def test_the_loop_breaks_on_the_extra_chunk() -> None:
    """Why the chunk has to go."""
    with pytest.raises(IndexError):
        loop(words(asked=True))
