"""The formats beside OpenAI's, byte by byte: each answers, streams, refuses and breaks off in its own words."""

import base64
import json
import re
import zlib

import pytest

from proxy.simulator import in_thread
from tests.simulator.raw import Raw, request

TURNS = [{"role": "user", "content": "Tell me about café tables → 日本."}]
CONTENTS = [{"role": "user", "parts": [{"text": "Tell me about café tables → 日本."}]}]
BLOCKS = [{"role": "user", "content": [{"text": "Tell me about café tables → 日本."}]}]
CLAUDE = {"model": "claude-haiku-4-5", "max_tokens": 40, "messages": TURNS}
GEMINI = {"contents": CONTENTS, "generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}
WHOLE = {  # format: path and body
    "anthropic": ("/anthropic/v1/messages", CLAUDE),
    "gemini": ("/v1beta/models/gemini-2.5-flash:generateContent", GEMINI),
    "vertex": ("/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash:generateContent", GEMINI),
    "bedrock": ("/model/eu.amazon.nova-micro-v1%3A0/converse", {"messages": BLOCKS}),
    "bedrock invoke": ("/model/anthropic.claude-haiku-4-5-20251001-v1:0/invoke", {"max_tokens": 40, "messages": TURNS}),
    "cohere": ("/v2/chat", {"model": "command-a-03-2025", "messages": TURNS}),
    "ollama": ("/api/chat", {"model": "llama3.2", "messages": TURNS, "stream": False}),
    "ollama generate": ("/api/generate", {"model": "llama3.2", "prompt": "Tell me", "stream": False}),
    "gemini embeddings": ("/v1/models/gemini-embedding-2:embedContent", {"content": CONTENTS[0]}),
    "cohere embeddings": ("/v2/embed", {"model": "embed-v4.0", "texts": ["a", "b"]}),
    "cohere rerank": ("/v2/rerank", {"model": "rerank-v3.5", "query": "a", "documents": ["b", "c"]}),
    "ollama embeddings": ("/api/embed", {"model": "nomic-embed-text", "input": "a"}),
}
STREAM = {
    "anthropic": ("/v1/messages", CLAUDE | {"stream": True}),
    "gemini": ("/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", GEMINI),
    "gemini array": ("/v1beta/models/gemini-2.5-flash:streamGenerateContent", GEMINI),
    "bedrock": ("/model/eu.amazon.nova-micro-v1%3A0/converse-stream", {"messages": BLOCKS}),
    "bedrock invoke": ("/model/anthropic.claude-x/invoke-with-response-stream", {"max_tokens": 40, "messages": TURNS}),
    "cohere": ("/v2/chat", {"model": "command-a-03-2025", "messages": TURNS, "stream": True}),
    "ollama": ("/api/chat", {"model": "llama3.2", "messages": TURNS}),
    "ollama generate": ("/api/generate", {"model": "llama3.2", "prompt": "Tell me"}),
}
TYPES = {
    "anthropic": "text/event-stream; charset=utf-8",
    "gemini": "text/event-stream",
    "gemini array": "application/json; charset=UTF-8",
    "bedrock": "application/vnd.amazon.eventstream",
    "bedrock invoke": "application/vnd.amazon.eventstream",
    "cohere": "text/event-stream",
    "ollama": "application/x-ndjson",
    "ollama generate": "application/x-ndjson",
}
# Where each says that something went wrong.
ERRORS = {
    "anthropic": lambda error: error["error"]["message"],
    "gemini": lambda error: error["error"]["message"],
    "vertex": lambda error: error["error"]["message"],
    "bedrock": lambda error: error["message"],
    "cohere": lambda error: error["message"],
    "ollama": lambda error: error["error"],
}
COUNTED = re.compile(rb'"(\w*([tT]okens?|_count|TokenCount)|search_units)": ?\d')


def message_of(name: str, reply: Raw) -> str:
    return ERRORS[name.split()[0]](json.loads(reply.body))


def plain_json(reply: Raw) -> dict[str, object]:
    assert (reply.status, reply.complete, reply.header("content-type")) == (200, True, "application/json")
    return json.loads(reply.body)


def events_of(data: bytes) -> list[dict[str, object]]:
    """The JSON of each event, whatever frames it."""
    if data[:1] == b"\0":
        messages = []
        while data:
            size, headers = int.from_bytes(data[:4]), int.from_bytes(data[4:8])
            assert zlib.crc32(data[: size - 4]).to_bytes(4) == data[size - 4 : size]
            assert zlib.crc32(data[:8]).to_bytes(4) == data[8:12]
            messages.append(json.loads(data[12 + headers : size - 4]))
            data = data[size:]
        return [json.loads(base64.b64decode(each["bytes"])) if "bytes" in each else each for each in messages]
    if data[:1] == b"[":
        return json.loads(data)
    if data[:1] == b"{":
        return [json.loads(line) for line in data.splitlines()]
    lines = [line for line in data.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line[6:]) for line in lines if line != b"data: [DONE]"]


def texts(value: object) -> str:
    """All the generated text of a reply, in its order."""
    if isinstance(value, list):
        return "".join(map(texts, value))
    if not isinstance(value, dict):
        return ""
    own = value.get("text", value.get("response", ""))
    if isinstance(own, str) and own:
        return own
    if value.get("role") == "assistant" and isinstance(value.get("content"), str):
        return value["content"]
    return "".join(texts(inner) for inner in value.values())


@pytest.mark.parametrize("name", WHOLE)
def test_the_same_request_gives_the_same_bytes_and_another_seed_others(simulator, name):
    path, body = WHOLE[name]
    first, again = (request(simulator, path, body) for _ in range(2))
    assert plain_json(first)
    assert first.body == again.body
    with in_thread(seed=1) as other:
        assert request(other, path, body).body != first.body


@pytest.mark.parametrize("name", STREAM)
def test_a_stream_has_its_type_and_the_text_of_the_whole_reply(simulator, name):
    path, body = STREAM[name]
    streamed = request(simulator, path, body)
    assert (streamed.status, streamed.complete, streamed.header("content-type")) == (200, True, TYPES[name])
    whole_path, whole_body = WHOLE[name.removesuffix(" array")]
    if name == "bedrock invoke":
        whole_path = path.replace("invoke-with-response-stream", "invoke")
    assert texts(events_of(streamed.body)) == texts(plain_json(request(simulator, whole_path, whole_body)))
    assert len(texts(events_of(streamed.body))) > 50


@pytest.mark.parametrize("encoding", ["identity", "gzip", "br", "zstd"])
@pytest.mark.parametrize("name", STREAM)
def test_encodings_and_splits_carry_the_same_bytes(simulator, name, encoding):
    path, body = STREAM[name]
    headers = {"x-simulate-content-encoding": encoding, "x-simulate-splits": "3"}
    given = request(simulator, path, body, headers=headers)
    assert given.complete
    assert given.decoded() == request(simulator, path, body).body


@pytest.mark.parametrize("name", STREAM)
def test_crlf_ends_lines_and_leaves_binary_messages_alone(simulator, name):
    path, body = STREAM[name]
    plain = request(simulator, path, body).body
    given = request(simulator, path, body, headers={"x-simulate-newline": "crlf"}).body
    assert given == (plain if plain[:1] == b"\0" else re.sub(rb"\r?\n", b"\r\n", plain))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 418, 429, 500, 503, 529])
@pytest.mark.parametrize("name", WHOLE)
def test_errors_have_the_shape_of_their_provider(simulator, name, status):
    path, body = WHOLE[name]
    reply = request(simulator, path, body, headers={"x-simulate-status": str(status)})
    assert reply.status == status
    assert message_of(name, reply)
    assert (reply.header("retry-after") is not None) == (status == 429)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize(
    ("method", "sent", "headers", "status", "said"),
    [
        ("POST", b"{", {}, 400, "JSON"),
        ("POST", b"[]", {}, 400, "Invalid request body"),
        ("GET", None, {}, 405, "Not allowed"),
        ("POST", {}, {"x-simulate-typo": "1"}, 400, "x-simulate-typo"),
    ],
)
def test_bad_requests_are_refused_in_the_shape_of_their_provider(simulator, name, method, sent, headers, status, said):
    reply = request(simulator, WHOLE[name][0], sent, method=method, headers=headers)
    assert reply.status == status
    assert said in message_of(name, reply)


def test_a_request_of_anthropics_names_its_model(simulator):
    reply = request(simulator, "/v1/messages", {"max_tokens": 40, "messages": TURNS})
    assert (reply.status, message_of("anthropic", reply)) == (400, "model: Field required")


@pytest.mark.parametrize("name", WHOLE)
def test_a_provider_may_never_report_usage(simulator, name):
    path, body = WHOLE[name]
    assert COUNTED.search(request(simulator, path, body).body)
    reply = request(simulator, path, body, headers={"x-simulate-usage": "absent"})
    assert not COUNTED.search(reply.body)
    assert not [header for header, _ in reply.headers if "token-count" in header]


@pytest.mark.parametrize("name", STREAM)
def test_a_stream_may_never_report_usage(simulator, name):
    path, body = STREAM[name]
    given = events_of(request(simulator, path, body, headers={"x-simulate-usage": "absent"}).body)
    assert not COUNTED.search(json.dumps(given).encode())
    assert COUNTED.search(json.dumps(events_of(request(simulator, path, body).body)).encode())


@pytest.mark.parametrize("after", [0, 4])
@pytest.mark.parametrize("name", STREAM)
def test_an_error_inside_a_stream_comes_after_so_many_events(simulator, name, after):
    path, body = STREAM[name]
    plain = events_of(request(simulator, path, body).body)
    given = request(simulator, path, body, headers={"x-simulate-error-after": str(after)})
    assert (given.status, given.complete) == (200, True)
    read = events_of(given.body)
    assert read[:-1] == plain[:after]
    assert read[-1] not in plain
    assert re.search("error|ERROR|UNAVAILABLE|unable|terminated", json.dumps(read[-1]))


@pytest.mark.parametrize("name", STREAM)
def test_a_cut_resets_the_connection_after_so_many_events(simulator, name):
    path, body = STREAM[name]
    plain = request(simulator, path, body)
    given = request(simulator, path, body, headers={"x-simulate-cut-after": "3"})
    assert (given.was_reset, given.complete) == (True, False)
    assert given.body == b"".join(plain.chunks[:3])


@pytest.mark.parametrize("name", ["gemini embeddings", "cohere embeddings", "ollama embeddings"])
def test_vectors_as_long_as_wished(simulator, name):
    path, body = WHOLE[name]
    assert len(request(simulator, path, body, headers={"x-simulate-body-bytes": "1000000"}).body) >= 1_000_000


def test_anthropic_caches_only_what_it_is_told_to(simulator):
    def counts(system: object) -> tuple[int, int, int]:
        usage = json.loads(request(simulator, "/v1/messages", CLAUDE | {"system": system}).body)["usage"]
        assert usage["cache_creation"]["ephemeral_5m_input_tokens"] == usage["cache_creation_input_tokens"]
        return usage["input_tokens"], usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]

    text = "Ebb and flow, twice a day. " * 300
    told = [{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]
    uncached, first, second = counts(text), counts(told), counts(told)
    assert counts(text) == uncached == (sum(first), 0, 0)
    assert first[1] == second[2] >= 1024
    assert (first[2], second[1]) == (0, 0)
    assert first[0] == second[0]


def test_bedrock_caches_only_what_it_is_told_to(simulator):
    text = {"text": "Spring and neap, twice a month. " * 300}

    def counts(*system: object) -> tuple[int, int]:
        path, body = WHOLE["bedrock"]
        usage = json.loads(request(simulator, path, body | {"system": system}).body)["usage"]
        assert usage["totalTokens"] == sum(usage[name] for name in usage if name.endswith("putTokens"))
        return usage["cacheWriteInputTokens"], usage["cacheReadInputTokens"]

    marked = (text, {"cachePoint": {"type": "default"}})
    assert counts(text) == counts(text) == (0, 0)
    written, _ = counts(*marked)
    assert written >= 1024
    assert counts(*marked) == (0, written)


def test_gemini_counts_grow_with_the_stream_and_add_up(simulator):
    path, _ = STREAM["gemini"]
    events = events_of(request(simulator, path, {"contents": CONTENTS}).body)
    counts = [event["usageMetadata"] for event in events]
    written = [count.get("candidatesTokenCount", 0) for count in counts]
    assert written == sorted(written)
    assert written[-1] == len(events)
    last = counts[-1]
    assert last["totalTokenCount"] == last["promptTokenCount"] + written[-1] + last["thoughtsTokenCount"]
    assert [event["candidates"][0].get("finishReason") for event in events[-2:]] == [None, "STOP"]


def test_gemini_streams_end_their_lines_with_crlf(simulator):
    body = request(simulator, *STREAM["gemini"]).body
    assert body.endswith(b"\r\n\r\n")
    assert body.count(b"\n") == body.count(b"\r\n")


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        ("/v1/messages/count_tokens", CLAUDE, "input_tokens"),
        ("/v1beta/models/gemini-2.5-flash:countTokens", {"contents": CONTENTS}, "totalTokens"),
    ],
)
def test_counts_that_are_free(simulator, path, body, where):
    assert plain_json(request(simulator, path, body))[where] > 10


def test_cohere_reads_more_than_it_bills(simulator):
    usage = plain_json(request(simulator, *WHOLE["cohere"]))["usage"]
    assert usage["tokens"]["input_tokens"] > usage["billed_units"]["input_tokens"]


def test_ollama_counts_what_it_evaluated_and_not_what_was_cached(simulator):
    path, body = WHOLE["ollama"]
    long = body | {"messages": [{"role": "user", "content": "Moon and sun. " * 600}]}
    first, second = (plain_json(request(simulator, path, long))["prompt_eval_count"] for _ in range(2))
    assert 0 < second < first - 1024
