from __future__ import annotations

import json

import pytest

from proxy.wire.registry import SURFACES, surface_for
from proxy.wire.surface import Asked

TEXT = SURFACES["watsonx.text"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/ml/v1/text/generation", "watsonx.text"),
        ("/ml/v1/text/generation_stream", "watsonx.text"),
        ("/watsonx/ml/v1/deployments/d1/text/chat_stream", "watsonx.text"),
        ("/ml/v1/text/chat", "watsonx.text"),
        ("/ml/v1/text/embeddings", "watsonx.text"),
        ("/ml/v1/text/rerank", "watsonx.text"),
        ("/ml/v1/text/tokenization", "other"),
        ("/v1/multimodalembeddings", "voyage.embeddings"),
        ("/v1/contextualizedembeddings", "voyage.embeddings"),
        ("/v1/embeddings", "openai.embeddings"),
    ],
)
def test_which_requests_speak_it(path: str, name: str) -> None:
    assert surface_for("POST", path).name == name


@pytest.mark.parametrize(
    ("path", "body", "asked"),
    [
        ("/ml/v1/text/generation", {"parameters": {"max_new_tokens": 9}}, Asked(output_limit=9)),
        ("/ml/v1/text/chat_stream?version=1", {"model_id": "m"}, Asked(model="m", stream=True)),
        ("/ml/v1/text/chat", {"model_id": "m", "max_tokens": 7}, Asked(model="m", output_limit=7)),
        ("/ml/v1/deployments/a%2Fb/text/chat", {}, Asked(model="a/b")),
        ("/ml/v1/text/chat", {"parameters": [1]}, Asked()),
    ],
)
def test_what_a_request_asks_for(path: str, body: object, asked: Asked) -> None:
    assert TEXT.asked(json.dumps(body).encode(), path) == asked


def test_what_is_wrong_with_a_body_is_said() -> None:
    assert TEXT.asked(b"", "/ml/v1/text/chat").problem == "the body is empty"


def test_only_the_models_name_is_replaced() -> None:
    body = b'{ "model_id": "mine", "model": "x" }'
    assert TEXT.prepare(body, model=None, ask_for_usage=True) is body
    assert TEXT.prepare(body, model="ibm/g", ask_for_usage=False) == b'{ "model_id": "ibm/g", "model": "x" }'
    assert TEXT.prepare(b"{}", model="ibm/g", ask_for_usage=False) == b"{}"
    assert TEXT.prepare(b"[", model="ibm/g", ask_for_usage=False) == b"["


@pytest.mark.parametrize(
    ("name", "body", "text"),
    [
        ("watsonx.text", {"input": "a"}, "a"),
        ("watsonx.text", {"messages": [{"content": "a"}, {"content": [{"type": "text", "text": "b"}]}]}, "a\nb"),
        ("watsonx.text", {"inputs": [{"text": "a"}, "b"], "query": "c"}, "b\nc\na"),
        ("voyage.embeddings", {"inputs": [["a", "b"], ["c"]]}, "a\nb\nc"),
        ("voyage.embeddings", {"inputs": [{"content": [{"type": "text", "text": "a"}]}]}, "a"),
    ],
)
def test_prompt_text(name: str, body: object, text: str) -> None:
    assert SURFACES[name].prompt_text(json.dumps(body).encode()) == text


def test_errors_of_ours() -> None:
    wanted = {"errors": [{"code": "some_code", "message": "why"}], "status_code": 429}
    assert json.loads(TEXT.error(429, "some_code", "why")) == wanted
