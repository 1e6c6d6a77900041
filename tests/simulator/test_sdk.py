"""The official SDK straight against the simulator: it understands all of it."""

import asyncio
import json
from collections.abc import Iterator

import openai
import pytest

from tests.sdk.calls import CALLS, asynchronously


@pytest.fixture
def client(simulator: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{simulator}/v1", api_key="sk-test", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("name", CALLS)
def test_every_call_gives_the_same_twice(client, name):
    assert CALLS[name](client) == CALLS[name](client)


def test_asynchronous_client(simulator):
    async def run() -> object:
        async with openai.AsyncOpenAI(base_url=f"{simulator}/v1", api_key="sk-test", max_retries=0) as client:
            return await asynchronously(client)

    whole, chunks, usage_chunks, events, kinds, vectors = asyncio.run(run())
    text = whole["choices"][0]["message"]["content"]
    assert "".join(piece or "" for piece, _ in chunks) == text
    assert usage_chunks[-1]["usage"] == whole["usage"]
    assert events[-1]["type"] == "response.completed"
    assert kinds[-1] == "tool_calls.function.arguments.done"
    assert len(vectors["data"][0]["embedding"]) == 1536


def test_tools_are_called_with_valid_arguments(client):
    first, second = CALLS["tool"](client)
    (choice,) = first["choices"]
    (called,) = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], called["function"]["name"]) == ("tool_calls", "get_weather")
    arguments = json.loads(called["function"]["arguments"])
    assert arguments.keys() == {"city", "days"}
    assert 1 <= arguments["days"] <= 7
    assert second["choices"][0]["finish_reason"] == "stop"
    assert second["choices"][0]["message"]["content"]


def test_streamed_tool_arguments_add_up(client):
    pieces = [
        call["function"]["arguments"] or ""
        for chunk in CALLS["tool_streamed"](client)
        for choice in chunk["choices"]
        for call in choice["delta"]["tool_calls"] or []
    ]
    assert len(pieces) > 3
    assert json.loads("".join(pieces)).keys() == {"city", "days"}


def test_a_response_streams_what_it_says_at_its_end(client):
    events = CALLS["response_streamed"](client)
    deltas = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    final = events[-1]["response"]
    assert [item["type"] for item in final["output"]] == ["reasoning", "message"]
    assert final["output"][1]["content"][0]["text"] == deltas
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    usage = final["usage"]
    reasoning = usage["output_tokens_details"]["reasoning_tokens"]
    text_events = sum(event["type"] == "response.output_text.delta" for event in events)
    assert usage["output_tokens"] == reasoning + text_events
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def test_a_response_at_its_limit_is_incomplete(client):
    reply = CALLS["response_cut_short"](client)
    assert reply["status"] == "incomplete"
    assert reply["incomplete_details"] == {"reason": "max_output_tokens"}
    assert reply["usage"]["output_tokens"] == 16


def test_errors_become_the_sdks_own(client):
    names = [kind[0] for kind in CALLS["refused"](client)]
    assert names == [
        "BadRequestError",
        "AuthenticationError",
        "PermissionDeniedError",
        "NotFoundError",
        "ConflictError",
        "UnprocessableEntityError",
        "RateLimitError",
        "InternalServerError",
        "InternalServerError",
    ]


def test_embeddings_are_unit_vectors(client):
    reply = CALLS["embeddings_as_floats"](client)
    (vector,) = (one["embedding"] for one in reply["data"])
    assert len(vector) == 256
    assert sum(number * number for number in vector) == pytest.approx(1, abs=1e-5)
    assert reply["usage"] == {"prompt_tokens": 1, "total_tokens": 1}
