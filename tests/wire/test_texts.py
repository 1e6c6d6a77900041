from __future__ import annotations

import json

import pytest

from proxy.wire.openai import PROMPT_LIMIT
from proxy.wire.texts import prompt, strings


@pytest.mark.parametrize(
    ("tree", "path", "found"),
    [
        ("a", (), ["a"]),
        ({"a": {"b": "c"}}, ("a", "b"), ["c"]),
        ({"a": [{"b": "c"}, {"b": ["d", "e"]}, {"x": "y"}, "z", None]}, ("a", "b"), ["c", "d", "e"]),
        ([["a"], [["b"]]], (), ["a", "b"]),
        ({"a": 5}, ("a",), []),
        ({"a": {"b": "c"}}, ("a",), []),
        (None, ("a",), []),
    ],
)
def test_strings_at_a_path(tree: object, path: tuple[str, ...], found: list[str]) -> None:
    assert list(strings(tree, path)) == found


def test_a_prompt_is_joined_and_its_tools_described() -> None:
    body = {"b": "2", "a": ["1", "1b"], "tools": [{"name": "ö"}], "deep": {"tools": {}}}
    text = prompt(json.dumps(body).encode(), (("a",), ("b",)), (("tools",), ("deep", "tools"), ("none",)))
    assert text == '1\n1b\n2\n[{"name":"\\u00f6"}]'


def test_a_prompt_is_bounded() -> None:
    assert len(prompt(json.dumps({"a": "x" * (PROMPT_LIMIT + 5)}).encode(), (("a",),))) == PROMPT_LIMIT


@pytest.mark.parametrize("body", [b"", b"\xff", b"[", b"[1]", b"null"])
def test_no_body_raises(body: bytes) -> None:
    assert prompt(body, (("a",),), (("tools",),)) == ""


def test_half_a_character_is_let_through() -> None:
    assert prompt(b'{"a":"x\\ud800","tools":["\\ud800"]}', (("a",),), (("tools",),)) == 'x?\n["\\ud800"]'
