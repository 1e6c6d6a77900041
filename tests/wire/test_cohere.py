from __future__ import annotations

import json
import tracemalloc

import pytest

from proxy.wire.registry import SURFACES, surface_for
from proxy.wire.reply import DOCUMENT_LIMIT
from proxy.wire.surface import Asked


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v2/chat", "cohere.chat"),
        ("/cohere/v1/chat", "cohere.chat"),
        ("/azure/providers/cohere/v2/chat", "cohere.chat"),
        ("/v1/generate", "cohere.generate"),
        ("/v2/embed", "cohere.embed"),
        ("/v1/embed", "cohere.embed"),
        ("/v2/rerank", "cohere.rerank"),
        ("/rerank", "cohere.rerank"),
        ("/v1/reranking", "cohere.rerank"),
        ("/v1/tokenize", "other"),
        ("/v1/chat/completions", "openai.chat"),
    ],
)
def test_which_requests_speak_it(path: str, name: str) -> None:
    assert surface_for("POST", path).name == name


def test_what_a_request_asks_for() -> None:
    body = b'{"model":"command-a-03-2025","messages":[],"stream":true,"max_tokens":9}'
    for path, name in (("/v2/chat", "cohere.chat"), ("/v1/generate", "cohere.generate")):
        asked = SURFACES[name].asked(body, path)
        assert asked == Asked(model="command-a-03-2025", stream=True, output_limit=9)
    assert SURFACES["cohere.chat"].asked(b'{"message":"Hi"}', "/v1/chat") == Asked()


def test_only_the_models_name_is_replaced() -> None:
    body = b'{ "model": "mine", "stream": true }'
    for name in ("cohere.chat", "cohere.generate", "cohere.embed", "cohere.rerank"):
        prepare = SURFACES[name].prepare
        assert prepare(body, model=None, ask_for_usage=True) is body
        assert prepare(body, model="command-r", ask_for_usage=True) == b'{ "model": "command-r", "stream": true }'


@pytest.mark.parametrize(
    ("name", "body", "text"),
    [
        ("cohere.chat", {"messages": [{"content": "a"}, {"content": [{"type": "text", "text": "b"}]}]}, "a\nb"),
        ("cohere.chat", {"preamble": "a", "chat_history": [{"message": "b"}], "message": "c"}, "a\nb\nc"),
        ("cohere.chat", {"message": "a", "documents": [{"title": "b"}]}, 'a\n[{"title":"b"}]'),
        ("cohere.generate", {"prompt": "a"}, "a"),
        ("cohere.embed", {"texts": ["a", "b"]}, "a\nb"),
        ("cohere.embed", {"inputs": [{"content": [{"type": "text", "text": "a"}]}]}, "a"),
        ("cohere.rerank", {"query": "a", "documents": ["b", {"text": "c"}]}, "a\nb\nc"),
    ],
)
def test_prompt_text(name: str, body: object, text: str) -> None:
    assert SURFACES[name].prompt_text(json.dumps(body).encode()) == text


def test_errors_of_ours() -> None:
    for name in ("cohere.chat", "cohere.generate", "cohere.embed", "cohere.rerank"):
        assert json.loads(SURFACES[name].error(429, "some_code", "why")) == {"message": "why"}


def test_a_line_is_read_before_the_next_one_comes() -> None:
    reader = SURFACES["cohere.chat"].reader()
    reader.feed(b'{"event_type":"text-generation","text":"a"}')
    assert reader.started
    reader.feed(b'\n{"event_type":"stream-end","response":{}}')
    assert reader.finished


def test_an_array_of_scores_has_its_tokens_in_the_head() -> None:
    reader = SURFACES["cohere.rerank"].reader([(b"x-compute-type", b"gpu"), (b"x-compute-tokens", b"41")])
    reader.feed(b'[{"index":0,"score":0.7}]')
    reading = reader.close()
    assert reading.usage is not None
    assert (reading.usage.input_tokens, reading.finished, reading.flags) == (41, True, ())


def test_a_large_reply_with_vectors_takes_little_memory() -> None:
    vectors = b",".join(b"[%s]" % (b"0.0123," * 999 + b"1") for _ in range(2000))
    body = b'{"id":"e","embeddings":{"float":[' + vectors + b']},"meta":{"billed_units":{"input_tokens":7}}}'
    assert len(body) > 10 * DOCUMENT_LIMIT
    reader = SURFACES["cohere.embed"].reader()
    pieces = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]
    tracemalloc.start()
    for piece in pieces:
        reader.feed(piece)
    reading = reader.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * DOCUMENT_LIMIT
    assert reading.usage is not None
    assert (reading.usage.input_tokens, reading.response_id, reading.finished) == (7, "e", True)
