"""What is wrong with a request is said clearly and recorded; the gate lives on."""

from __future__ import annotations

import gzip
import json
import socket

import pytest
import zstandard

from proxy.wire.content import OUTPUT_LIMIT
from tests.loopback import Client, ask, chunk, parse, post, reply, says

OK = reply(b"{}")
PATH = "/v1/chat/completions"
GOOD = post(PATH, b'{"model":"gpt-4o"}')


def refused(way, raw: bytes) -> tuple[int, str, str]:
    """Ask, and check that the answer is an error of ours with a record and that the gate lives on."""
    answer = parse(ask(way.gate.port, raw))
    error = json.loads(answer.body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert answer.header("content-type") == b"application/json"
    [call] = way.gate.closed(1)
    assert (call.outcome, call.reason, call.status) == ("rejected", error["code"], answer.status)
    assert (call.usage, call.usage_source) == (None, "absent")
    assert answer.header("x-joulegate-call-id") == call.opened.id.encode()
    assert way.provider.seen == []
    assert parse(ask(way.gate.port, GOOD)).status == 200
    return answer.status, error["code"], error["message"]


BODIES = {
    "malformed": (b'{"model":"gpt-4o",}', "malformed JSON at byte 18"),
    "cut": (b'{"model":"gpt-4o","messages":[', "malformed JSON: it ends early"),
    "array": (b'["model"]', "not a JSON object"),
    "text": (b"model=gpt-4o", "malformed JSON"),
    "spaces": (b"  \n", "empty"),
    "no JSON and not UTF-8": (b'{"model":"gpt-4o","x":\xff}', "malformed JSON"),
    "text that is not UTF-8": (b'{"model":"gpt-4o","x":"caf\xc3\xa9 \xe9"}', "malformed JSON at byte 29: not UTF-8"),
    "UTF-8 cut short": (b'{"model":"gpt-4o","x":"\xe6\x97"}', "malformed JSON at byte 23: not UTF-8"),
    "a lone surrogate": (b'{"model":"gpt-4o","x":"\xed\xa0\x80"}', "malformed JSON at byte 23: not UTF-8"),
    "not UTF-8 far behind": (
        b'{"model":"gpt-4o","x":"' + "日本".encode() * 50_000 + b'\xff"}',
        "at byte 300023: not UTF-8",
    ),
    "number": (b'{"model":7}', "model is not a string"),
    "deep": (b'{"model":"gpt-4o","x":' + b"[" * 4_000_000, "nested too deeply"),
}


@pytest.mark.parametrize("path", [PATH, "/v1/completions", "/v1/responses", "/v1/embeddings"])
@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_cannot_be_read(through, path, name):
    body, said = BODIES[name]
    with through(says(OK)) as way:
        status, code, message = refused(way, post(path, body))
        assert (status, code) == (400, "invalid_request")
        assert said in message


def test_whether_text_is_utf8_is_for_the_provider_to_say_where_it_is_asked_directly(through):
    body = b'{"model":"gpt-4o","x":"\xe6\x97"}'
    with through(says(OK)) as way:
        assert parse(ask(way.gate.port, post("/openai" + PATH, body))).status == 200
        assert way.provider.seen[-1].body == body


@pytest.mark.parametrize("body", [b"", b"{}", b'{"model":null}', b'{"model":""}', b'{"Model":"gpt-4o"}'])
def test_a_request_without_a_model(through, body):
    with through(says(OK)) as way:
        assert refused(way, post(PATH, body))[:2] == (400, "missing_model")


@pytest.mark.parametrize("model", ["mine", "nobody/gpt-4o", "/gpt-4o", "openai/", "\x00", "é" * 5000, "../x"])
def test_a_model_nobody_serves(through, model):
    with through(says(OK)) as way:
        assert refused(way, post(PATH, json.dumps({"model": model}).encode()))[:2] == (404, "model_not_found")


@pytest.mark.parametrize(
    "path", ["/nobody/v1/chat/completions", "/", "//v1/models", "/OPENAI/v1/models", "/v2/x", "/%6fpenai/x"]
)
def test_a_provider_nobody_configured(through, path):
    with through(says(OK)) as way:
        status, code, message = refused(way, post(path, b"{}"))
        assert (status, code) == (404, "unknown_provider")
        assert "openai" in message


def test_a_provider_without_an_origin(through):
    with through(says(OK)) as way:
        status, code, message = refused(way, post("/azure/openai/v1/chat/completions", b"{}"))
        assert (status, code) == (404, "provider_not_configured")
        assert "set origin" in message


def test_a_body_too_large_to_be_held_is_refused_on_the_common_door_only(through):
    body = b'{"model":"gpt-4o","messages":"' + b"x" * 5000 + b'"}'
    with through(says(OK), hold_body_bytes=1000) as way:
        status, code, message = refused(way, post(PATH, body))
        assert (status, code) == (413, "request_too_large")
        assert "/{provider}/v1/" in message
        for _ in range(2):
            assert parse(ask(way.gate.port, post("/openai" + PATH, body))).status == 200
            assert way.provider.seen[-1].body == body
        assert [call.outcome for call in way.gate.closed(4)] == ["rejected", "ok", "ok", "ok"]
        assert parse(ask(way.gate.port, post("/openai/deployments/mine/chat/completions", body))).status == 200
        assert way.gate.closed(5)[-1].opened.model_requested == "mine"


def test_a_large_upload_that_is_refused_gets_its_answer_before_it_has_ended(through):
    with through(says(OK), hold_body_bytes=1000) as way, Client(way.gate.port) as client:
        client.send(f"POST {PATH} HTTP/1.1\r\nhost: g\r\ncontent-length: 8000000\r\n\r\n".encode() + b"x" * 100_000)
        assert client.answer().status == 413
        client.send(b"x" * 7_900_000)
        client.send(GOOD)
        assert client.answer().status == 200


@pytest.mark.parametrize("size", [100_000, 3_000_000])
@pytest.mark.parametrize("path", ["/nobody/x", PATH])
def test_a_refused_upload_on_a_connection_that_is_to_be_closed_gets_its_answer(through, path, size):
    with through(says(OK), hold_body_bytes=1000) as way:
        for _ in range(5):
            answer = parse(ask(way.gate.port, post(path, b"x" * size)))
            assert answer.status in (404, 413)
            assert json.loads(answer.body)["error"]["code"]


COMPRESSED = {"gzip": gzip.compress, "zstd": zstandard.compress}


@pytest.mark.parametrize("coding", COMPRESSED)
@pytest.mark.parametrize("how", ["cut", "shifted", "plain"])
def test_compressed_requests_that_cannot_be_read(through, coding, how):
    good = COMPRESSED[coding](b'{"model":"gpt-4o","messages":"' + b"x" * 10_000 + b'"}')
    body = {"cut": good[: len(good) // 2], "shifted": b"\x00" + good, "plain": b'{"model":"gpt-4o"' * 2}[how]
    with through(says(OK)) as way:
        assert refused(way, post(PATH, body, f"content-encoding: {coding}"))[:2] == (400, "invalid_request")


def test_a_request_that_swells_is_not_unpacked_without_bounds(through):
    bomb = gzip.compress(b'{"model":"gpt-4o","x":"' + b"x" * (80 * 1024 * 1024) + b'"}')
    with through(says(OK)) as way:
        status, code, message = refused(way, post(PATH, bomb, "content-encoding: gzip"))
        assert (status, code) == (400, "invalid_request")
        assert f"with its content-encoding taken off it is larger than {OUTPUT_LIMIT} bytes" in message


UNREADABLE = {
    "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "version": b"GET / HTTP/9.9\r\n\r\n",
    "method": b"WHAT / HTTP/1.1\r\nhost: g\r\n\r\n",
    "connect": b"CONNECT api.openai.com:443 HTTP/1.1\r\nhost: g\r\n\r\n",
    "URL of no ASCII": b"GET /openai/\xff\xfe HTTP/1.1\r\nhost: g\r\n\r\n",
    "URL with a space": b"GET /openai/a b HTTP/1.1\r\nhost: g\r\n\r\n",
    "URL with a control": b"GET /openai/a\x00b HTTP/1.1\r\nhost: g\r\n\r\n",
    "header name": b"GET /openai/x HTTP/1.1\r\nbad name: 1\r\n\r\n",
    "header value": b"GET /openai/x HTTP/1.1\r\nx: a\x00b\r\n\r\n",
    "bare CR": b"GET /openai/x HTTP/1.1\r\nx: a\rb: c\r\n\r\n",
    "fold": b"GET /openai/x HTTP/1.1\r\nx: a\r\n b\r\n\r\n",
    "no colon": b"GET /openai/x HTTP/1.1\r\nx\r\n\r\n",
    "two lengths": b"POST /openai/x HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    "length list": b"POST /openai/x HTTP/1.1\r\ncontent-length: 3, 3\r\n\r\nabc",
    "length plus": b"POST /openai/x HTTP/1.1\r\ncontent-length: +3\r\n\r\nabc",
    "length minus": b"POST /openai/x HTTP/1.1\r\ncontent-length: -3\r\n\r\nabc",
    "length hex": b"POST /openai/x HTTP/1.1\r\ncontent-length: 0x3\r\n\r\nabc",
    "length huge": b"POST /openai/x HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\nabc",
    "length and chunks": b"POST /openai/x HTTP/1.1\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"POST /openai/x HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
    "chunks, space": b"POST /openai/x HTTP/1.1\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunks not last": b"POST /openai/x HTTP/1.1\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunks twice": b"POST /openai/x HTTP/1.1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: xx\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_not_http_goes_nowhere(through, name):
    with through(says(OK)) as way:
        assert refused(way, UNREADABLE[name])[:2] == (400, "invalid_http")


@pytest.mark.parametrize("coding", ["gzip, chunked", "deflate,chunked", "xchunked", "identity", "gzip"])
def test_a_transfer_coding_that_would_be_lost_is_refused(through, coding):
    raw = f"POST /openai/x HTTP/1.1\r\nhost: g\r\nTransfer-Encoding: {coding}\r\n\r\n".encode()
    with through(says(OK)) as way:
        assert refused(way, raw + chunk(b"abc") + chunk(b""))[:2] == (501, "transfer_coding_unknown")


@pytest.mark.parametrize("rest", [b"zz\r\n", b"3\r\nabcd\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n"])
def test_a_broken_chunk_ends_the_call_once(through, rest):
    head = b"POST /openai/v1/files HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n"
    with through(says(OK)) as way:
        answer = parse(ask(way.gate.port, head + chunk(b"abc") + rest))
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (400, "invalid_http")
        [call] = way.gate.closed(1)
        assert (call.outcome, call.status, call.reason) == ("rejected", 400, "invalid_http")
        assert way.provider.seen == []
        assert parse(ask(way.gate.port, GOOD)).status == 200


def test_a_bad_request_behind_a_good_one_does_not_take_its_place(through):
    with through(says(OK)) as way:
        answer = parse(ask(way.gate.port, GOOD.replace(b"connection: close\r\n", b"") + b"garbage\r\n\r\n"))
        assert (answer.status, answer.body) == (200, b"{}")
        assert sorted(call.reason for call in way.gate.closed(2)) == ["invalid_http", "usage.not_reported"]
        assert parse(ask(way.gate.port, GOOD)).status == 200


HEADS = {
    "a header": b"GET /openai/x HTTP/1.1\r\nx: " + b"a" * 100_000 + b"\r\n\r\n",
    "an endless header": b"GET /openai/x HTTP/1.1\r\nx: " + b"a" * 3_000_000,
    "an endless name": b"GET /openai/x HTTP/1.1\r\n" + b"a" * 3_000_000,
    "many headers": b"GET /openai/x HTTP/1.1\r\n" + b"x: a\r\n" * 20_000 + b"\r\n",
    "endless headers": b"GET /openai/x HTTP/1.1\r\n" + b"x: a\r\n" * 500_000,
    "a URL": b"GET /openai/" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: g\r\n\r\n",
    "an endless URL": b"GET /openai/" + b"a" * 3_000_000,
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_without_bounds_is_refused(through, name):
    with through(says(OK)) as way:
        assert refused(way, HEADS[name])[:2] == (431, "request_header_fields_too_large")


def test_a_head_that_comes_in_small_pieces_is_bounded_too(through):
    with through(says(OK), header_bytes=1000) as way, Client(way.gate.port) as client:
        client.send(GOOD.replace(b"connection: close\r\n", b""))
        assert client.answer().status == 200
        for byte in b"GET /openai/x HTTP/1.1\r\n" + b"xx: a\r\n" * 150:
            client.send(bytes([byte]))
        assert parse(client.rest()).status == 431
        assert [call.reason for call in way.gate.closed(2)] == ["usage.not_reported", "request_header_fields_too_large"]


def test_a_head_of_the_size_that_is_allowed_is_allowed(through):
    with through(says(OK)) as way:
        raw = b"GET /openai/x HTTP/1.1\r\nhost: g\r\nconnection: close\r\nx: " + b"a" * 60_000 + b"\r\n\r\n"
        assert parse(ask(way.gate.port, raw)).status == 200


LONG_HEADS = {
    "a model of Google's": post("/openai/v1beta/" + "a" * 900_000 + "/models/m:generateContent", b"{}"),
    "a model of Bedrock's": post("/openai" + "/model/" * 130_000 + "invoke", b"{}"),
    "a signature of AWS'": post("/openai/x", b"{}", "authorization: AWS4-HMAC-SHA256 " + "Credential=" * 80_000),
}


@pytest.mark.parametrize("name", LONG_HEADS)
def test_a_long_head_that_seems_to_name_something_everywhere_keeps_nobody_waiting(through, name):
    """Looked at from every place on to its end it would take minutes, and `ask` waits for seconds."""
    with through(says(OK), header_bytes=1024 * 1024) as way:
        assert parse(ask(way.gate.port, LONG_HEADS[name])).status == 200


def test_a_body_shorter_than_it_said(through):
    with through(says(OK)) as way:
        with Client(way.gate.port) as client:
            client.send(GOOD.replace(b"content-length: 18", b"content-length: 19"))
            client.socket.shutdown(socket.SHUT_WR)
            client.rest()
        [call] = way.gate.closed(1)
        assert (call.outcome, call.reason) == ("aborted", "client_gone_before_sending")
        assert way.provider.seen == []


def test_a_body_longer_than_it_said_is_another_request_and_a_bad_one(through):
    with through(says(OK)) as way, Client(way.gate.port) as client:
        client.send(GOOD.replace(b"content-length: 18", b"content-length: 17").replace(b"connection: close\r\n", b""))
        client.rest()
        assert parse(ask(way.gate.port, GOOD)).status == 200


def test_names_that_are_no_utf8_are_kept_printable(through):
    with through(says(OK)) as way:
        raw = GOOD.replace(
            b"host: gate", b"host: g\r\nx-joulegate-team: \xff\xfe t\r\nx-joulegate-tags: \xff=\xfe,=,a,b=c=d,,"
        )
        assert parse(ask(way.gate.port, raw)).status == 200
        [call] = way.gate.closed(1)
        assert call.opened.team.isprintable()
        assert call.opened.tags["b"] == "c=d"


@pytest.mark.parametrize(
    ("encoding", "body", "said"),
    [
        ("gzip", gzip.compress(b'{"model":"gpt-4o"}')[:-9] + b"x" * 9, "its content-encoding does not hold"),
        ("br", b"no brotli", "its content-encoding does not hold"),
        ("compress", b"\x1f\x9d\x90", "its content-encoding is not known here"),
        ("gzip", gzip.compress(b'{"model":'), "malformed JSON: it ends early, at byte 9"),
    ],
    ids=["cut gzip", "no brotli", "unknown", "no JSON"],
)
def test_a_coded_body_that_cannot_be_read(through, encoding, body, said):
    with through(says(OK)) as way:
        status, code, message = refused(way, post(PATH, body, f"content-encoding: {encoding}"))
        assert (status, code) == (400, "invalid_request")
        assert said in message
