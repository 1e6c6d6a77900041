from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.values import Values

OBJECTS = st.lists(
    st.dictionaries(st.text(max_size=4), st.recursive(st.text(max_size=6) | st.integers(), st.lists, max_leaves=4))
)


def cut(body: bytes, size: int) -> list[bytes]:
    values = Values()
    found: list[bytes] = []
    for at in range(0, len(body), size):
        found += values.payloads(body[at : at + size])
    return found


@given(OBJECTS, st.integers(1, 30), st.sampled_from(["\n", "\r\n", "", " ,\r\n"]), st.booleans(), st.integers(0, 2))
def test_objects_come_back_whole(
    objects: list[dict[str, object]], size: int, between: str, array: bool, indent: int
) -> None:
    body = between.join(json.dumps(each, indent=indent or None, ensure_ascii=False) for each in objects)
    found = cut(f"[{body}]".encode() if array else body.encode(), size)
    assert [json.loads(each) for each in found] == objects


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_brackets_and_quotes_in_strings_are_text(size: int) -> None:
    assert cut(rb'{"a":"}{\"]\\"} {"b":"\\\\"}', size) == [rb'{"a":"}{\"]\\"}', rb'{"b":"\\\\"}']


def test_an_object_over_the_limit_is_let_go_and_the_next_one_read() -> None:
    values = Values(limit=100)
    found: list[bytes] = []
    for piece in (b'{"a":"' + b"x" * 90, b"\\" + b'"' + b"x" * 50 + b"}", b'"}', b'\n{"b":1}'):
        found += values.payloads(piece)
    assert found == [b'{"b":1}']
    assert values.oversized


def test_a_string_without_end_is_looked_at_once() -> None:
    values = Values(limit=1000)
    assert values.payloads(b'{"a":"') == []
    for _ in range(20_000):  # looking again from the start at each piece would take minutes
        values.payloads(b"x" * 1000)
    assert values.payloads(b'"}{"b":2}') == [b'{"b":2}']
