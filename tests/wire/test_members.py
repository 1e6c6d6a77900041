from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.members import CAPTURE_LIMIT, Members, spans

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=6)


def encoded(tree: object, spaced: bool, ascii_only: bool) -> bytes:
    text = json.dumps(tree, indent=2 if spaced else None, ensure_ascii=ascii_only)
    return text.encode("utf-8", "surrogatepass")


def scanned(body: bytes, size: int, wanted: set[bytes]) -> Members:
    members = Members(wanted)
    for at in range(0, len(body), size):
        members.feed(body[at : at + size])
    return members


@given(OBJECTS, st.booleans(), st.booleans(), st.integers(1, 40))
def test_spans_and_captures_are_the_values_themselves(
    tree: dict[str, object], spaced: bool, ascii_only: bool, size: int
) -> None:
    body = encoded(tree, spaced, ascii_only)
    found = spans(body)
    assert found is not None
    wanted = {name.encode("utf-8", "replace") for name in tree}
    assert set(found) == wanted
    members = scanned(body, size, wanted)
    walked = scanned(body, size, set())
    assert members.finished
    assert walked.spans == found
    for name, value in tree.items():
        start, end = found[name.encode()]
        assert repr(json.loads(body[start:end])) == repr(value)
        assert members.found[name.encode()] == body[start:end]


@given(st.binary(max_size=80), st.integers(1, 9))
def test_any_bytes_at_all(body: bytes, size: int) -> None:
    scanned(b"{" + body, size, {b"a"})
    spans(body)


@given(OBJECTS, st.data())
def test_a_cut_object_is_not_finished(tree: dict[str, object], data: st.DataObject) -> None:
    body = encoded(tree, False, True)
    cut = data.draw(st.integers(0, len(body) - 1))
    assert spans(body[:cut]) is None
    assert not scanned(body[:cut], 3, {b"a"}).finished


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":1,"a":[22]}', b"[22]"),
        (b'{"a":1,"\\u0061":2}', b"2"),
        (b'{"b":{"a":1},"a":"x\\"}","c":"a"}', b'"x\\"}"'),
        (b' \n{ "a" : -1.5e3 , "b":NaN}\r\n', b"-1.5e3"),
        (b'{"a":{"n":[{"]":"}"}]}}', b'{"n":[{"]":"}"}]}'),
        (b'{"x":"\\\\","a":"\\\\"}', b'"\\\\"'),
    ],
)
def test_the_last_of_a_name_at_the_top_level(body: bytes, value: bytes) -> None:
    found = spans(body)
    assert found is not None
    start, end = found[b"a"]
    assert body[start:end] == value
    for size in range(1, len(body) + 1):
        assert scanned(body, size, {b"a"}).found[b"a"] == value


@pytest.mark.parametrize("body", [b"", b"[1]", b'"a"', b"{", b'{"a":}', b'{"a" 1}', b"{a:1}", b'{"a":1', b"null"])
def test_what_is_no_object_has_no_spans(body: bytes) -> None:
    assert spans(body) is None


def test_a_wanted_value_too_large_to_keep_is_named() -> None:
    members = Members({b"a", b"b"})
    members.feed(b'{"a":"')
    for _ in range(20):
        members.feed(b"x" * (CAPTURE_LIMIT // 8))
    members.feed(b'","b":2}')
    assert members.cut == {b"a"}
    assert members.found == {b"b": b"2"}


def test_numbers_by_the_thousand_keep_the_depth() -> None:
    body = b'{"data":[' + b",".join(b"[" + b"1.25," * 3000 + b"1]" for _ in range(5)) + b'],"usage":{"n":1}}'
    for size in (5000, 4097, 65_536):
        assert scanned(body, size, {b"usage"}).found == {b"usage": b'{"n":1}'}
