from __future__ import annotations

import json

import pytest

from estimator.usage import Usage, UsageLine
from proxy.wire.anthropic import asked, error
from proxy.wire.registry import SURFACES, surface_for
from proxy.wire.sums import total
from proxy.wire.surface import Asked, Headers, Reading


def read(name: str, body: bytes, headers: Headers = ()) -> Reading:
    reader = SURFACES[name].reader(headers)
    reader.feed(body)
    return reader.close()


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/v1/messages", "anthropic.messages"),
        ("POST", "/v1/messages?beta=true", "anthropic.messages"),
        ("POST", "/messages", "anthropic.messages"),
        ("POST", "/anthropic/v1/messages", "anthropic.messages"),
        ("POST", "/api/v1/messages", "anthropic.messages"),
        (
            "POST",
            "/v1/projects/p/locations/us-east5/publishers/anthropic/models/claude-opus-5@20260401:rawPredict",
            "anthropic.messages",
        ),
        (
            "POST",
            "/v1/projects/p/locations/global/publishers/anthropic/models/claude-opus-5%40x%3AstreamRawPredict",
            "anthropic.messages",
        ),
        ("POST", "/v1/messages/count_tokens", "anthropic.count_tokens"),
        (
            "POST",
            "/v1/projects/p/locations/global/publishers/anthropic/models/count-tokens:rawPredict",
            "anthropic.count_tokens",
        ),
        ("POST", "/v1/complete", "anthropic.complete"),
        ("POST", "/v1/messages/batches", "anthropic.batches"),
        ("GET", "/v1/messages/batches", "anthropic.batches"),
        ("GET", "/v1/messages/batches/msgbatch_1", "anthropic.batches"),
        ("GET", "/v1/messages/batches/msgbatch_1/results", "anthropic.batches"),
        ("POST", "/v1/messages/batches/msgbatch_1/cancel", "anthropic.batches"),
        ("POST", "/v1/threads/thread_1/messages", "other"),
        ("GET", "/v1/messages", "other"),
    ],
)
def test_paths(method: str, path: str, name: str) -> None:
    assert surface_for(method, path).name == name


def test_what_a_request_asks_for() -> None:
    body = b'{"model":"claude-opus-5","stream":true,"max_tokens":9,"metadata":{"user_id":"u1"},"messages":[]}'
    assert asked(body) == Asked(model="claude-opus-5", stream=True, output_limit=9, user="u1")
    assert asked(b'{"prompt":"x","max_tokens_to_sample":3}') == Asked(output_limit=3)
    assert asked(b'{"model":5,"max_tokens":true,"metadata":[1]}') == Asked(problem="model is not a string")
    assert asked(b"{").problem == "malformed JSON: it ends early, at byte 1"
    assert asked(b"").problem == "the body is empty"


@pytest.mark.parametrize("at", ["@", "%40"])
@pytest.mark.parametrize("colon", [":", "%3A", "%3a"])
def test_vertex_names_the_model_in_the_path(at: str, colon: str) -> None:
    path = f"/v1/projects/p/locations/l/publishers/anthropic/models/claude-opus-5{at}20260401{colon}rawPredict?x=1"
    assert asked(b'{"anthropic_version":"vertex-2023-10-16"}', path).model == "claude-opus-5@20260401"
    assert asked(b'{"model":"named"}', path).model == "named"
    assert asked(b"{", path).model == "claude-opus-5@20260401"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (418, "invalid_request_error"),
        (429, "rate_limit_error"),
        (502, "api_error"),
        (529, "overloaded_error"),
    ],
)
def test_an_error_has_anthropics_shape(status: int, kind: str) -> None:
    told = json.loads(error(status, "some_code", 'say "what" to do'))
    assert told == {"type": "error", "error": {"type": kind, "message": 'say "what" to do', "code": "some_code"}}


def test_the_prompt_is_what_was_said_and_no_image() -> None:
    body = {
        "model": "claude-opus-5",
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": "What is it?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "look", "input": {}}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "A cat."}]},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0"}},
                ],
            },
        ],
        "tools": [{"name": "look", "description": "Looks."}],
    }
    text = SURFACES["anthropic.messages"].prompt_text(json.dumps(body).encode())
    assert text is not None
    for said in ("Be brief.", "What is it?", "A cat.", "Looks."):
        assert said in text
    assert "iVBORw0" not in text
    assert SURFACES["anthropic.complete"].prompt_text(b'{"prompt":"Human: hi"}') == "Human: hi"


def test_only_the_models_name_changes_in_a_body() -> None:
    messages = SURFACES["anthropic.messages"]
    body = b'{ "stream":true, "model" : "alias" }'
    assert messages.prepare(body, model=None, ask_for_usage=True) is body
    assert messages.prepare(body, model="claude-opus-5", ask_for_usage=True) == body.replace(b"alias", b"claude-opus-5")
    assert messages.stripper() is None


def test_counting_tokens_is_no_usage() -> None:
    assert not SURFACES["anthropic.count_tokens"].metered
    assert read("anthropic.count_tokens", b'{"input_tokens":588}') == Reading()


def test_a_message_is_finished_before_the_connection_closes() -> None:
    reader = SURFACES["anthropic.messages"].reader()
    reader.feed(b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":3}}\n\n')
    assert not reader.finished
    reader.feed(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    assert reader.finished


@pytest.mark.parametrize("said", [{"text": "a"}, {"thinking": "a"}, {"partial_json": "{"}])
def test_text_thoughts_and_tool_calls_are_generated_content(said: dict[str, str]) -> None:
    reader = SURFACES["anthropic.messages"].reader()
    start = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    reader.feed(b"data: " + json.dumps(start).encode() + b"\n\n")
    assert not reader.started
    reader.feed(b"data: " + json.dumps({"type": "content_block_delta", "delta": said}).encode() + b"\n\n")
    assert reader.started


def test_a_batch_counts_once_under_its_own_id() -> None:
    body = (
        b'{"custom_id":"0","result":{"type":"succeeded","message":{"id":"msg_1","model":"m",'
        b'"usage":{"input_tokens":2,"output_tokens":1}}}}\n'
    )
    head = [(b"content-disposition", b"attachment; filename*=utf-8''msgbatch_01Gs_results.jsonl")]
    reading = read("anthropic.batches", body, head)
    assert reading.counted_as == "msgbatch_01Gs"
    assert reading.usage is None
    assert reading.lines == (UsageLine(kind="batch", model="m", usage=Usage(input_tokens=2, output_tokens=1)),)
    assert read("anthropic.batches", body).counted_as == "msg_1"


def test_a_batch_of_very_many_models_stays_bounded() -> None:
    line = '{"custom_id":"%d","result":{"type":"succeeded","message":{"model":"m%d","usage":{"input_tokens":1}}}}\n'
    reading = read("anthropic.batches", "".join(line % (n, n) for n in range(300)).encode())
    assert len(reading.lines) == 65
    assert sum(each.usage.input_tokens or 0 for each in reading.lines) == 300


def test_a_sum_of_usages_leaves_unknown_what_neither_states() -> None:
    one = Usage(input_tokens=1, output_tokens=2, units={"web_searches": 1})
    other = Usage(input_tokens=3, cached_input_tokens=1, units={"web_searches": 2, "web_fetches": 1})
    assert total(one, other) == Usage(
        input_tokens=4, cached_input_tokens=1, output_tokens=2, units={"web_searches": 3, "web_fetches": 1}
    )
