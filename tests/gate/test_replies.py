"""What the client gets is what the provider said."""

from __future__ import annotations

import gzip
import json
import random
import time
import zlib

import brotli
import pytest
import zstandard

from tests.loopback import Client, ask, chunk, parse, post, reply, says, stream_head

PLAIN = json.dumps(
    {
        "id": "chatcmpl-1",
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hé"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21},
    }
).encode()
CODED = {
    "gzip": gzip.compress(PLAIN[:50]) + gzip.compress(PLAIN[50:]),
    "x-gzip": gzip.compress(PLAIN),
    "br": brotli.compress(PLAIN),
    "zstd": zstandard.compress(PLAIN),
    "deflate": zlib.compress(PLAIN),
    "gzip, br": brotli.compress(gzip.compress(PLAIN)),
}
CHAT = post("/v1/chat/completions", b'{"model":"gpt-4o","messages":[]}')
OURS = b"x-joulegate-"


def passed(raw: bytes) -> list[tuple[bytes, bytes]]:
    return [pair for pair in parse(raw).headers if not pair[0].startswith(OURS) and pair[0] != b"connection"]


def test_headers_keep_order_repetition_and_value_bytes(through):
    lines = [
        "Set-Cookie: a=1; Path=/",
        "X-RateLimit-Remaining-Tokens: 9",
        "Set-Cookie: b=2",
        "x-é: no",
        "X-V: caf\xe9 ",
    ]
    lines.remove("x-é: no")
    lines += ["Retry-After-Ms: 700", "Server: uvicorn", "Date: Mon, 23 Nov 2026 09:00:00 GMT", "Via: 1.1 x", "x-v: "]
    lines += ["Access-Control-Allow-Origin: *", "X-Accel-Buffering: no", "ETag: W/x", "Vary: a", "Vary: b"]
    with through(says(reply(PLAIN, *lines))) as way:
        raw = ask(way.gate.port, CHAT)
        direct = [line.encode("latin-1").partition(b":") for line in lines]
        assert passed(raw) == [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(PLAIN)).encode()),
            *[(name.lower(), value.strip()) for name, _, value in direct],
        ]


def test_headers_of_one_connection_stay_here(through):
    lines = ["connection: keep-alive, X-Mine", "Keep-Alive: timeout=5", "x-mine: 1", "X-Kept: 1", "trailer: x-t"]
    lines += ["upgrade: h2c", "proxy-connection: x"]
    with through(says(reply(b"{}", *lines))) as way:
        raw = ask(way.gate.port, CHAT)
        assert [name for name, _ in passed(raw)] == [b"content-type", b"content-length", b"x-kept"]


STATUSES = [200, 201, 202, 206, 299, 300, 307, 308, 400, 418, 429, 451, 499, 500, 520, 529, 599]


def test_any_status_passes(through):
    async def script(seen, writer):
        writer.write(reply(b'{"a":1}', status=f"{seen.header(b'x-status').decode()} Whatever it is"))

    with through(script) as way:
        for status in STATUSES:
            answer = parse(
                ask(way.gate.port, post("/v1/chat/completions", b'{"model":"gpt-4o"}', f"x-status: {status}"))
            )
            assert (answer.status, answer.body) == (status, b'{"a":1}')
        for status, call in zip(STATUSES, way.gate.closed(len(STATUSES)), strict=True):
            assert call.status == status
            assert call.outcome == ("ok" if status < 400 else "error")
            assert call.reason == ("usage.not_reported" if status < 400 else f"status_{status}")


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        ("204 No Content", []),
        ("204 No Content", ["content-length: 0"]),
        ("304 Not Modified", ["etag: x"]),
        ("304 Not Modified", ["content-length: 50"]),
    ],
)
def test_a_reply_without_a_body_leaves_the_connections_in_order(through, status, lines):
    raw = "\r\n".join([f"HTTP/1.1 {status}", *lines]).encode() + b"\r\n\r\n"
    with through(says(raw)) as way, Client(way.gate.port) as client:
        for _ in range(2):
            client.send(b"GET /openai/v1/files HTTP/1.1\r\nhost: g\r\n\r\n")
            answer = parse(client.until(b"\r\n\r\n"))
            assert answer.status == int(status[:3])
            assert answer.header("transfer-encoding") is None
            assert answer.header("content-length") == (b"50" if lines == ["content-length: 50"] else None)
        assert [call.outcome for call in way.gate.closed(2)] == ["ok", "ok"]
        assert way.provider.connections == 1


def test_head_has_the_length_and_no_body(through):
    with (
        through(says(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\nx-a: 1\r\n\r\n")) as way,
        Client(way.gate.port) as client,
    ):
        for _ in range(2):
            client.send(b"HEAD /openai/v1/files HTTP/1.1\r\nhost: g\r\n\r\n")
            answer = parse(client.until(b"\r\n\r\n"))
            assert (answer.status, answer.header("content-length"), answer.header("x-a")) == (200, b"50", b"1")
        way.gate.closed(2)


def test_options_passes_with_what_a_browser_asks_and_is_told(through):
    raw = b"HTTP/1.1 204 No Content\r\naccess-control-allow-origin: *\r\naccess-control-max-age: 600\r\n\r\n"
    head = b"OPTIONS /v1/chat/completions HTTP/1.1\r\nhost: g\r\norigin: https://a.example\r\n"
    head += b"access-control-request-headers: authorization,x-stainless-os\r\n\r\n"
    with through(says(raw), keys="required") as way, Client(way.gate.port) as client:
        client.send(head)
        answer = parse(client.until(b"\r\n\r\n"))
        assert (answer.status, answer.header("access-control-allow-origin")) == (204, b"*")
        assert way.provider.seen[0].header(b"access-control-request-headers") == b"authorization,x-stainless-os"


def test_interim_replies_do_not_confuse_the_final_one(through):
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\nx-hint: 1\r\n\r\n"
    interim += b"HTTP/1.1 102 Processing\r\n\r\n"
    with through(says(interim + reply(PLAIN, "x-final: 1"))) as way:
        for _ in range(2):
            raw = ask(way.gate.port, CHAT)
            assert [name for name, _ in passed(raw)] == [b"content-type", b"content-length", b"x-final"]
            assert parse(raw).body == PLAIN
        assert way.provider.connections == 1


def test_trailers_never_come_into_the_body(through):
    raw = stream_head("trailer: x-sum") + chunk(b"data: {}\n\n") + b"0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n"
    with through(says(raw)) as way:
        for _ in range(2):
            answer = parse(ask(way.gate.port, CHAT))
            assert (answer.body, answer.whole) == (b"data: {}\n\n", True)
            assert answer.header("x-sum") is None
        assert way.provider.connections == 1


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_reply_that_ends_with_its_connection(through, version):
    async def script(seen, writer):
        writer.write(f"HTTP/{version} 200 OK\r\ncontent-type: application/json\r\n\r\n".encode() + PLAIN)
        await writer.drain()
        writer.close()

    with through(script) as way, Client(way.gate.port) as client:
        client.send(CHAT.replace(b"connection: close\r\n", b""))
        answer = client.answer()
        assert (answer.body, answer.whole) == (PLAIN, True)
        [call] = way.gate.closed(1)
        assert (call.outcome, call.usage_source, call.usage.output_tokens) == ("ok", "reported", 12)


@pytest.mark.parametrize("coding", CODED)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_compressed_replies_pass_byte_for_byte_and_are_read(through, coding, size):
    async def script(seen, writer):
        writer.write(stream_head(f"content-encoding: {coding}", content_type="application/json"))
        for at in range(0, len(CODED[coding]), size):
            writer.write(chunk(CODED[coding][at : at + size]))
            await writer.drain()
        writer.write(chunk(b""))

    with through(script) as way:
        answer = parse(ask(way.gate.port, CHAT))
        assert answer.body == CODED[coding]
        assert answer.header("content-encoding") == coding.encode()
        [call] = way.gate.closed(1)
        assert (call.usage_source, call.usage.input_tokens, call.usage.output_tokens) == ("reported", 9, 12)


@pytest.mark.parametrize(
    ("coding", "body", "flag"),
    [
        ("aes128gcm", PLAIN, "content_encoding.unknown"),
        ("gzip", b"no gzip at all", "content_encoding.broken"),
        ("br", b"\xff" * 64, "content_encoding.broken"),
        ("zstd", b"no zstd", "content_encoding.broken"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_decoded_passes_all_the_same(through, coding, body, flag, stream):
    request = post("/v1/chat/completions", json.dumps({"model": "gpt-4o", "messages": [], "stream": stream}).encode())
    kind = "text/event-stream" if stream else "application/json"
    with through(says(reply(body, f"content-encoding: {coding}", content_type=kind))) as way:
        answer = parse(ask(way.gate.port, request))
        assert (answer.status, answer.body, answer.whole) == (200, body, True)
        [call] = way.gate.closed(1)
        assert flag in call.flags
        assert call.usage_source == "inferred"


NONSENSE = {
    "binary": random.Random(3).randbytes(5000),
    "half a document": PLAIN[:80],
    "two documents": PLAIN + PLAIN,
    "deep": b"[" * 100_000,
    "strange numbers": b'{"usage":{"prompt_tokens":-1,"completion_tokens":1e400,"total_tokens":"x"},"choices":7}',
    "not UTF-8": b'{"model":"\xff\xfe","usage":{"prompt_tokens":true}}',
    "events": b"data: {\ndata\n:\n\nevent: \x00\ndata: [DONE\n\n\r\r\r\ndata: {}",
    "empty": b"",
    "spaces": b" \n" * 500,
    "null": b"null",
}


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "image/png"])
def test_nonsense_passes_all_the_same(through, kind):
    async def script(seen, writer):
        writer.write(reply(NONSENSE[seen.body.decode().split('"')[-2]], content_type=kind))

    with through(script) as way:
        for path in ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/completions"):
            for name, nonsense in NONSENSE.items():
                body = json.dumps(
                    {"model": "gpt-4o", "stream": True, "stream_options": {"include_usage": True}, "q": name}
                )
                answer = parse(ask(way.gate.port, post(path, body.encode())))
                assert (answer.status, answer.body, answer.whole) == (200, nonsense, True), (path, name)
        calls = way.gate.closed(4 * len(NONSENSE))
        assert {call.status for call in calls} == {200}
        assert not [call.flags for call in calls if "metering.failed" in call.flags]


def test_a_reader_that_raises_alters_nothing(through, monkeypatch):
    from proxy.wire.openai_chat import ChatReader

    def feed(self, data):
        raise ValueError(data)

    monkeypatch.setattr(ChatReader, "feed", feed)
    with through(says(reply(PLAIN))) as way:
        answer = parse(ask(way.gate.port, CHAT))
        assert (answer.status, answer.body) == (200, PLAIN)
        [call] = way.gate.closed(1)
        assert (call.outcome, call.usage_source) == ("ok", "inferred")
        assert "metering.failed" in call.flags


def test_a_count_that_raises_alters_nothing(through, monkeypatch):
    def count(text, characters):
        raise ValueError(text)

    monkeypatch.setattr("proxy.app.find_counter", lambda: count)
    with through(says(reply(b"{}"))) as way:
        while way.gate.app.gate.count is not count:
            time.sleep(0.001)
        assert parse(ask(way.gate.port, CHAT)).body == b"{}"
        [call] = way.gate.closed(1)
        assert (call.outcome, call.usage, call.usage_source) == ("ok", None, "absent")
        assert "metering.failed" in call.flags


def test_a_client_of_http_1_0_gets_no_chunks(through):
    raw = stream_head("x-a: 1") + chunk(b"data: 1\n\n") + chunk(b"data: 2\n\n") + chunk(b"")
    with through(says(raw)) as way:
        got = ask(way.gate.port, CHAT.replace(b"HTTP/1.1", b"HTTP/1.0"))
        head, _, body = got.partition(b"\r\n\r\n")
        assert body == b"data: 1\n\ndata: 2\n\n"
        assert b"transfer-encoding" not in head.lower()
        assert b"\r\nconnection: close" in head
        got = ask(way.gate.port, b"HEAD /openai/v1/files HTTP/1.0\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 200 OK\r\n")
        assert got.endswith(b"\r\n\r\n")
        way.gate.closed(2)


def test_a_client_of_http_1_0_gets_the_length_where_there_is_one(through):
    with through(says(reply(PLAIN))) as way:
        answer = parse(ask(way.gate.port, CHAT.replace(b"HTTP/1.1", b"HTTP/1.0")))
        assert (answer.header("content-length"), answer.body) == (str(len(PLAIN)).encode(), PLAIN)


@pytest.mark.parametrize(
    "raw",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\x00b\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad name: 1\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x-a: " + b"b" * 400_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x-a: bbbbbbbbbbbbbbbbbbbbbb\r\n" * 20_000 + b"\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nx-a: 1",
    ],
    ids=map(str, range(12)),
)
def test_a_reply_that_is_not_http_is_an_error_of_ours(through, raw):
    async def script(seen, writer):
        writer.write(raw)
        await writer.drain()
        writer.close()

    with through(script) as way:
        answer = parse(ask(way.gate.port, CHAT))
        assert answer.status == 502
        assert answer.header("x-joulegate-call-id")
        error = json.loads(answer.body)["error"]
        assert error["code"] in ("upstream_invalid", "upstream_closed")
        [call] = way.gate.closed(1)
        assert (call.outcome, call.reason, call.status) == ("error", error["code"], 502)
        assert call.usage_source == "absent"
        assert parse(ask(way.gate.port, CHAT)).status == 502


def test_chunks_that_break_off_in_the_framing_are_a_reply_cut_short(through):
    with through(says(stream_head() + chunk(b"data: 1\n\n") + b"zz\r\n")) as way:
        answer = parse(ask(way.gate.port, CHAT))
        assert (answer.status, answer.body, answer.whole) == (200, b"data: 1\n\n", False)
        [call] = way.gate.closed(1)
        assert (call.outcome, call.reason) == ("error", "upstream_invalid")


def test_a_second_reply_that_nobody_asked_for_reaches_nobody(through):
    with through(says(reply(PLAIN) + reply(b'{"stolen":1}', status="418 No"))) as way:
        for _ in range(3):
            answer = parse(ask(way.gate.port, CHAT))
            assert (answer.status, answer.body) == (200, PLAIN)
        assert way.provider.connections == 3


@pytest.mark.parametrize(
    "raw",
    [
        stream_head(content_type="application/json") + chunk(PLAIN),
        reply(PLAIN).replace(b"content-length: %d" % len(PLAIN), b"content-length: %d" % (len(PLAIN) + 50)),
    ],
    ids=["without its last chunk", "shorter than its length"],
)
def test_a_document_whose_transfer_breaks_off_is_an_error_with_what_it_said(through, raw):
    async def script(seen, writer):
        writer.write(raw)
        writer.close()

    with through(script) as way:
        answer = parse(ask(way.gate.port, CHAT))
        (record,) = way.gate.closed(1)
    assert answer.body == PLAIN
    assert not answer.whole
    assert (record.outcome, record.reason) == ("error", "upstream_closed")
    assert record.usage is not None
    assert record.usage.output_tokens == 12
