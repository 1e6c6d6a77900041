"""Paths of a host's own, and which readers they go to."""

from __future__ import annotations

import pytest

from proxy.wire.registry import SURFACES, surface_for

ASYNC = b'{"request": {"model": "sonar-deep-research", "stream": true, "max_tokens": 9, "messages": []}}'


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/api/v2/cortex/inference:complete", "hosted.chat"),
        ("POST", "/api/v2/cortex/v1/chat/completions", "openai.chat"),
        ("POST", "/serving-endpoints/tides/invocations", "hosted.chat"),
        ("POST", "/endpoints/tides/invocations", "hosted.chat"),
        ("POST", "/endpoints/tides/invocations-response-stream", "hosted.chat"),
        ("POST", "/async/chat/completions", "perplexity.async_chat"),
        ("GET", "/async/chat/completions/pa1", "perplexity.async_chat"),
        ("GET", "/v1/chat/completions/c1", "other"),
        ("POST", "/v1/models/meta/llama/predictions", "replicate.predictions"),
        ("POST", "/v1/deployments/acme/llama/predictions", "replicate.predictions"),
        ("GET", "/v1/predictions/rp1", "replicate.predictions"),
        ("POST", "/v1/conversations", "mistral.conversations"),
        ("POST", "/v1/conversations/conv_1", "mistral.conversations"),
        ("POST", "/v1/conversations/conv_1/items", "other"),
        ("GET", "/v1/conversations/conv_1", "other"),
        ("POST", "/v1/ocr", "mistral.ocr"),
        ("GET", "/v1/batches/b1/results", "xai.batch_results"),
        ("GET", "/v1/messages/batches/b1/results", "anthropic.batches"),
        ("GET", "/v1/batches/b1", "openai.batches"),
        ("POST", "/client/v4/accounts/a1/ai/run/@cf/meta/llama-3.1-8b-instruct", "cloudflare.run"),
        ("POST", "/client/v4/accounts/a1/ai/run/%40cf%2Fmeta%2Fllama-3.1-8b-instruct", "cloudflare.run"),
        ("POST", "/client/v4/accounts/a1/ai/v1/chat/completions", "openai.chat"),
        ("POST", "/v1/a1/gate/workers-ai/@cf/meta/llama-3.1-8b-instruct", "cloudflare.run"),
        ("POST", "/v1/a1/gate/workers-ai/v1/chat/completions", "openai.chat"),
        ("POST", "/v1/fine_tuning/jobs", "openai.fine_tuning"),
        ("GET", "/v1/fine_tuning/jobs/ftjob-1", "openai.fine_tuning"),
        ("GET", "/v1/fine_tuning/jobs/ftjob-1/events", "other"),
        ("POST", "/score", "engine.pooling"),
        ("POST", "/v1/classify", "engine.pooling"),
        ("POST", "/pooling", "engine.pooling"),
    ],
)
def test_paths(method: str, path: str, name: str) -> None:
    assert surface_for(method, path).name == name


def test_an_endpoint_stands_for_the_model_where_the_body_names_none() -> None:
    hosted = SURFACES["hosted.chat"]
    assert hosted.asked(b'{"messages": []}', "/serving-endpoints/my%20tides/invocations").model == "my tides"
    assert (
        hosted.asked(b'{"model": "claude-sonnet-4-6"}', "/api/v2/cortex/inference:complete").model
        == "claude-sonnet-4-6"
    )
    body = b'{"stream": true}'
    assert hosted.prepare(body, model=None, ask_for_usage=True) is body


def test_an_asynchronous_chat_holds_the_request_inside() -> None:
    asked = SURFACES["perplexity.async_chat"].asked(ASYNC)
    assert (asked.model, asked.stream, asked.output_limit) == ("sonar-deep-research", False, 9)
    assert SURFACES["perplexity.async_chat"].asked(b"").problem is None
    assert SURFACES["perplexity.async_chat"].asked(b"[]").model is None


def test_what_is_not_there_yet_is_counted_when_it_is() -> None:
    reader = SURFACES["replicate.predictions"].reader()
    reader.feed(b'{"id":"rp1","status":"processing","metrics":{"input_token_count":3,"predict_time":1}}')
    reading = reader.close()
    assert (reading.usage, reading.pending, reading.counted_as) == (None, True, None)


def test_cloudflare_names_the_model_in_the_path() -> None:
    surface = SURFACES["cloudflare.run"]
    for path in ("/ai/run/@cf/meta/llama-3.1-8b-instruct", "/ai/run/%40cf%2Fmeta%2Fllama-3.1-8b-instruct?x=1"):
        asked = surface.asked(b'{"prompt":"a","stream":true,"max_tokens":9}', path)
        assert (asked.model, asked.stream, asked.output_limit) == ("@cf/meta/llama-3.1-8b-instruct", True, 9)
