from __future__ import annotations

import json

import pytest

from proxy.wire.registry import SURFACES, surface_for
from proxy.wire.reply import DOCUMENT_LIMIT
from proxy.wire.surface import Asked, Reading
from proxy.wire.values import HEAD_LIMIT

GOOGLE = "/v1/projects/p/locations/us-east5/publishers/google/models"
MISTRAL = "/v1/projects/p/locations/us-east5/publishers/mistralai/models"


def read(body: bytes) -> Reading:
    reader = SURFACES["vertex.predict"].reader()
    for at in range(0, len(body), 65_536):
        reader.feed(body[at : at + 65_536])
    return reader.close()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (f"{GOOGLE}/text-embedding-005:predict", "vertex.predict"),
        ("/v1beta/models/imagen-4.0-generate-001:predict", "vertex.predict"),
        (f"{GOOGLE}/veo-3.1:predictLongRunning", "vertex.predict_long_running"),
        ("/v1/projects/p/locations/l/endpoints/123:predict", "other"),
        (f"{MISTRAL}/mistral-medium-3:rawPredict", "vertex.raw_predict"),
        (f"{MISTRAL}/mistral-medium-3:streamRawPredict", "vertex.raw_predict"),
        (f"{MISTRAL.replace('mistralai', 'ai21')}/jamba-1.5:rawPredict", "vertex.raw_predict"),
        (f"{MISTRAL.replace('mistralai', 'unknown')}/x:rawPredict", "other"),
        ("/v1/projects/p/locations/l/endpoints/openapi/chat/completions", "openai.chat"),
    ],
)
def test_paths(path: str, name: str) -> None:
    assert surface_for("POST", path).name == name


def test_many_embeddings_add_up() -> None:
    one = {"embeddings": {"statistics": {"truncated": False, "token_count": 11}, "values": [0.0123] * 768}}
    body = json.dumps({"predictions": [one] * 250}).encode()
    assert len(body) > DOCUMENT_LIMIT
    reading = read(body)
    assert reading.usage is not None
    assert reading.usage.input_tokens == 2750
    assert reading.flags == ()


def test_a_head_without_end_is_let_go() -> None:
    reading = read(b'{"x":"' + b"a" * 2 * HEAD_LIMIT)
    assert reading.usage is None
    assert "event.oversized" in reading.flags


def test_a_video_is_billed_by_what_was_asked_for() -> None:
    surface = SURFACES["vertex.predict_long_running"]
    path = f"{GOOGLE}/veo-3.1:predictLongRunning"
    body = b'{"instances":[{"prompt":"a cat"}],"parameters":{"sampleCount":2,"durationSeconds":8}}'
    assert surface.asked(body, path) == Asked(model="veo-3.1", units={"videos": 2, "video_seconds": 16})
    assert surface.asked(b'{"instances":[{"prompt":"a cat"}]}', path).units == {"videos": 1}
    assert surface.asked(b"{", path).units == {}


def test_only_what_is_embedded_is_a_prompt_to_count() -> None:
    surface = SURFACES["vertex.predict"]
    assert surface.prompt_text(b'{"instances":[{"content":"a"},{"content":"b"}]}') == "a\nb"
    assert surface.prompt_text(b'{"instances":[{"prompt":"a cat"}]}') is None


def test_raw_predict_sends_bodies_as_they_are() -> None:
    surface = SURFACES["vertex.raw_predict"]
    body = b'{"model":"mistral-medium-3","stream":true}'
    assert surface.prepare(body, model=None, ask_for_usage=True) is body
    assert surface.stripper() is None
    assert surface.asked(body).model == "mistral-medium-3"
    assert surface.asked(b"{}", f"{MISTRAL}/mistral-medium-3:rawPredict").model == "mistral-medium-3"
