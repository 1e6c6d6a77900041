from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.sse import Fragment, Framer, data_spans, payload

PIECES = st.lists(
    st.sampled_from(
        [b"\n", b"\r", b"\r\n", b"data", b"data:", b"data: ", b": c", b"event: e", b"x", b" ", b"\xe2\x80\xa8", b"{}"]
    ),
    max_size=30,
).map(b"".join)


def frame(pieces: list[bytes], limit: int = 1 << 20) -> list[bytes]:
    framer = Framer(limit)
    blocks = [block for piece in pieces for block in framer.feed(piece)]
    return blocks + framer.close()


def split(body: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(edge, len(body)) for edge in at), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


@given(PIECES, st.lists(st.integers(0, 90), max_size=6))
def test_blocks_joined_are_the_stream_and_splits_change_nothing(body: bytes, at: list[int]) -> None:
    whole = frame([body])
    assert b"".join(whole) == body
    assert frame(split(body, at)) == whole
    assert frame([body[n : n + 1] for n in range(len(body))]) == whole


@given(PIECES, st.lists(st.integers(0, 90), max_size=6), st.integers(1, 8))
def test_a_small_limit_loses_no_byte(body: bytes, at: list[int], limit: int) -> None:
    assert b"".join(frame(split(body, at), limit)) == body


@given(PIECES)
def test_payload_follows_the_standard(body: bytes) -> None:
    """Against the standard's own algorithm, line by line."""
    for block in frame([body]):
        text = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        values = []
        for line in text.split(b"\n"):
            name, colon, value = line.partition(b":")
            if name == b"data":
                values.append(value[1:] if colon and value.startswith(b" ") else value)
        if block.startswith(b"{") or (not values and block.lstrip(b" \t\r\n").startswith(b"{")):
            assert payload(block).startswith(b"{")  # bare JSON, perhaps behind blank lines
        else:
            assert payload(block).rstrip(b"\r\n") == b"\n".join(values).rstrip(b"\r\n")
            assert [block[start:end] for start, end in data_spans(block)] == values


@given(PIECES, st.lists(st.integers(0, 90), max_size=6))
def test_payloads_are_those_of_the_blocks(body: bytes, at: list[int]) -> None:
    framer = Framer()
    seen = [found for piece in split(body, at) for found in framer.payloads(piece)] + framer.last_payload()
    assert [found.rstrip(b"\r\n") for found in seen] == [
        found.rstrip(b"\r\n") for block in frame([body]) if (found := payload(block))
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_makes_events(end: bytes) -> None:
    event = b"event: e" + end + b"data: 1" + end + end
    blocks = frame([event * 3])
    assert blocks == [event] * 3
    assert [payload(block).strip() for block in blocks] == [b"1"] * 3


def test_only_lf_cr_and_crlf_end_lines() -> None:
    line = b"data: a\x0b\x0c\x1c\x85\xc2\x85\xe2\x80\xa8\xe2\x80\xa9b\n\n"
    assert frame([line]) == [line]
    assert payload(line).rstrip() == line[6:-2]


def test_a_bom_and_several_data_lines() -> None:
    assert payload(b"\xef\xbb\xbfdata: {\ndata:}\n: comment\ndata\n\n") == b"{\n}\n"


def test_fields_of_other_names_are_no_data() -> None:
    assert payload(b"id: 1\nretry: 2\ndatax: 3\n data: 4\n\n") == b""


def test_an_event_over_the_limit_comes_as_fragments_and_the_next_is_whole() -> None:
    framer = Framer(limit=16)
    blocks = framer.feed(b"data: 0123456789abcdef") + framer.feed(b"0123") + framer.feed(b"4\n\ndata: 1\n\n")
    assert framer.oversized
    assert [type(block) for block in blocks[:-1]] == [Fragment] * (len(blocks) - 1)
    assert type(blocks[-1]) is bytes
    assert blocks[-1] == b"data: 1\n\n"
    assert b"".join(blocks) == b"data: 0123456789abcdef01234\n\ndata: 1\n\n"


def test_a_cr_at_the_end_waits_for_its_lf() -> None:
    framer = Framer()
    assert framer.feed(b"data: 1\r\n\r") == []
    assert framer.feed(b"\ndata: 2\r\n\r\n") == [b"data: 1\r\n\r\n", b"data: 2\r\n\r\n"]
