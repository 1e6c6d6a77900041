"""No bytes make a reader raise; what was read stays within its bounds."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.registry import SURFACES
from tests.wire import aws_messages
from tests.wire.fixture_files import NAMES, REPLIES, reader

FRAGMENTS = st.sampled_from(
    [
        b"data: ",
        b"data:",
        b"\n",
        b"\n\n",
        b"\r\n\r\n",
        b"\r",
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b",",
        b":",
        b"null",
        b"NaN",
        b"1e999",
        b'"usage":',
        b'"choices":',
        b'{"delta":',
        b'"content":',
        b'"x"',
        b"[DONE]",
        b'"model":',
        b'"response":',
        b'"type":',
        b'"prompt_tokens":',
        b'"index":',
        b"-1",
        b"9" * 30,
        b"\\ud800",
        b"\xff",
        b"\xef\xbb\xbf",
        b"event: error\n",
        b": ping\n",
        b'{"choices":[{"delta":{"content":"a"}}]}',
        b'{"usage":{"prompt_tokens":3}}',
        b'{"error":{}}',
        b'"tool_calls":[1,null,{}]',
        b'{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}',
        b'"usageMetadata":',
        b'{"type":"message_start","message":{"usage":{"input_tokens":3}}}',
        b'"iterations":[{"type":"fallback_message"},1]',
        b'{"predictions":[',
        b'{"custom_id":"0","result":{"message":{"usage":{"input_tokens":3}}}}',
        aws_messages.event("metadata", {"usage": {"inputTokens": 3}}),
        aws_messages.chunk({"delta": {"text": "a"}}),
        aws_messages.exception("x", {}),
        b'{"event_type":"stream-end","response":{"meta":{"tokens":{}}}}',
        b'"message":{"content":[{"text":"a"}]}',
    ]
)
METERED = [name for name, surface in SURFACES.items() if surface.metered]


@pytest.mark.parametrize("name", METERED)
@given(st.lists(FRAGMENTS | st.binary(max_size=8), max_size=40))
def test_grammar_in_disorder(name: str, pieces: list[bytes]) -> None:
    taking = SURFACES[name].reader()
    for piece in pieces:
        taking.feed(piece)
    reading = taking.close()
    assert "reader.failed" not in reading.flags
    assert len(reading.text) <= reading.text_characters


@pytest.mark.parametrize("path", REPLIES, ids=NAMES)
@settings(max_examples=25)
@given(st.integers(0, 2**64 - 1))
def test_damaged_fixtures(path: Path, seed: int) -> None:
    chance = random.Random(seed)  # to draw it all from hypothesis takes longer than to read what comes of it
    body = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 4)):
        at = min(max(chance.randint(-9, len(body) + 9), 0), len(body) - 1)  # both ends more often
        kind = chance.choice(("flip", "cut", "double"))
        if kind == "flip":
            body[at] ^= chance.randint(1, 255)
        elif kind == "cut":
            del body[at : at + chance.randint(0, 20)]
            body = body or bytearray(b"x")
        else:
            body[at:at] = body[at : at + 30]
    taking = reader(path)
    size = chance.randint(1, 200)
    for at in range(0, len(body), size):
        taking.feed(bytes(body[at : at + size]))
    assert "reader.failed" not in taking.close().flags


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = [
    "candidates",
    "modelVersion",
    "promptFeedback",
    "interaction",
    "content_block",
    "deployedModelId",
    "id",
    "model",
    "usage",
    "choices",
    "x_groq",
    "timings",
    "service_tier",
    "error",
    "type",
    "delta",
    "response",
    "code",
    "output",
    "tool_usage",
    "message",
    "metadata",
    "trace",
    "start",
    "results",
    "amazon-bedrock-trace",
    "event_type",
    "meta",
    "text",
    "token_count",
    "done",
    "eval_duration",
    "token",
    "details",
    "content",
]
Said = dict[str, object]


def sse(events: list[Said]) -> bytes:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()


def responses(events: list[Said]) -> bytes:
    return sse([*events[:-1], {"type": "response.completed", "response": events[-1]}])


def converse(events: list[Said]) -> bytes:
    return b"".join(aws_messages.event("some", event) for event in events)


def interaction(events: list[Said]) -> bytes:
    return sse([*events[:-1], {"event_type": "interaction.completed", "interaction": events[-1]}])


def array(events: list[Said]) -> bytes:
    return json.dumps(events).encode()


def invoke(events: list[Said]) -> bytes:
    return b"".join(map(aws_messages.chunk, events))


def message_end(events: list[Said]) -> bytes:
    return sse([*events[:-1], {"type": "message-end", "delta": events[-1]}])


def stream_end(events: list[Said]) -> bytes:
    return ndjson([*events[:-1], {"event_type": "stream-end", "response": events[-1]}])


def ndjson(events: list[Said]) -> bytes:
    return "".join(json.dumps(event) + "\n" for event in events).encode()


# How each format says that 3 tokens were written, or read where nothing is, and how it streams (None: it does not).
CHAT: Said = {"usage": {"prompt_tokens": 11, "completion_tokens": 3}}
FORMS: dict[str, tuple[Said, Callable[[list[Said]], bytes] | None]] = {
    "openai.responses": ({"usage": {"input_tokens": 11, "output_tokens": 3}}, responses),
    "openai.embeddings": (CHAT, None),
    "anthropic.messages": ({"usage": {"input_tokens": 11, "output_tokens": 3}}, sse),
    "gemini.generate_content": ({"usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 3}}, array),
    "gemini.embed_content": ({"usageMetadata": {"promptTokenCount": 3}}, None),
    "gemini.interactions": ({"usage": {"total_input_tokens": 11, "total_output_tokens": 3}}, interaction),
    "vertex.predict": ({"predictions": [{"embeddings": {"statistics": {"token_count": 3}}}]}, None),
    "bedrock.converse": ({"usage": {"inputTokens": 11, "outputTokens": 3}}, converse),
    "bedrock.invoke": ({"usage": {"input_tokens": 11, "output_tokens": 3}}, invoke),
    "cohere.chat": ({"usage": {"tokens": {"input_tokens": 11, "output_tokens": 3}}}, message_end),
    "cohere.generate": ({"meta": {"billed_units": {"input_tokens": 11, "output_tokens": 3}}}, stream_end),
    "cohere.embed": ({"meta": {"billed_units": {"input_tokens": 3}}}, None),
    "cohere.rerank": ({"usage": {"prompt_tokens": 3}}, None),
    "ollama.chat": ({"prompt_eval_count": 11, "eval_count": 3}, ndjson),
    "ollama.generate": ({"prompt_eval_count": 11, "eval_count": 3}, ndjson),
    "ollama.embed": ({"prompt_eval_count": 3}, None),
    "engine.generate": ({"index": 0, "meta_info": {"prompt_tokens": 11, "completion_tokens": 3}}, sse),
    "watsonx.text": ({"results": [{"input_token_count": 11, "generated_token_count": 3}]}, sse),
    "cloudflare.run": ({"response": "", **CHAT}, sse),
    "voyage.embeddings": ({"usage": {"total_tokens": 3}}, None),
    "llamacpp.completion": ({"meta_info": None, "details": None, "index": 0, "tokens_predicted": 3}, sse),
}

STATE_NONE = {"anthropic.complete", "vertex.predict_long_running"}


# Where a stream has usage only in its last event, that event is the one with the odd name.
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", [name for name in METERED if name not in STATE_NONE])
def test_half_a_surrogate_in_the_name_of_a_member_loses_no_usage(name: str, streamed: bool) -> None:
    stated, stream = FORMS.get(name, (CHAT, sse))
    event = {"\ud800": 1, **stated}
    body = stream([event]) if streamed and stream is not None else json.dumps(event).encode()
    taking = SURFACES[name].reader()
    taking.feed(body)
    reading = taking.close()
    assert not {"reader.failed", "event.malformed"} & set(reading.flags)
    assert reading.usage is not None
    assert 3 in (reading.usage.output_tokens, reading.usage.input_tokens)


@pytest.mark.parametrize("name", [name for name in METERED if name not in STATE_NONE])
@given(st.lists(st.dictionaries(st.sampled_from(MEMBERS), ODD, max_size=6), min_size=1, max_size=3), st.booleans())
def test_members_of_every_type_lose_no_usage(name: str, chunks: list[Said], streamed: bool) -> None:
    stated, stream = FORMS.get(name, (CHAT, sse))
    events = [*chunks[:-1], {**chunks[-1], **stated}]
    if streamed and stream is None:
        return
    body = stream(events) if streamed and stream is not None else json.dumps(events[-1]).encode()
    taking = SURFACES[name].reader()
    taking.feed(body)
    reading = taking.close()
    assert "reader.failed" not in reading.flags
    assert reading.usage is not None
    assert 3 in (reading.usage.output_tokens, reading.usage.input_tokens)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100])
@pytest.mark.parametrize("name", [name for name in METERED if name not in STATE_NONE])
def test_what_stands_in_front_of_a_reply_is_skipped_in_whatever_pieces_it_comes(name: str, size: int) -> None:
    body = b"\xef\xbb\xbf\r\n\xef\xbb\xbf " + json.dumps(FORMS.get(name, (CHAT, None))[0]).encode()
    taking = SURFACES[name].reader()
    for at in range(0, len(body), size):
        taking.feed(body[at : at + size])
    usage = taking.close().usage
    assert usage is not None
    assert 3 in (usage.output_tokens, usage.input_tokens)


READERS = [name for name, surface in SURFACES.items() if hasattr(surface.reader(), "places")]


@pytest.mark.parametrize(
    "odd", ["{}", "[]", "[[]]", "[{}]", "[null]", '{"":{}}', "0", "-1", "1.5", "true", "null", '""', '"x"']
)
@pytest.mark.parametrize("name", READERS)
def test_no_member_of_any_type_breaks_a_reader(name: str, odd: str) -> None:
    reader = SURFACES[name].reader()
    members = {member.decode() for member in getattr(reader, "members", ())} | set(MEMBERS)
    for member in sorted(members):
        for body in (
            f'{{"{member}":{odd}}}',
            f'{{"{member}":{odd},',  # cut off
            f'data: {{"{member}":{odd}}}\n\n',
            f'[{{"{member}":{odd}}}]',
            f'{{"predictions":[{{"{member}":{odd}}}]}}',
        ):
            taking = SURFACES[name].reader()
            taking.feed(body.encode())
            assert "reader.failed" not in taking.close().flags, body
        for message in (
            aws_messages.event("x", {member: json.loads(odd)}),
            aws_messages.chunk({member: json.loads(odd)}),
        ):
            taking = SURFACES[name].reader()
            taking.feed(message)
            assert "reader.failed" not in taking.close().flags, message


@pytest.mark.parametrize("behind", [b"\0", b"x", b"{", b"}", b'\n{"usage":{"prompt_tokens":1,"completion_tokens":1}}'])
@pytest.mark.parametrize("name", [name for name in METERED if name not in STATE_NONE])
def test_what_stands_behind_a_document_loses_no_usage(name: str, behind: bytes) -> None:
    stated, _ = FORMS.get(name, (CHAT, None))
    taking = SURFACES[name].reader()
    taking.feed(json.dumps(stated).encode() + behind)
    usage = taking.close().usage
    assert usage is not None
    assert 3 in (usage.output_tokens, usage.input_tokens)
