"""Calls in OpenAI's format through the real SDK to providers that speak their own, scripted byte for byte."""

from __future__ import annotations

import json

import pytest

from tests.loopback import chunk, reply, says, stream_head
from tests.translation.conftest import OPERATORS, Translating
from tests.wire.aws_messages import event

pytestmark = pytest.mark.heavy

ASK = [{"role": "user", "content": "How are the tides?"}]
CONVERSE_USAGE = {
    "inputTokens": 10, "outputTokens": 3, "totalTokens": 33, "cacheReadInputTokens": 12, "cacheWriteInputTokens": 8,
}  # fmt: skip
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "High."}]}},
    "stopReason": "end_turn",
    "usage": CONVERSE_USAGE,
    "metrics": {"latencyMs": 5},
}
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "High."}], "stop_sequence": None,
    "usage": {"input_tokens": 10, "output_tokens": 3, "cache_read_input_tokens": 12, "cache_creation_input_tokens": 8},
}  # fmt: skip
GENERATED = {
    "candidates": [{"content": {"parts": [{"text": "High."}], "role": "model"}, "finishReason": "STOP", "index": 0}],
    "usageMetadata": {
        "promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 5, "totalTokenCount": 18,
    },
    "modelVersion": "gemini-2.5-flash",
    "responseId": "r1",
}  # fmt: skip


def as_json(value: object, *headers: str, **said: str) -> bytes:
    return reply(json.dumps(value).encode(), *headers, **said)


def sse(*events: dict[str, object], content_type: str = "text/event-stream") -> bytes:
    """A whole stream of server-sent events, one to a chunk."""
    parts = []
    for each in events:
        name = f"event: {each['type']}\n" if "type" in each else ""
        parts.append(chunk(f"{name}data: {json.dumps(each)}\n\n".encode()))
    return stream_head(content_type=content_type) + b"".join(parts) + chunk(b"")


def message_events() -> list[dict[str, object]]:
    start = MESSAGE | {"content": [], "stop_reason": None, "usage": MESSAGE["usage"] | {"output_tokens": 1}}
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "gh."}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": MESSAGE["usage"],
        },
        {"type": "message_stop"},
    ]


PLAIN = {
    "claude-bedrock": as_json(CONVERSE, "x-amzn-requestid: req-9"),
    "claude-translated": as_json(MESSAGE, "request-id: req-9"),
    "gemini-translated": as_json(GENERATED),
}
STREAMED = {
    "claude-bedrock": stream_head(content_type="application/vnd.amazon.eventstream")
    + b"".join(
        chunk(event(kind, said))
        for kind, said in (
            ("messageStart", {"role": "assistant"}),
            ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}}),
            ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "gh."}}),
            ("contentBlockStop", {"contentBlockIndex": 0}),
            ("messageStop", {"stopReason": "end_turn"}),
            ("metadata", {"usage": CONVERSE_USAGE, "metrics": {"latencyMs": 5}}),
        )
    )
    + chunk(b""),
    "claude-translated": sse(*message_events()),
    "gemini-translated": sse(
        GENERATED | {"candidates": [{"content": {"parts": [{"text": "Hi"}], "role": "model"}, "index": 0}]},
        GENERATED | {"candidates": [{**GENERATED["candidates"][0], "content": {"parts": [{"text": "gh."}]}}]},
    ),
}
# What the provider stated: input with what was read from and written to a cache, and output with reasoning.
COUNTS = {
    "claude-bedrock": {"input": 30, "cached_input": 12, "cache_write": 8, "output": 3},
    "claude-translated": {"input": 30, "cached_input": 12, "cache_write": 8, "output": 3},
    "gemini-translated": {"input": 10, "output": 8, "reasoning": 5},
}
PROVIDERS = {
    "claude-bedrock": ("bedrock", "anthropic.claude-sonnet-4-6"),
    "claude-translated": ("anthropic", "claude-sonnet-4-6"),
    "gemini-translated": ("gemini", "gemini-2.5-flash"),
}


def check_row(row: dict[str, object], model: str, *, stream: bool) -> None:
    assert (row["provider"], row["model"]) == PROVIDERS[model]
    assert (row["surface"], row["outcome"], row["status"]) == ("openai.chat", "ok", 200)
    assert (row["usage_source"], bool(row["stream"]), row["team"]) == ("reported", stream, "search")
    assert json.loads(str(row["flags"])) == ["translated"]
    counts = {name: row[f"{name}_tokens"] for name in COUNTS[model]}
    assert counts == COUNTS[model]
    assert row["cost_usd"] is not None
    assert row["joules"] is not None


@pytest.mark.parametrize("model", PLAIN)
def test_a_plain_call_is_answered_in_openais_format_and_metered(translating: Translating, model: str) -> None:
    translating.says(says(PLAIN[model]))
    reply = translating.client.chat.completions.with_raw_response.create(model=model, messages=ASK)
    completion = reply.parse()
    assert completion.choices[0].message.content == "High."
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.total_tokens == COUNTS[model]["input"] + COUNTS[model]["output"]
    assert "x-joulegate-cost-usd" in reply.headers
    row = translating.row()
    check_row(row, model, stream=False)
    assert row["provider_request_id"] == ("r1" if model == "gemini-translated" else "req-9")
    assert reply.headers["x-joulegate-call-id"] == row["id"]


def test_the_operators_credential_goes_to_the_provider_and_nothing_of_the_clients(translating: Translating) -> None:
    for model in PLAIN:
        translating.says(says(PLAIN[model]))
        translating.client.chat.completions.create(
            model=model, messages=ASK, user="ada", metadata={"a": "b"}, extra_headers={"x-secret-of-mine": "yes"}
        )
        head = translating.seen.head.lower()
        assert KEY_OF[model] in head
        assert b"x-secret-of-mine" not in head
        assert b"jg-" not in head
        assert b"x-joulegate" not in head
        row = translating.row()
        assert row["user"] == "ada"


KEY_OF = {
    "claude-bedrock": b"credential=akidexample/",
    "claude-translated": b"x-api-key: " + OPERATORS.encode(),
    "gemini-translated": b"x-goog-api-key: " + OPERATORS.encode(),
}


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("model", STREAMED)
def test_a_stream_is_translated_chunk_by_chunk(translating: Translating, model: str, wanted: bool) -> None:
    translating.says(says(STREAMED[model]))
    options = {"stream_options": {"include_usage": True}} if wanted else {}
    with translating.client.chat.completions.create(model=model, messages=ASK, stream=True, **options) as stream:
        chunks = list(stream)
    text = "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)
    assert text == "High."
    assert [c.finish_reason for each in chunks for c in each.choices if c.finish_reason] == ["stop"]
    usages = [each.usage for each in chunks if each.usage is not None]
    assert [usage.completion_tokens for usage in usages] == ([COUNTS[model]["output"]] if wanted else [])
    assert all(each.choices for each in chunks) is not wanted  # the chunk with the usage alone was asked for, or not
    check_row(translating.row(), model, stream=True)


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TOOL_REPLIES = {
    "claude-bedrock": CONVERSE
    | {
        "stopReason": "tool_use",
        "output": {
            "message": {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Oslo"}}}],
            }
        },
    },
    "claude-translated": MESSAGE
    | {
        "stop_reason": "tool_use",
        "content": [{"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}}],
    },
    "gemini-translated": GENERATED
    | {
        "candidates": [
            {
                "content": {
                    "parts": [{"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}],
                    "role": "model",
                },
                "finishReason": "STOP",
                "index": 0,
            }
        ]
    },
}
TOOL_MEMBERS = {
    "claude-bedrock": "toolSpec",
    "claude-translated": "input_schema",
    "gemini-translated": "function_declarations",
}


@pytest.mark.parametrize("model", TOOL_REPLIES)
def test_tools_are_translated_there_and_back(translating: Translating, model: str) -> None:
    translating.says(says(as_json(TOOL_REPLIES[model])))
    client = translating.client
    first = client.chat.completions.create(model=model, messages=ASK, tools=[WEATHER])
    message = first.choices[0].message
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Oslo"})
    assert first.choices[0].finish_reason == "tool_calls"
    assert TOOL_MEMBERS[model].encode() in translating.seen.body
    check_row(translating.row(), model, stream=False)
    translating.says(says(PLAIN[model]))
    answer = {"role": "tool", "tool_call_id": call.id, "content": "12 degrees, https://example.com has more"}
    second = client.chat.completions.create(model=model, messages=[*ASK, message, answer], tools=[WEATHER])
    assert second.choices[0].message.content == "High."
    assert b"12 degrees" in translating.seen.body
    check_row(translating.row(), model, stream=False)
