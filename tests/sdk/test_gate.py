"""Users of the official SDK see through the gate what they see without it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import openai
import pytest

from proxy.call import Closed
from tests.sdk.calls import ASK, CALLS, asynchronously
from tests.simulator.raw import request


@pytest.fixture
def clients(way) -> Iterator[tuple[openai.OpenAI, openai.OpenAI]]:
    with (
        openai.OpenAI(base_url=f"{way.direct}/v1", api_key="sk-test", max_retries=0) as direct,
        openai.OpenAI(base_url=f"{way.gate.url}/v1", api_key="sk-test", max_retries=0) as through_gate,
    ):
        yield direct, through_gate


@pytest.mark.parametrize("name", CALLS)
def test_the_sdk_sees_the_same(clients, name):
    direct, through_gate = clients
    assert CALLS[name](through_gate) == CALLS[name](direct)


def test_the_asynchronous_sdk_sees_the_same(way):
    async def run(url: str) -> object:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-test", max_retries=0) as client:
            return await asynchronously(client)

    assert asyncio.run(run(way.gate.url)) == asyncio.run(run(way.direct))


@pytest.mark.parametrize("asked", [{}, {"stream_options": {"include_usage": False}}, {"stream_options": {}}])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", {"model": "gpt-4o", "messages": ASK}),
        ("chat/completions", {"model": "gpt-4o", "messages": ASK, "n": 2, "max_tokens": 30}),
        ("chat/completions", {"model": "o3", "messages": ASK}),
        ("completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "One", "max_tokens": 30}),
    ],
)
def test_a_stream_that_was_not_asked_for_usage_is_metered_as_the_whole_reply_is(way, path, body, asked):
    stated = json.loads(request(way.direct, f"/v1/{path}", body).body)["usage"]
    (closed,) = _calls(way, path, body | asked | {"stream": True})
    assert (closed.outcome, closed.usage_source) == ("ok", "reported")
    assert (closed.usage.input_tokens, closed.usage.output_tokens) == (
        stated["prompt_tokens"],
        stated["completion_tokens"],
    )
    details = stated.get("completion_tokens_details", {})
    assert closed.usage.reasoning_tokens == details.get("reasoning_tokens")


@pytest.mark.parametrize(
    ("path", "body", "usage"),
    [
        ("chat/completions", {"model": "gpt-4o", "messages": ASK}, None),
        ("responses", {"model": "gpt-5", "input": "Tides"}, None),
        ("responses", {"model": "gpt-5", "input": "Tides", "stream": True}, None),
        ("embeddings", {"model": "text-embedding-3-small", "input": ["a", "b"]}, None),
        ("chat/completions", {"model": "mistral/mistral-small-latest", "messages": ASK, "stream": True}, "always"),
        ("chat/completions", {"model": "groq/llama-3.3-70b-versatile", "messages": ASK, "stream": True}, "x_groq"),
    ],
)
def test_what_a_provider_reports_is_metered(way, path, body, usage):
    plain = {key: value for key, value in body.items() if key != "stream"}
    plain["model"] = plain["model"].rpartition("/")[2]
    stated = json.loads(request(way.direct, f"/v1/{path}", plain).body)["usage"]
    (closed,) = _calls(way, path, body, {"x-simulate-usage": usage} if usage else {})
    assert (closed.outcome, closed.usage_source) == ("ok", "reported")
    taken_in = stated.get("prompt_tokens", stated.get("input_tokens"))
    given_out = stated.get("completion_tokens", stated.get("output_tokens", 0))
    assert (closed.usage.input_tokens, closed.usage.output_tokens or 0) == (taken_in, given_out)


def test_each_attempt_of_the_sdk_is_a_call(way, clients):
    before = len(_closed(way))
    CALLS["retried_after_a_rate_limit"](clients[1])
    calls = way.gate.closed(before + 3)[before:]
    assert [(call.outcome, call.status) for call in calls] == [("error", 429), ("error", 503), ("ok", 200)]
    assert [call.usage is None for call in calls] == [True, True, False]


@pytest.mark.parametrize("leave_after", range(12))
def test_a_client_that_leaves_after_any_chunk_is_one_call(way, clients, leave_after):
    """Eight tokens come in ten chunks, each some milliseconds after the other; the gate reads on to the usage."""
    before = len(_closed(way))
    headers = {"x-simulate-output-tokens": "8", "x-simulate-token-ms": "5"}
    stream = clients[1].chat.completions.create(model="gpt-4o", messages=ASK, stream=True, extra_headers=headers)
    for _ in zip(range(leave_after), stream, strict=False):
        pass
    stream.close()
    (call,) = way.gate.closed(before + 1)[before:]
    assert call.usage_source == "reported"
    assert call.usage.output_tokens == 8
    assert call.outcome in (("ok",) if leave_after > 10 else ("ok", "aborted"))


def _closed(way) -> list[Closed]:
    return [record for record in way.gate.records() if isinstance(record, Closed)]


def _calls(way, path: str, body: dict[str, object], headers: dict[str, str] | None = None) -> list[Closed]:
    """Send one request through the gate and give the calls that were written down for it."""
    before = len(_closed(way))
    reply = request(way.gate.url, f"/v1/{path}", body, headers=headers)
    assert reply.complete
    return way.gate.closed(before + 1)[before:]
