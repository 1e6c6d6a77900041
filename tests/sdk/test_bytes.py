"""Byte for byte: a reply through the gate beside the reply of a direct call."""

from __future__ import annotations

import json
import socket
from urllib.parse import urlsplit

import pytest

from tests.simulator.raw import Raw, request

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Cafés, 日本 and tides?"}]}
REQUESTS = {
    "chat": ("/v1/chat/completions", CHAT),
    "chat stream": ("/v1/chat/completions", CHAT | {"stream": True}),
    "chat stream, no usage": (
        "/v1/chat/completions",
        CHAT | {"stream": True, "stream_options": {"include_usage": False}},
    ),
    "chat stream, usage": ("/v1/chat/completions", CHAT | {"stream": True, "stream_options": {"include_usage": True}}),
    "chat stream, n": ("/v1/chat/completions", CHAT | {"stream": True, "n": 3, "max_tokens": 25}),
    "completion": ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "One"}),
    "completion stream": ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "One", "stream": True}),
    "response": ("/v1/responses", {"model": "gpt-5", "input": "Tides"}),
    "response stream": ("/v1/responses", {"model": "gpt-5", "input": "Tides", "stream": True}),
    "embeddings": ("/v1/embeddings", {"model": "text-embedding-3-small", "input": ["a", "b"]}),
}
# The gate asks for the usage of these upstream and takes it out again. What is compressed can then be
# the same only once it is decoded.
CHANGED = ("chat stream", "chat stream, no usage", "chat stream, n", "completion stream")
ENCODINGS = ["identity", "gzip", "br", "zstd", "deflate", "deflate-raw", "gzip, br"]


def both(way, path: str, body: object, headers: dict[str, str], *, method: str = "POST") -> tuple[Raw, Raw]:
    direct = request(way.direct, path, body, headers=headers, method=method)
    through_gate = request(way.gate.url, path, body, headers=headers, method=method)
    return direct, through_gate


def without_ours(reply: Raw) -> list[tuple[str, str]]:
    return [pair for pair in reply.headers if pair[0] != "date" and not pair[0].startswith("x-joulegate-")]


@pytest.mark.parametrize("splits", [None, 1, 2, 3])
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", REQUESTS)
def test_the_same_bytes(way, name, encoding, splits):
    path, body = REQUESTS[name]
    headers = {"x-simulate-content-encoding": encoding}
    if splits is not None:
        headers["x-simulate-splits"] = str(splits)
    direct, through_gate = both(way, path, body, headers)
    assert through_gate.complete
    assert through_gate.status == direct.status == 200
    assert through_gate.decoded() == direct.decoded()
    if encoding == "identity" or name not in CHANGED:
        assert through_gate.body == direct.body
    assert without_ours(through_gate) == without_ours(direct)
    assert through_gate.header("x-joulegate-call-id")


@pytest.mark.parametrize("splits", ["1", "2"])
@pytest.mark.parametrize("name", [name for name in REQUESTS if "stream" in name])
def test_the_same_bytes_with_lines_that_end_in_crlf(way, name, splits):
    path, body = REQUESTS[name]
    direct, through_gate = both(way, path, body, {"x-simulate-newline": "crlf", "x-simulate-splits": splits})
    assert b"\r\n\r\n" in direct.body
    assert through_gate.body == direct.body


@pytest.mark.parametrize(
    ("model", "usage"),
    [("mistral/mistral-small-latest", "always"), ("groq/llama-3.3-70b-versatile", "x_groq"), ("gpt-4o", "absent")],
)
@pytest.mark.parametrize("asked", [{}, {"stream_options": {"include_usage": True}}])
def test_the_same_bytes_wherever_a_provider_puts_its_usage(way, model, usage, asked):
    body = {"model": model, "messages": CHAT["messages"], "stream": True} | asked
    headers = {"x-simulate-usage": usage, "x-simulate-splits": "4"}
    direct = request(way.direct, "/v1/chat/completions", body | {"model": model.rpartition("/")[2]}, headers=headers)
    through_gate = request(way.gate.url, "/v1/chat/completions", body, headers=headers)
    assert through_gate.body == direct.body


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 529])
@pytest.mark.parametrize("name", ["chat", "chat stream", "response stream", "embeddings"])
def test_the_same_errors(way, name, status):
    path, body = REQUESTS[name]
    direct, through_gate = both(way, path, body, {"x-simulate-status": str(status)})
    assert (through_gate.status, through_gate.body) == (status, direct.body)
    assert without_ours(through_gate) == without_ours(direct)


@pytest.mark.parametrize("after", [0, 1, 5])
@pytest.mark.parametrize("name", ["chat", "chat stream", "chat stream, usage", "completion stream", "response stream"])
def test_the_same_error_inside_a_200(way, name, after):
    path, body = REQUESTS[name]
    direct, through_gate = both(way, path, body, {"x-simulate-error-after": str(after)})
    assert (through_gate.status, through_gate.body, through_gate.complete) == (200, direct.body, True)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("after", [1, 5])
@pytest.mark.parametrize("name", ["chat stream", "chat stream, usage", "response stream"])
def test_a_reply_cut_off_stays_cut_off(way, name, after, encoding):
    path, body = REQUESTS[name]
    headers = {"x-simulate-cut-after": str(after), "x-simulate-content-encoding": encoding}
    direct, through_gate = both(way, path, body, headers)
    assert not direct.complete
    assert not through_gate.complete
    if encoding == "identity":
        # Nothing that the provider did not send; what it sent may end one event earlier, inside the gate.
        assert direct.body.startswith(through_gate.body)


@pytest.mark.parametrize("name", ["chat", "embeddings", "chat stream"])
def test_large_replies(way, name):
    path, body = REQUESTS[name]
    size = 300_000 if "stream" in name else 5_000_000
    direct, through_gate = both(way, path, body, {"x-simulate-body-bytes": str(size)})
    assert len(direct.body) > size
    assert through_gate.body == direct.body


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", "/v1/models/gpt-4o"),
        ("GET", "/openai/v1/models/nobodys"),
        ("HEAD", "/openai/v1/models"),
        ("OPTIONS", "/openai/v1/chat/completions"),
        ("GET", "/openai/v1/no/such/path?a=1&a=2"),
    ],
)
def test_the_same_replies_to_other_requests(way, method, path):
    direct = request(way.direct, path.replace("/openai/", "/"), method=method)
    through_gate = request(way.gate.url, path, method=method)
    assert (through_gate.status, through_gate.body) == (direct.status, direct.body)
    assert without_ours(through_gate) == without_ours(direct)


def test_an_event_is_passed_on_before_the_next_one_comes(way):
    """The second event is an hour away, and the first is there: nothing waits for more."""
    first = request(way.direct, "/v1/chat/completions", CHAT | {"stream": True}).events()[0]
    parts = urlsplit(way.gate.url)
    payload = json.dumps(CHAT | {"stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(payload)}\r\n"
    received = b""
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(f"{head}x-simulate-token-ms: 3600000\r\n\r\n".encode() + payload)
        while first not in received:
            data = connection.recv(65536)
            assert data
            received += data
    assert received.count(b"data: ") == 1
