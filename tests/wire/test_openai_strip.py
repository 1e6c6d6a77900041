"""A stream that was asked for usage, stripped, is the stream that a direct call shows."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.wire.openai_strip import UsageStripper
from proxy.wire.sse import EVENT_LIMIT

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "prompt_tokens_details": {"cached_tokens": 0}}


def stripped(pieces: list[bytes]) -> bytes:
    stripper = UsageStripper()
    return b"".join([stripper.feed(piece) for piece in pieces]) + stripper.close()


def at_every_split(asked: bytes, direct: bytes) -> None:
    assert stripped([asked]) == direct
    for at in range(len(asked) + 1):
        assert stripped([asked[:at], asked[at:]]) == direct, f"split at byte {at}"
    assert stripped([asked[at : at + 1] for at in range(len(asked))]) == direct


def compact(tree: object) -> str:
    return json.dumps(tree, separators=(",", ":"), ensure_ascii=False)


def test_the_usual_stream() -> None:
    def stream(member: str) -> str:
        chunk = '{"id":"c","choices":[{"index":0,"delta":{"content":"%s"}}]%s,"obfuscation":"x"}'
        return "".join(f"data: {chunk % (word, member)}\n\n" for word in ("a", "b"))

    last = "data: " + compact({"id": "c", "choices": [], "usage": USAGE, "obfuscation": "yy"}) + "\n\n"
    done = "data: [DONE]\n\n"
    at_every_split((stream(',"usage":null') + last + done).encode(), (stream("") + done).encode())


def test_usage_that_comes_with_the_text_is_stated_unasked_and_stays() -> None:
    def event(word: str, tokens: int) -> str:
        choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
        return "data: " + compact({"choices": [choice], "usage": {"completion_tokens": tokens}}) + "\n\n"

    last = "data: " + compact({"choices": [], "usage": USAGE}) + "\n\ndata: [DONE]\n\n"
    stream = (event("a", 1) + event("b", 2) + last).encode()
    at_every_split(stream, stream)
    begun = compact({"choices": [{"delta": {"role": "assistant", "content": ""}}], "usage": {"completion_tokens": 0}})
    stream = f"data: {begun}\n\n".encode() + stream
    at_every_split(stream, stream)
    beside = compact({"choices": [{"index": 0, "delta": {}}], "usage": USAGE})  # the extra chunk, of one who errs
    assert b"usage" not in stripped([f"data: {beside}\n\n".encode()])
    ended = compact({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}], "usage": USAGE})
    assert b"usage" not in stripped([f"data: {ended}\n\n".encode()])


@pytest.mark.parametrize(
    ("event", "left"),
    [
        # The member, wherever it stands, with its comma.
        ('data: {"a":1,"usage":null}\n\n', 'data: {"a":1}\n\n'),
        ('data: {"usage":null,"a":1}\n\n', 'data: {"a":1}\n\n'),
        ('data: {"a":1, "usage" : null , "b":2}\n\n', 'data: {"a":1 , "b":2}\n\n'),
        ('data:{ "usage": null }\r\n\r\n', "data:{  }\r\n\r\n"),
        (
            'data: {"choices":[{"index":0}],"usage":{"prompt_tokens":1},"z":"é"}\n\n',
            'data: {"choices":[{"index":0}],"z":"é"}\n\n',
        ),
        (
            'data: {"p":{"usage":null},"usage":null,"q":{"usage":{"a":1}}}\n\n',
            'data: {"p":{"usage":null},"q":{"usage":{"a":1}}}\n\n',
        ),
        ('data: {"p":{"a":1,"usage":null},"usage":null}\n\n', 'data: {"p":{"a":1,"usage":null}}\n\n'),
        ('data: {"c":",\\"usage\\":null","usage":null}\n\n', 'data: {"c":",\\"usage\\":null"}\n\n'),
        (
            'event: e\nid: 1\ndata: {"a":1,\ndata:"usage":null,\ndata: "b":2}\n\n',
            'event: e\nid: 1\ndata: {"a":1,\ndata: "b":2}\n\n',
        ),
        # The extra chunk, with its blank line, but not the comments before it.
        ('data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n', ""),
        ('data: {"choices":null,"usage":{"prompt_tokens":1}}\n\n', ""),
        ('data: {"choices":[],"usage":{"prompt_tokens":1}}\r\n\r\n', ""),
        ('\n: ping\ndata: {"choices":[],"usage":{"prompt_tokens":1}}\n\n', "\n: ping\n"),
        # What asking did not add.
        (
            'data: {"choices":[],"prompt_filter_results":[],"usage":null}\n\n',
            'data: {"choices":[],"prompt_filter_results":[]}\n\n',
        ),
        ('data: {"choices":[],"prompt_filter_results":[]}\n\n', 'data: {"choices":[],"prompt_filter_results":[]}\n\n'),
        ('data: {"choices":[{"delta":{"usage":null}}]}\n\n', 'data: {"choices":[{"delta":{"usage":null}}]}\n\n'),
        ('data: {"x_groq":{"usage":{"prompt_tokens":1}}}\n\n', 'data: {"x_groq":{"usage":{"prompt_tokens":1}}}\n\n'),
        ('data: {"error":{"code":1},"choices":[],"usage":{"a":1}}\n\n', 'data: {"error":{"code":1},"choices":[]}\n\n'),
        ('data: {broken,"usage":null}\n\n', 'data: {broken,"usage":null}\n\n'),
        ('data: "usage":null\n\n', 'data: "usage":null\n\n'),
        (': "usage":null\n\n', ': "usage":null\n\n'),
        ("data: [DONE]\n\n", "data: [DONE]\n\n"),
    ],
)
@pytest.mark.parametrize("before", ["", ": hello\n\n", "\ufeff", "\n\n"])
@pytest.mark.parametrize("after", ["", "data: [DONE]\n\n", "data: [DONE]"])
def test_one_event(event: str, left: str, before: str, after: str) -> None:
    at_every_split((before + event + after).encode(), (before + left + after).encode())


@pytest.mark.parametrize(
    "body",
    [
        b'{"usage":null,"choices":[]}',
        b' \n{"error":{"usage":null}}\n\n',
        b"[]",
        b"<html>",
        b"",
        b"  ",
        b"dat",
        b"\xff\x00",
        b'{"a":"data: {}\\n\\n"}',
    ],
)
def test_what_is_no_stream_passes_untouched(body: bytes) -> None:
    at_every_split(body, body)


def test_a_complete_event_is_passed_on_at_once() -> None:
    stripper = UsageStripper()
    assert stripper.feed(b'data: {"a":1,"usage":null}\n\ndata: {"b"') == b'data: {"a":1}\n\n'
    assert stripper.feed(b":2}\n") == b""
    assert stripper.feed(b"\n") == b'data: {"b":2}\n\n'
    assert stripper.close() == b""


def test_a_plain_body_is_passed_on_when_its_first_line_is_seen_to_be_no_chunk() -> None:
    stripper = UsageStripper()
    assert stripper.feed(b' {"a":') == b""
    assert stripper.feed(b'1,\n"b":') == b' {"a":1,\n"b":'
    assert stripper.feed(b"2}") == b"2}"
    stripper = UsageStripper()
    assert stripper.feed(b'{"error":{}}') + stripper.close() == b'{"error":{}}'
    large = b'{"choices":"' + b"x" * 100_000
    assert UsageStripper().feed(large) == large


def test_chunks_that_come_one_to_a_line_lose_the_same() -> None:
    def chunk(word: str, **members: object) -> str:
        return compact({"id": "c", "choices": [{"index": 0, "delta": {"content": word}}]} | members)

    last = compact({"id": "c", "choices": [], "usage": USAGE})
    for end in ("\n", "\r\n"):
        asked = end.join([chunk("a", usage=None), chunk("b\u2028", usage=None), last, ""])
        at_every_split(asked.encode(), end.join([chunk("a"), chunk("b\u2028"), ""]).encode())
    asked = "\n".join([chunk("a"), last])
    at_every_split(asked.encode(), (chunk("a") + "\n").encode())


def test_a_line_too_large_to_hold_passes_whole() -> None:
    begun = compact({"choices": [{"delta": {"content": "a"}}]}).encode() + b"\n"
    large = b'{"choices":"' + b"x" * EVENT_LIMIT + b'","usage":null}\n'
    assert stripped([begun, large[:-9], large[-9:]]) == begun + large


def test_a_reply_behind_comments_keeps_its_usage() -> None:
    body = b": one moment\n\n" + compact({"choices": [{"message": {"content": "a"}}], "usage": USAGE}).encode()
    at_every_split(body, body)


def test_an_event_too_large_to_hold_passes_whole() -> None:
    event = b'data: {"choices":[{"delta":{"content":"' + b"A" * (EVENT_LIMIT + 200_000) + b'"}}],"usage":null}\n\n'
    body = event + b'data: {"a":1,"usage":null}\n\n'
    pieces = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]
    assert stripped(pieces) == event + b'data: {"a":1}\n\n'


WORDS = st.text(max_size=8) | st.sampled_from(['"usage":null', ',"usage":null}', "data: x\n\n", "\r\n\r\n", "\\", '"'])
CHUNKS = st.lists(
    st.fixed_dictionaries(
        {
            "id": WORDS,
            "choices": st.just([]) | WORDS.map(lambda word: [{"index": 0, "delta": {"content": word, "usage": None}}]),
        },
        optional={"prompt_filter_results": st.just([]), "x": WORDS, "provider": st.just({"a": 1, "usage": None})},
    ),
    max_size=4,
)


@settings(max_examples=60)
@given(
    CHUNKS,
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["data: ", "data:"]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 3),
    st.booleans(),
)
def test_stripping_undoes_asking(
    chunks: list[dict[str, object]], end: str, field: str, spaced: bool, ascii_only: bool, place: int, done: bool
) -> None:
    def written(tree: object) -> str:
        return json.dumps(tree, separators=(", ", ": ") if spaced else (",", ":"), ensure_ascii=ascii_only)

    direct, asked = ": ping" + end + end, ": ping" + end + end
    for chunk in chunks:
        members = list(chunk.items())
        with_usage = dict([*members[: place + 1], ("usage", None), *members[place + 1 :]])
        direct += field + written(chunk) + end + end
        asked += field + written(with_usage) + end + end
    asked += field + written({"id": "c", "choices": [], "usage": USAGE}) + end + end
    last = field + "[DONE]" + end + end if done else ""
    at_every_split((asked + last).encode("utf-8", "surrogatepass"), (direct + last).encode("utf-8", "surrogatepass"))


@given(
    st.lists(
        st.binary(max_size=30) | st.sampled_from([b"data: ", b'{"usage":', b"null}", b"\n\n", b"\r\n", b'"']),
        max_size=12,
    )
)
def test_any_bytes_at_all_are_neither_lost_nor_raise(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    seen = stripped([b"data: 1\n\n", *pieces])
    if b"usage" not in body:
        assert seen == b"data: 1\n\n" + body
