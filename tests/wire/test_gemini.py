from __future__ import annotations

import json
import tracemalloc

import pytest

from proxy.wire.google import bare_model, error, model_in_path
from proxy.wire.registry import SURFACES, surface_for
from proxy.wire.reply import DOCUMENT_LIMIT
from proxy.wire.surface import Asked, Reading

VERTEX = "/v1/projects/p/locations/us-east5/publishers/google/models"


def read(name: str, body: bytes, size: int = 65_536) -> Reading:
    reader = SURFACES[name].reader()
    for at in range(0, len(body), size):
        reader.feed(body[at : at + size])
    return reader.close()


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/v1beta/models/gemini-3-pro:generateContent", "gemini.generate_content"),
        ("POST", "/v1beta/models/gemini-3-pro%3AgenerateContent", "gemini.generate_content"),
        ("POST", "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse", "gemini.generate_content"),
        ("POST", "/v1beta/tunedModels/mine:generateContent", "gemini.generate_content"),
        ("POST", f"{VERTEX}/gemini-3-pro:streamGenerateContent", "gemini.generate_content"),
        ("POST", "/v1/projects/p/locations/l/endpoints/123:generateContent", "gemini.generate_content"),
        ("POST", "/v1beta1/publishers/google/models/gemini-3-pro:generateContent", "gemini.generate_content"),
        ("POST", "/v1beta/models/gemini-3-pro:countTokens", "gemini.count_tokens"),
        ("POST", f"{VERTEX}/gemini-3-pro:computeTokens", "gemini.count_tokens"),
        ("POST", "/v1beta/models/gemini-embedding-2:embedContent", "gemini.embed_content"),
        ("POST", "/v1beta/models/gemini-embedding-2:batchEmbedContents", "gemini.embed_content"),
        ("POST", "/v1beta/cachedContents", "gemini.cached_contents"),
        ("GET", "/v1beta/cachedContents/hp1", "gemini.cached_contents"),
        ("PATCH", "/v1/projects/p/locations/l/cachedContents/hp1", "gemini.cached_contents"),
        ("DELETE", "/v1beta/cachedContents/hp1", "other"),
        ("POST", "/v1beta/interactions", "gemini.interactions"),
        ("GET", "/v1beta/interactions/v1_Ab?stream=true", "gemini.interactions_view"),
        ("POST", "/v1beta/interactions/v1_Ab/cancel", "gemini.interactions_view"),
        ("POST", "/v1beta/openai/chat/completions", "openai.chat"),
        ("GET", "/v1beta/files/f1:download", "gemini.batch_answers"),
        ("POST", "/v1beta/models/gemini-3-pro:batchGenerateContent", "gemini.batches"),
        ("GET", "/v1beta/batches/b1", "gemini.batches"),
        ("GET", "/v1beta/openai/batches/b1", "openai.batches"),
        ("POST", "/v1internal:generateContent", "gemini.generate_content"),
    ],
)
def test_paths(method: str, path: str, name: str) -> None:
    assert surface_for(method, path).name == name


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1beta/models/gemini-3-pro:generateContent", "gemini-3-pro"),
        ("/v1beta/models/gemini-3-pro%3AstreamGenerateContent?alt=sse&x=a/b:c", "gemini-3-pro"),
        (f"{VERTEX}/gemini-3-pro@001:generateContent", "gemini-3-pro@001"),
        ("/v1beta/tunedModels/mine:generateContent", "tunedModels/mine"),
        ("/v1/projects/p/locations/l/endpoints/123:generateContent", "endpoints/123"),
        ("/v1beta/models/gemini-3-pro:generateContent/", "gemini-3-pro"),
        ("/v1beta/models/gemini-3-pro", None),
        ("/v1beta/models/gemini-3-pro:", None),
        ("/v1beta/models/:generateContent", None),
        ("/v1beta/models/a:b:generateContent", None),
        ("/gemini-3-pro:generateContent", None),
        ("", None),
    ],
)
def test_the_model_stands_in_the_path(path: str, model: str | None) -> None:
    assert model_in_path(path) == model


def test_a_resource_name_holds_a_model() -> None:
    assert bare_model("models/gemini-3-pro") == "gemini-3-pro"
    assert bare_model("projects/p/locations/l/publishers/google/models/gemini-3-pro") == "gemini-3-pro"
    assert bare_model("gemini-3-pro") == "gemini-3-pro"
    assert bare_model("models/") is None
    assert bare_model(5) is None


def test_what_a_request_asks_for() -> None:
    generate = SURFACES["gemini.generate_content"]
    path = "/v1beta/models/gemini-3-pro:streamGenerateContent"
    body = b'{"contents":[],"generationConfig":{"maxOutputTokens":9,"candidateCount":2}}'
    assert generate.asked(body, path) == Asked(model="gemini-3-pro", stream=True, output_limit=18)
    assert generate.asked(body, path.replace("streamG", "g")) == Asked(model="gemini-3-pro", output_limit=18)
    assert generate.asked(body, path.replace(":", "%3A")).stream
    assert generate.asked(b'{"generation_config":{"max_output_tokens":5}}', path).output_limit == 5
    assert generate.asked(b'{"generationConfig":[1]}', path).output_limit is None
    broken = generate.asked(b'{"contents"', path)
    assert (broken.model, broken.stream) == ("gemini-3-pro", True)
    assert broken.problem == "malformed JSON: it ends early, at byte 11"
    interactions = SURFACES["gemini.interactions"]
    body = b'{"model":"gemini-3-pro","stream":true,"generation_config":{"max_output_tokens":64},"input":"x"}'
    assert interactions.asked(body) == Asked(model="gemini-3-pro", stream=True, output_limit=64)
    assert interactions.asked(b'{"agent":"deep-research"}') == Asked(model="deep-research")
    assert SURFACES["gemini.interactions_view"].asked(b"") == Asked()
    assert SURFACES["gemini.cached_contents"].asked(b'{"model":"models/m"}', "/v1beta/cachedContents").model == "m"


def test_only_a_model_in_the_body_is_replaced() -> None:
    body = b'{ "model" : "models/alias" }'
    assert SURFACES["gemini.generate_content"].prepare(body, model="m", ask_for_usage=True) is body
    assert (
        SURFACES["gemini.cached_contents"].prepare(body, model="m", ask_for_usage=True) == b'{ "model" : "models/m" }'
    )
    assert SURFACES["gemini.interactions"].prepare(body, model="m", ask_for_usage=True) == b'{ "model" : "m" }'


def test_the_prompt_is_what_was_said_and_no_image() -> None:
    body = {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "What is it?"}, {"inlineData": {"data": "iVBORw0"}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "look", "description": "Looks."}]}],
    }
    text = SURFACES["gemini.generate_content"].prompt_text(json.dumps(body).encode())
    assert text is not None
    for said in ("Be brief.", "What is it?", "Looks."):
        assert said in text
    assert "iVBORw0" not in text
    embed = SURFACES["gemini.embed_content"]
    assert embed.prompt_text(b'{"content":{"parts":[{"text":"a"}]}}') == "a"
    assert embed.prompt_text(b'{"requests":[{"content":{"parts":[{"text":"a"},{"text":"b"}]}}]}') == "a\nb"
    interactions = SURFACES["gemini.interactions"]
    assert interactions.prompt_text(b'{"input":"a","system_instruction":"s"}') == "s\na"
    assert interactions.prompt_text(b'{"input":[{"type":"text","text":"a"},{"type":"image","data":"iV"}]}') == "a"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (404, "NOT_FOUND"),
        (413, "FAILED_PRECONDITION"),
        (429, "RESOURCE_EXHAUSTED"),
        (502, "INTERNAL"),
        (503, "UNAVAILABLE"),
    ],
)
def test_an_error_has_googles_shape(status: int, kind: str) -> None:
    told = json.loads(error(status, "some_code", 'say "what" to do'))["error"]
    assert (told["code"], told["status"], told["message"]) == (status, kind, 'say "what" to do')
    assert told["details"][0]["reason"] == "SOME_CODE"


@pytest.mark.parametrize(
    "part", [{"text": "a"}, {"functionCall": {"name": "f"}}, {"inlineData": {"mimeType": "image/png", "data": "AA"}}]
)
def test_text_calls_images_and_sounds_are_generated_content(part: dict[str, object]) -> None:
    reader = SURFACES["gemini.generate_content"].reader()
    reader.feed(b'data: {"candidates":[{"content":{"role":"model"}}]}\r\n\r\n')
    assert not reader.started
    chunk = {"candidates": [{"content": {"parts": [part]}}]}
    reader.feed(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n")
    assert reader.started


def test_an_answer_with_a_large_image_states_its_usage() -> None:
    image = {"candidates": [{"content": {"parts": [{"inlineData": {"data": "A" * 3 * DOCUMENT_LIMIT}}]}}]}
    stated = {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 1290}, "modelVersion": "m"}
    reading = read("gemini.generate_content", json.dumps(image | stated).encode())
    assert reading.usage is not None
    assert (reading.usage.input_tokens, reading.usage.output_tokens, reading.model) == (9, 1290, "m")
    assert reading.flags == ("reply.large",)


def test_an_array_of_any_length_takes_little_memory() -> None:
    chunk = {"candidates": [{"content": {"parts": [{"text": "word "}]}}], "usageMetadata": {"promptTokenCount": 3}}
    element = json.dumps(chunk).encode() + b"\r\n,\r\n"
    reader = SURFACES["gemini.generate_content"].reader()
    reader.feed(b"[")
    for _ in range(60_000):  # until the text that is kept has reached its bound
        reader.feed(element)
    tracemalloc.start()
    for _ in range(60_000):
        reader.feed(element)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 100_000
    reading = reader.close()
    assert reading.text_characters == 600_000
    assert reading.usage is not None
    assert reading.usage.input_tokens == 3


def test_a_large_embedding_states_its_usage() -> None:
    vectors = [{"values": [0.0123] * 3072} for _ in range(80)]
    body = json.dumps({"embeddings": vectors, "usageMetadata": {"promptTokenCount": 7}}).encode()
    assert len(body) > DOCUMENT_LIMIT
    reading = read("gemini.embed_content", body)
    assert reading.usage is not None
    assert reading.usage.input_tokens == 7


def test_a_cache_that_is_looked_at_again_counts_once() -> None:
    body = b'{"name":"cachedContents/c","model":"models/m","usageMetadata":{"totalTokenCount":9}}'
    first, again = read("gemini.cached_contents", body), read("gemini.cached_contents", body)
    assert first.counted_as == again.counted_as == "cachedContents/c"
    assert first.usage is not None
    assert (first.usage.input_tokens, first.usage.units) == (None, {"cache_storage_tokens": 9})


def test_an_interaction_in_the_background_counts_when_it_is_done() -> None:
    asked = read("gemini.interactions", b'{"id":"v1","status":"in_progress","agent":"a"}')
    assert (asked.usage, asked.counted_as, asked.pending) == (None, None, True)
    done = b'{"id":"v1","status":"completed","agent":"a","usage":{"total_input_tokens":5,"total_output_tokens":2}}'
    for _ in range(2):
        seen = read("gemini.interactions_view", done)
        assert seen.usage is not None
        assert (seen.usage.input_tokens, seen.counted_as, seen.pending) == (5, "v1", False)


def test_free_calls_are_no_usage() -> None:
    for name in ("gemini.count_tokens", "gemini.cached_contents", "gemini.interactions_view"):
        assert not SURFACES[name].metered
    assert read("gemini.count_tokens", b'{"totalTokens":12}') == Reading()
