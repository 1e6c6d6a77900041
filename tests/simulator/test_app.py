import contextlib
import json
import socket
import time
from urllib.parse import urlsplit

import pytest

from proxy.simulator import in_thread
from tests.simulator.raw import request

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Tell me about rivers."}]}
STREAM = CHAT | {"stream": True}
WITH_USAGE = STREAM | {"stream_options": {"include_usage": True}}


@pytest.mark.parametrize("prefix", ["", "/v1", "/openai/v1", "/api/v1", "/inference/v1"])
@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/chat/completions", CHAT, "chat.completion"),
        ("/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "Rivers"}, "text_completion"),
        ("/responses", {"model": "gpt-4o", "input": "Rivers"}, "response"),
        ("/embeddings", {"model": "text-embedding-3-small", "input": "Rivers"}, "list"),
    ],
)
def test_answers_under_any_prefix(simulator, prefix, path, body, kind):
    reply = request(simulator, prefix + path, body)
    assert reply.status == 200
    assert json.loads(reply.body)["object"] == kind


def test_same_request_and_seed_give_the_same_bytes(simulator):
    first, again = (request(simulator, "/v1/chat/completions", WITH_USAGE) for _ in range(2))
    assert first.body == again.body
    assert [pair for pair in first.headers if pair[0] != "date"] == [p for p in again.headers if p[0] != "date"]
    with in_thread(seed=1) as other:
        assert request(other, "/v1/chat/completions", WITH_USAGE).body != first.body


def test_streaming_changes_neither_text_nor_usage(simulator):
    whole = json.loads(request(simulator, "/v1/chat/completions", CHAT).body)
    events = [json.loads(event[6:]) for event in request(simulator, "/chat/completions", WITH_USAGE).events()[:-1]]
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events[:-1])
    assert text == whole["choices"][0]["message"]["content"]
    assert events[-1]["usage"] == whole["usage"]


def test_asking_for_usage_adds_one_event_and_null_members_and_nothing_else(simulator):
    without = request(simulator, "/v1/chat/completions", STREAM).events()
    given = request(simulator, "/v1/chat/completions", WITH_USAGE).events()
    assert b"usage" not in b"".join(without)
    assert all(event.count(b'"usage":null') == 1 for event in given[:-2])
    extra = json.loads(given[-2][6:])
    assert extra["choices"] == []
    assert given[-1] == b"data: [DONE]"
    stripped = [event.replace(b',"usage":null', b"") for event in given]
    assert stripped[:-2] + stripped[-1:] == without


def test_usage_of_a_stream_counts_its_events(simulator):
    headers = {"x-simulate-output-tokens": "37"}
    given = request(simulator, "/v1/chat/completions", WITH_USAGE | {"n": 3}, headers=headers).events()
    chunks = [json.loads(event[6:]) for event in given[:-1]]
    with_text = [chunk for chunk in chunks if chunk["choices"] and chunk["choices"][0]["delta"].get("content")]
    assert len(with_text) == chunks[-1]["usage"]["completion_tokens"] == 3 * 37
    assert {chunk["choices"][0]["index"] for chunk in with_text[:3]} == {0, 1, 2}


def test_output_limit_ends_a_reply(simulator):
    choice = json.loads(request(simulator, "/v1/chat/completions", CHAT | {"max_tokens": 5}).body)
    assert choice["choices"][0]["finish_reason"] == "length"
    assert choice["usage"]["completion_tokens"] == 5


def test_reasoning_counts_as_output_and_may_use_up_the_limit(simulator):
    reply = json.loads(request(simulator, "/v1/chat/completions", CHAT | {"model": "o3"}).body)["usage"]
    reasoning = reply["completion_tokens_details"]["reasoning_tokens"]
    assert reasoning > 0
    assert reply["completion_tokens"] > reasoning
    short = CHAT | {"model": "o3", "max_completion_tokens": 10}
    limited = json.loads(request(simulator, "/v1/chat/completions", short).body)
    assert limited["choices"][0]["message"]["content"] == ""
    assert limited["usage"]["completion_tokens_details"]["reasoning_tokens"] == 10


def test_a_long_prefix_read_again_is_cached(simulator):
    paper = "Tides rise and fall twice a day. " * 200

    def cached(question: str, model: str = "gpt-4o") -> int:
        body = {
            "model": model,
            "messages": [{"role": "system", "content": paper}, {"role": "user", "content": question}],
        }
        usage = json.loads(request(simulator, "/v1/chat/completions", body).body)["usage"]
        tokens = usage["prompt_tokens_details"]["cached_tokens"]
        assert tokens <= usage["prompt_tokens"]
        return tokens

    assert cached("Why?") == 0
    assert cached("When?") == len("system\n" + paper) // 512 * 128 > 1024
    assert cached("When?", "gpt-4o-mini") == 0


def test_short_prompts_are_never_cached(simulator):
    for _ in range(2):
        usage = json.loads(request(simulator, "/v1/chat/completions", CHAT).body)["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0


@pytest.mark.parametrize(("value", "where"), [("always", "usage"), ("x_groq", "x_groq")])
def test_some_providers_report_usage_unasked_in_the_last_chunk(simulator, value, where):
    events = request(simulator, "/v1/chat/completions", STREAM, headers={"x-simulate-usage": value}).events()
    last = json.loads(events[-2][6:])
    assert last["choices"][0]["finish_reason"] == "stop"
    usage = last["usage"] if where == "usage" else last["x_groq"]["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize("path", ["chat/completions", "completions", "responses", "embeddings"])
@pytest.mark.parametrize("stream", [False, True])
def test_some_providers_never_report_usage(simulator, path, stream):
    body = {"model": "m", "messages": [], "prompt": "x", "input": "x", "stream": stream}
    body |= {"stream_options": {"include_usage": True}} if path != "responses" else {}
    reply = request(simulator, f"/v1/{path}", body, headers={"x-simulate-usage": "absent"})
    assert reply.status == 200
    assert b'_tokens":' not in reply.body.replace(b'"max_output_tokens":', b"").replace(b" ", b"")


def test_headers_are_those_of_a_provider(simulator):
    names = [name for name, _ in request(simulator, "/v1/chat/completions", CHAT).headers]
    assert names.count("set-cookie") == 2
    assert names.count("date") == names.count("server") == 1
    expected = {"x-request-id", "openai-processing-ms", "openai-version", "x-ratelimit-remaining-tokens"}
    assert expected <= set(names)


def test_lists_and_describes_models(simulator):
    listed = json.loads(request(simulator, "/v1/models", method="GET").body)
    assert {"gpt-4o", "text-embedding-3-small"} <= {model["id"] for model in listed["data"]}
    assert json.loads(request(simulator, "/models/gpt-4o", method="GET").body)["id"] == "gpt-4o"
    missing = request(simulator, "/v1/models/nobodys", method="GET")
    assert (missing.status, json.loads(missing.body)["error"]["code"]) == (404, "model_not_found")
    head = request(simulator, "/v1/models", method="HEAD")
    assert (head.status, head.body, head.complete) == (200, b"", True)


def test_answers_a_browsers_preflight(simulator):
    reply = request(simulator, "/v1/chat/completions", method="OPTIONS")
    assert (reply.status, reply.body, reply.header("access-control-allow-origin")) == (204, b"", "*")


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("POST", "/v1/chat/completions", b"{", {}, 400),
        ("POST", "/v1/chat/completions", b"\xff", {}, 400),
        ("POST", "/v1/chat/completions", b'{"model":"\xff"}', {}, 400),
        ("POST", "/v1/chat/completions", b"[]", {}, 400),
        ("POST", "/v1/chat/completions", {"messages": []}, {}, 400),
        ("POST", "/v1/embeddings", {"model": "m"}, {}, 400),
        ("GET", "/v1/chat/completions", None, {}, 405),
        ("POST", "/v1/nothing", {}, {}, 404),
        ("POST", "/v1/chat/completions", CHAT, {"x-simulate-status": "teapot"}, 400),
        ("POST", "/v1/chat/completions", CHAT, {"x-simulate-splits": "-1"}, 400),
        ("POST", "/v1/chat/completions", CHAT, {"x-simulate-token-ms": "nan"}, 400),
        ("POST", "/v1/chat/completions", CHAT, {"x-simulate-usage": "sometimes"}, 400),
        ("POST", "/v1/chat/completions", CHAT, {"x-simulate-content-encoding": "zip"}, 400),
        ("POST", "/v1/chat/completions", CHAT, {"x-simulate-typo": "1"}, 400),
    ],
)
def test_bad_requests_are_refused_in_openais_shape(simulator, method, path, body, headers, status):
    reply = request(simulator, path, body, method=method, headers=headers)
    assert reply.status == status
    error = json.loads(reply.body)["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    if headers:
        assert next(iter(headers)) in error["message"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503, 529])
def test_errors_on_request(simulator, status):
    reply = request(simulator, "/v1/chat/completions", STREAM, headers={"x-simulate-status": str(status)})
    assert reply.status == status
    assert json.loads(reply.body)["error"]["message"]
    assert (reply.header("x-should-retry") == "true") == (status == 429 or status >= 500)


def test_a_rate_limit_says_when_to_come_back(simulator):
    headers = {"x-simulate-status": "429", "x-simulate-retry-after-ms": "1500"}
    reply = request(simulator, "/v1/responses", {"model": "m"}, headers=headers)
    assert (reply.header("retry-after-ms"), reply.header("retry-after")) == ("1500", "2")
    assert json.loads(reply.body)["error"]["code"] == "rate_limit_exceeded"


def test_statuses_go_by_attempt(simulator):
    def status(attempt: int) -> int:
        headers = {"x-simulate-status": "429, 500, 200", "x-stainless-retry-count": str(attempt)}
        return request(simulator, "/v1/chat/completions", CHAT, headers=headers).status

    assert [status(attempt) for attempt in range(5)] == [429, 500, 200, 200, 200]


def test_statuses_go_by_the_attempts_that_aws_counts_from_one(simulator):
    def status(attempt: int) -> int:
        headers = {"x-simulate-status": "503,200", "amz-sdk-request": f"ttl=20260115T120000Z; attempt={attempt}; max=3"}
        return request(simulator, "/v1/chat/completions", CHAT, headers=headers).status

    assert [status(attempt) for attempt in (1, 2, 3)] == [503, 200, 200]


def test_statuses_of_a_client_that_does_not_count_go_by_how_often_it_asks_and_begin_anew(simulator):
    def status(question: str) -> int:
        body = CHAT | {"messages": [{"role": "user", "content": question}]}
        return request(simulator, "/v1/chat/completions", body, headers={"x-simulate-status": "429,500,200"}).status

    assert [status("Once more?") for _ in range(4)] == [429, 500, 200, 429]
    assert status("Another?") == 429


@pytest.mark.parametrize("kind", ["chat", "embedding", "embedding64"])
def test_replies_as_long_as_wished(simulator, kind):
    path, body = "/v1/chat/completions", CHAT
    if kind != "chat":
        path, body = "/v1/embeddings", {"model": "m", "input": ["a", "b"]}
        body |= {"encoding_format": "base64"} if kind == "embedding64" else {}
    reply = request(simulator, path, body, headers={"x-simulate-body-bytes": "3000000"})
    assert len(reply.body) >= 3_000_000
    assert json.loads(reply.body)["usage"]["total_tokens"] > 0


@pytest.mark.parametrize(
    ("path", "headers", "status"), [("/v1/nothing", {}, 404), ("/v1/realtime", {"x-simulate-typo": "1"}, 400)]
)
def test_websockets_are_refused_in_openais_shape(simulator, path, headers, status):
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    upgrade["sec-websocket-key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    reply = request(simulator, path, method="GET", headers=upgrade | headers)
    assert reply.status == status
    assert json.loads(reply.body)["error"]["message"]


def test_takes_a_body_of_many_megabytes(simulator):
    body = CHAT | {"messages": [{"role": "user", "content": "x" * 20_000_000}]}
    reply = request(simulator, "/v1/chat/completions", body)
    assert json.loads(reply.body)["usage"]["prompt_tokens"] > 5_000_000


@pytest.mark.parametrize("where", ["before_head", "before_body"])
def test_hangs_until_the_client_leaves(simulator, where):
    parts = urlsplit(simulator)
    payload = json.dumps(STREAM).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(payload)}\r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=0.5) as connection:
        connection.sendall(f"{head}x-simulate-hang: {where}\r\n\r\n".encode() + payload)
        received = b""
        with contextlib.suppress(TimeoutError):
            while data := connection.recv(65536):
                received += data
            pytest.fail("the connection was closed")
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") == (where == "before_body")
    assert body == b""
    assert request(simulator, "/v1/chat/completions", CHAT).status == 200


def test_waits_as_long_as_wished(simulator):
    headers = {"x-simulate-first-token-ms": "120", "x-simulate-token-ms": "20", "x-simulate-output-tokens": "10"}
    began = time.monotonic()
    request(simulator, "/v1/chat/completions", STREAM, headers=headers)
    # Never much sooner; how much later is the machine's affair.
    assert time.monotonic() - began >= 0.25
