"""No bytes make a reader raise; what was read stays within its bounds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.registry import SURFACES
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
@given(data=st.data())
def test_damaged_fixtures(path: Path, data: st.DataObject) -> None:
    body = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut", "double"]))
        if kind == "flip":
            body[at] ^= data.draw(st.integers(1, 255))
        elif kind == "cut":
            del body[at : at + data.draw(st.integers(0, 20))]
            body = body or bytearray(b"x")
        else:
            body[at:at] = body[at : at + 30]
    taking = reader(path)
    size = data.draw(st.integers(1, 200))
    for at in range(0, len(body), size):
        taking.feed(bytes(body[at : at + size]))
    assert "reader.failed" not in taking.close().flags


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = [
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
]


@pytest.mark.parametrize("name", METERED)
@given(st.lists(st.dictionaries(st.sampled_from(MEMBERS), ODD, max_size=6), min_size=1, max_size=3), st.booleans())
def test_members_of_every_type_lose_no_usage(name: str, chunks: list[dict[str, object]], streamed: bool) -> None:
    stated = (
        {"input_tokens": 11, "output_tokens": 3}
        if name == "openai.responses"
        else {"prompt_tokens": 11, "completion_tokens": 3}
    )
    last = {**chunks[-1], "usage": stated}
    if name == "openai.responses" and streamed:
        last = {"type": "response.completed", "response": last}
    events = [*chunks[:-1], last]
    if streamed and name == "openai.embeddings":
        return
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) if streamed else json.dumps(last)
    taking = SURFACES[name].reader()
    taking.feed(body.encode())
    reading = taking.close()
    assert "reader.failed" not in reading.flags
    assert reading.usage is not None
    assert reading.usage.output_tokens == 3
