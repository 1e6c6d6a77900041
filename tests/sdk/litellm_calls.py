"""What users of LiteLLM's SDK do, in a process of its own: one wish a line as JSON on stdin, what they see on stdout.

Started by test_litellm.py. The SDK is never imported beside the tests, and finds no key and no list to fetch here.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from proxy.translation.surroundings import close_off

close_off(os.environ)

import litellm  # noqa: E402

litellm.suppress_debug_info = True
ITS_OWN = {"id", "created", "created_at"}  # made up by the SDK itself, where it translates


def messages(name: str) -> list[dict[str, object]]:
    asked = {"role": "user", "content": "How is the weather in Oslo?"}
    if name == "tool_answered":
        called = {
            "id": "call_1",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'},
        }
        answer = {"role": "tool", "tool_call_id": "call_1", "content": "Rain, 7 degrees."}
        return [asked, {"role": "assistant", "content": None, "tool_calls": [called]}, answer]
    return [
        asked if name.startswith("tool") else {"role": "user", "content": "Tell me about tidal power, café by café."}
    ]


PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Tell it.", "parameters": PARAMETERS}}]


async def act(name: str, to: dict[str, Any]) -> object:
    """Do one thing and give all that its user sees."""
    if name == "embeddings":
        return shown(await litellm.aembedding(input=["tide", "wind over the sea"], **to))
    if name == "response":
        return shown(await litellm.aresponses(input="Tell me about tides.", **to))
    if name == "response_streamed":
        return [shown(event) async for event in await litellm.aresponses(input="Tides?", stream=True, **to)]
    if name.startswith("tool"):
        to["tools"] = TOOLS
    if not name.endswith("streamed") and name != "left":
        return shown(await litellm.acompletion(messages=messages(name), **to))
    stream = await litellm.acompletion(
        messages=messages(name), stream=True, stream_options={"include_usage": True}, **to
    )
    if name != "left":
        return [shown(chunk) async for chunk in stream]
    some = asyncio.Event()
    reading = asyncio.create_task(begin(stream, some))
    await some.wait()
    reading.cancel()  # as a request that is cancelled leaves
    await asyncio.wait([reading])
    return "left"


async def begin(stream: Any, some: asyncio.Event) -> None:
    """Read a stream and say when four chunks have come."""
    seen = 0
    async for _ in stream:
        seen += 1
        if seen == 4:
            some.set()


def shown(reply: Any) -> object:
    """All of a reply but for what the SDK makes up."""
    return without_its_own(json.loads(reply.model_dump_json()))


def without_its_own(value: object) -> object:
    if isinstance(value, dict):
        return {name: without_its_own(each) for name, each in value.items() if name not in ITS_OWN}
    return [without_its_own(each) for each in value] if isinstance(value, list) else value


async def failing(name: str, to: dict[str, Any]) -> object:
    try:
        return await act(name, to)
    except Exception as error:
        return {"error": type(error).__name__, "status": getattr(error, "status_code", None)}


async def serve() -> None:
    for line in iter(sys.stdin.readline, ""):
        wish = json.loads(line)
        sys.stdout.write(json.dumps(await failing(wish.pop("call"), wish)) + "\n")
        sys.stdout.flush()


asyncio.run(serve())
