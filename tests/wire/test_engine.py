from __future__ import annotations

import json

import pytest

from proxy.wire.registry import SURFACES, surface_for
from proxy.wire.surface import Asked

GENERATE, COMPLETION = SURFACES["engine.generate"], SURFACES["llamacpp.completion"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/generate", "engine.generate"),
        ("/sglang/generate", "engine.generate"),
        ("/generate_stream", "engine.generate"),
        ("/completion", "llamacpp.completion"),
        ("/llamacpp/infill", "llamacpp.completion"),
        ("/completions", "openai.completions"),
        ("/v1/generate", "cohere.generate"),
        ("/api/generate", "ollama.generate"),
        ("/tokenize", "other"),
    ],
)
def test_which_requests_speak_it(path: str, name: str) -> None:
    assert surface_for("POST", path).name == name


@pytest.mark.parametrize(
    ("path", "body", "asked"),
    [
        ("/generate", {"inputs": "a", "parameters": {"max_new_tokens": 20}}, Asked(output_limit=20)),
        ("/tgi/generate_stream?x=1", {"inputs": "a"}, Asked(stream=True)),
        ("/generate", {"text": "a", "sampling_params": {"max_new_tokens": 5, "n": 3}}, Asked(output_limit=15)),
        ("/generate", {"sampling_params": [1], "parameters": {"max_new_tokens": -1}}, Asked()),
        ("/completion", {"prompt": "a", "n_predict": 8, "stream": True}, Asked(stream=True, output_limit=8)),
        ("/completion", {"prompt": "a", "n_predict": -1, "max_tokens": 7}, Asked(output_limit=7)),
    ],
)
def test_what_a_request_asks_for(path: str, body: object, asked: Asked) -> None:
    assert surface_for("POST", path).asked(json.dumps(body).encode(), path) == asked


def test_the_head_of_a_plain_reply_counts() -> None:
    headers = [(b"x-prompt-tokens", b"9"), (b"x-generated-tokens", b"20"), (b"x-compute-time", b"0.43958729100000003")]
    reader = GENERATE.reader(headers)
    reader.feed(b'{"generated_text":" Yes."}')
    reading = reader.close()
    assert reading.usage is not None
    assert (reading.usage.input_tokens, reading.usage.output_tokens) == (9, 20)
    assert reading.usage.units == {"compute_seconds": 0.43958729100000003}
    assert (reading.finished, reading.flags) == (True, ())


def test_a_head_that_counts_nonsense_is_flagged() -> None:
    reading = GENERATE.reader([(b"x-prompt-tokens", b"-9"), (b"x-compute-time", b"1e99")]).close()
    assert reading.usage is None
    assert reading.flags == ("usage.x-prompt-tokens.not_a_count",)


def test_sequences_are_bounded() -> None:
    reader = GENERATE.reader()
    for index in range(5000):
        counts = {"prompt_tokens": 1, "completion_tokens": 2}
        reader.feed(f"data: {json.dumps({'index': index, 'meta_info': counts})}\n\n".encode())
    reading = reader.close()
    assert reading.usage is not None
    assert (reading.usage.input_tokens, reading.usage.output_tokens) == (4096, 8192)
    assert reading.flags == ("reply.too_many_sequences",)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"inputs": "a"}, "a"),
        ({"text": ["a", "b"]}, "a\nb"),
        ({"prompt": "a", "input_prefix": "b", "input_extra": [{"text": "c"}], "input_suffix": "d"}, "a\nb\nc\nd"),
        ({"prompt": [1, 2, 3]}, ""),
    ],
)
def test_prompt_text(body: object, text: str) -> None:
    for surface in (GENERATE, COMPLETION):
        assert surface.prompt_text(json.dumps(body).encode()) == text


def test_errors_of_ours() -> None:
    assert json.loads(GENERATE.error(429, "some_code", "why")) == {"error": "why", "error_type": "some_code"}
    assert json.loads(COMPLETION.error(429, "some_code", "why"))["error"]["message"] == "why"
