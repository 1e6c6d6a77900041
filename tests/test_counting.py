from __future__ import annotations

import hashlib
import sys
from types import SimpleNamespace

import pytest

from proxy.counting import TOKENIZED_CHARACTERS_AT_MOST, Count, _tokenizer, by_characters, find_counter


@pytest.mark.parametrize(
    ("characters", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 1), (7, 2), (400, 100), (10**9, 250_000_000)]
)
def test_four_characters_are_a_token(characters, tokens):
    assert by_characters("", characters) == Count(tokens, "inferred")


def test_without_encodings_on_disk_characters_are_counted(tmp_path, monkeypatch):
    assert find_counter(str(tmp_path)) is by_characters
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    assert find_counter() is by_characters
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "nowhere"))
    assert find_counter() is by_characters


def test_an_encoding_is_looked_for_where_tiktoken_would_look(tmp_path, monkeypatch):
    address = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"
    (tmp_path / hashlib.sha1(address.encode()).hexdigest()).touch()
    asked = []
    monkeypatch.setattr("proxy.counting._tokenizer", asked.append)
    find_counter(str(tmp_path))
    assert asked == ["cl100k_base"]


class Encoding:
    """One token for each word, in the shape of tiktoken's."""

    def encode_ordinary(self, text: str) -> list[int]:
        assert len(text) <= TOKENIZED_CHARACTERS_AT_MOST
        return list(range(len(text.split())))


@pytest.fixture
def count(monkeypatch):
    monkeypatch.setitem(sys.modules, "tiktoken", SimpleNamespace(get_encoding=lambda name: Encoding()))
    return _tokenizer("any")


def test_a_tokenizer_counts(count):
    assert count("one two three", 13) == Count(3, "counted")


def test_a_text_that_is_there_in_part_is_scaled_up(count):
    assert count("one two three", 130) == Count(30, "counted")
    long = "word " * TOKENIZED_CHARACTERS_AT_MOST
    assert count(long, len(long)).tokens == pytest.approx(TOKENIZED_CHARACTERS_AT_MOST, rel=1e-3)


def test_without_a_text_characters_are_counted(count):
    assert count("", 40) == Count(10, "inferred")
