from __future__ import annotations

import pytest

from proxy.wire.registry import SURFACES, surface_for


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "openai.chat"),
        ("/chat/completions", "openai.chat"),
        ("/openai/v1/chat/completions", "openai.chat"),
        ("/openai/deployments/my-gpt/chat/completions", "openai.chat"),
        ("//openai/deployments/my-gpt/chat/completions", "openai.chat"),
        ("/v1//chat/completions/", "openai.chat"),
        ("/v1beta/openai/chat/completions", "openai.chat"),
        ("/api/coding/paas/v4/chat/completions?api-version=1", "openai.chat"),
        ("/v1/completions", "openai.completions"),
        ("/v1/fim/completions", "openai.completions"),
        ("/v1/responses", "openai.responses"),
        ("/v1/responses/compact", "openai.responses"),
        ("/openai/responses", "openai.responses"),
        ("/v1/embeddings", "openai.embeddings"),
        ("/openai/deployments/ada/embeddings", "openai.embeddings"),
        ("/v1/responses/input_tokens", "openai.input_tokens"),
        ("/v1/responses/resp_1/cancel", "openai.responses_view"),
        ("/v1/chat/completions/chatcmpl-1", "other"),
        ("/v1/completionsx", "other"),
        ("/v1/messages", "anthropic.messages"),
        ("/v1/models", "other"),
        ("/", "other"),
        ("", "other"),
    ],
)
def test_what_a_post_speaks(path: str, name: str) -> None:
    assert surface_for("POST", path).name == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/models", "openai.models"),
        ("/v1/models/org/model", "openai.models"),
        ("/v1/chat/completions/chatcmpl-1", "other"),
        ("/v1/chat/completions", "other"),
        ("/v1/responses/resp_1", "openai.responses_view"),
        ("/v1/responses", "other"),
    ],
)
def test_reading_what_is_stored_spends_nothing(path: str, name: str) -> None:
    surface = surface_for("GET", path)
    assert surface.name == name
    assert not surface.metered


def test_names_are_the_surfaces_own() -> None:
    assert {name: surface.name for name, surface in SURFACES.items()} == {name: name for name in SURFACES}


def test_other_reads_nothing_and_minds_nothing() -> None:
    other = SURFACES["other"]
    assert other.asked(b'{"model":"claude","stream":true,"max_tokens":5}').model == "claude"
    assert other.asked(b"\x00\xff").problem is None
    assert other.asked(b'{"model":').problem is None
    reader = other.reader()
    reader.feed(b'{"usage":{"prompt_tokens":5}}')
    assert reader.close().usage is None
