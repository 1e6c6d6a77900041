from __future__ import annotations

import json

import pytest

from proxy.wire.registry import SURFACES, surface_for
from proxy.wire.surface import Asked


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/chat", "ollama.chat"),
        ("/ollama/api/chat", "ollama.chat"),
        ("/api/generate", "ollama.generate"),
        ("/api/embed", "ollama.embed"),
        ("/api/embeddings", "ollama.embed"),
        ("/api/v1/embeddings", "openai.embeddings"),
        ("/api/chat/completions", "openai.chat"),
        ("/api/show", "other"),
        ("/api/pull", "other"),
    ],
)
def test_which_requests_speak_it(path: str, name: str) -> None:
    assert surface_for("POST", path).name == name


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"model": "llama3"}, Asked(model="llama3", stream=True)),
        ({"model": "llama3", "stream": None}, Asked(model="llama3", stream=True)),
        ({"model": "llama3", "stream": False}, Asked(model="llama3")),
        ({"stream": False, "options": {"num_predict": 100}}, Asked(output_limit=100)),
        ({"stream": False, "options": {"num_predict": -1}}, Asked()),
        ({"stream": False, "options": [5]}, Asked()),
    ],
)
def test_it_streams_unless_told_not_to(body: object, asked: Asked) -> None:
    for name in ("ollama.chat", "ollama.generate"):
        assert SURFACES[name].asked(json.dumps(body).encode()) == asked


def test_embedding_never_streams() -> None:
    assert SURFACES["ollama.embed"].asked(b'{"model":"m","input":"a"}') == Asked(model="m")


def test_a_body_that_cannot_be_read_is_said_so() -> None:
    assert SURFACES["ollama.chat"].asked(b"{").problem == "malformed JSON: it ends early, at byte 1"


@pytest.mark.parametrize(
    ("name", "body", "text"),
    [
        ("ollama.chat", {"messages": [{"content": "a", "images": ["AAAA"]}, {"content": "b"}]}, "a\nb"),
        ("ollama.chat", {"messages": [], "tools": [{"type": "function"}]}, '[{"type":"function"}]'),
        ("ollama.generate", {"system": "a", "prompt": "b", "suffix": "c"}, "a\nb\nc"),
        ("ollama.embed", {"input": ["a", "b"]}, "a\nb"),
        ("ollama.embed", {"prompt": "a"}, "a"),
    ],
)
def test_prompt_text(name: str, body: object, text: str) -> None:
    assert SURFACES[name].prompt_text(json.dumps(body).encode()) == text


def test_errors_of_ours() -> None:
    for name in ("ollama.chat", "ollama.generate", "ollama.embed"):
        assert json.loads(SURFACES[name].error(404, "some_code", "why")) == {"error": "why"}


def test_a_line_is_read_before_the_next_one_comes() -> None:
    reader = SURFACES["ollama.chat"].reader()
    reader.feed(b'{"message":{"content":"a"},"done":false}')
    assert (reader.started, reader.finished) == (True, False)
    reader.feed(b'\n{"done":true,"eval_count":1}')
    assert reader.finished


@pytest.mark.parametrize("duration", [-1, 1.5, "5", True, 10**30, None, [1]])
def test_a_duration_that_cannot_be_is_left_out(duration: object) -> None:
    reader = SURFACES["ollama.chat"].reader()
    reader.feed(json.dumps({"done": True, "eval_count": 1, "eval_duration": duration}).encode())
    reading = reader.close()
    assert reading.usage is not None
    assert (reading.usage.output_tokens, reading.usage.units) == (1, {})
    assert reading.flags == ()
