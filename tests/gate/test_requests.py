"""What the provider gets is what the client sent."""

from __future__ import annotations

import gzip
import json
import random
import socket

import pytest

from tests.loopback import Client, ask, chunk, parse, post, provider, reply, says

OK = reply(b"{}")
CHAT = (
    b'{ "model":"gpt-4o",\t"messages":[{"role":"user","content":"h\xc3\xa9 \\u00e9 1.0e+1"}], "x":1e400,  "seed":00 }'
)


TARGETS = [
    "/v1/files",
    "/v1/files/a%3Ab%2Fc",
    "/v1//files//",
    "//v1/files",
    "/v1/files?beta=true&a=1&a=2",
    "/v1/files?$alt=sse&x=%41+%2B&&=&y",
    "/v1/files?q=a/b?c",
    "/v1/models/gemini:generate;v=1,2(3)'!*",
    "/../../etc/passwd",
    "/%2e%2e/a/./b/../c",
    "/",
]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def test_method_path_and_query_arrive_as_they_were(through):
    lines = [f"{method} {target}" for method in METHODS for target in TARGETS]
    with through(says(OK)) as way, Client(way.gate.port) as client:
        for line in lines:
            client.send(f"{line.replace(' ', ' /openai')} HTTP/1.1\r\nhost: gate\r\n\r\n".encode())
            assert client.answer().status == 200
        assert [seen.line for seen in way.provider.seen] == [f"{line} HTTP/1.1".encode() for line in lines]
        way.gate.closed(len(lines))


def test_the_common_door_keeps_path_and_query_and_puts_the_providers_base_before_it(through):
    with through(says(OK), 'base = "/api/openai/v1/"') as way:
        ask(way.gate.port, post("/v1/chat/completions?a=%2F&a=1", b'{"model":"gpt-4o"}'))
        assert way.provider.seen[0].line == b"POST /api/openai/v1/chat/completions?a=%2F&a=1 HTTP/1.1"


def test_headers_keep_order_repetition_and_value_bytes_and_none_is_added(through):
    head = (
        b"GET /openai/v1/files HTTP/1.1\r\nHost: gate.example:8700\r\nX-B: 1\r\nAccept: */*\r\nx-a: caf\xe9  \xff\r\n"
        b"X-B: 2\r\nCookie: a=1; b=2\r\nx-b: \r\nAccept-Encoding: gzip;q=0.5, br\r\nX-Stainless-Retry-Count: 1\r\n\r\n"
    )
    with through(says(OK)) as way, Client(way.gate.port) as client:
        client.send(head)
        assert client.answer().status == 200
        assert way.provider.seen[0].headers == [
            (b"host", way.provider.origin.removeprefix("http://").encode()),
            (b"x-b", b"1"),
            (b"accept", b"*/*"),
            (b"x-a", b"caf\xe9  \xff"),
            (b"x-b", b"2"),
            (b"cookie", b"a=1; b=2"),
            (b"x-b", b""),
            (b"accept-encoding", b"gzip;q=0.5, br"),
            (b"x-stainless-retry-count", b"1"),
        ]


def test_headers_of_one_connection_and_of_ours_stay_here(through):
    head = (
        b"GET /openai/v1/files HTTP/1.1\r\nhost: gate\r\nConnection: keep-alive, X-Mine\r\nconnection: x-other\r\n"
        b"keep-alive: timeout=5\r\nx-mine: 1\r\nX-Other: 2\r\nte: trailers\r\ntrailer: x-t\r\nproxy-connection: x\r\n"
        b"proxy-authorization: Basic eA==\r\nx-joulegate-team: t\r\nX-Joulegate-Anything: 1\r\nx-kept: 1\r\n\r\n"
    )
    with through(says(OK)) as way, Client(way.gate.port) as client:
        client.send(head)
        assert client.answer().status == 200
        assert [name for name, _ in way.provider.seen[0].headers] == [b"host", b"x-kept"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/v1/chat/completions", "/openai/v1/anything"])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_body_arrives_byte_for_byte(through, path, chunked):
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "é" * 700}]}, indent=3).encode()
    body += b" \n"
    request = post(path, body)
    if chunked:
        cuts = sorted(random.Random(1).sample(range(1, len(body)), 40))
        pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        head = f"POST {path} HTTP/1.1\r\nhost: g\r\nconnection: close\r\ncontent-type: application/json\r\n"
        head += "transfer-encoding: chunked\r\n\r\n"
        request = head.encode() + b"".join(chunk(piece) for piece in pieces) + b"0\r\nx-trailer: 1\r\n\r\n"
    with through(says(OK)) as way:
        assert parse(ask(way.gate.port, request)).status == 200
        assert way.provider.seen[0].body == body
        [call] = way.gate.closed(1)
        assert call.opened.request_bytes in (len(body), None)


def test_a_body_that_is_not_json_goes_through_on_the_providers_own_path(through):
    with through(says(OK)) as way:
        assert parse(ask(way.gate.port, post("/openai/v1/chat/completions", CHAT))).status == 200
        assert way.provider.seen[0].body == CHAT


def test_naming_a_provider_changes_the_models_name_and_no_other_byte(through):
    body = (
        b'{ "messages":[{"role":"user","content":"model: \\"openai/x\\""}],\n "model" : "openai/gpt-4o" ,"seed":1.50}'
    )
    with through(says(OK)) as way:
        assert parse(ask(way.gate.port, post("/v1/chat/completions", body))).status == 200
        assert way.provider.seen[0].body == body.replace(b'"openai/gpt-4o" ', b'"gpt-4o" ')
        [call] = way.gate.closed(1)
        assert (call.opened.provider, call.opened.model_requested) == ("openai", "gpt-4o")


def test_a_compressed_request_goes_on_compressed_and_is_read_all_the_same(through):
    body = gzip.compress(b'{"model":"gpt-4o","messages":[]}')
    with through(says(OK)) as way:
        request = post("/v1/chat/completions", body, "content-encoding: gzip")
        assert parse(ask(way.gate.port, request)).status == 200
        assert way.provider.seen[0].body == body
        assert way.provider.seen[0].header(b"content-encoding") == b"gzip"
        assert way.gate.closed(1)[0].opened.model_requested == "gpt-4o"


def test_a_compressed_request_that_must_be_changed_goes_on_plain(through):
    body = gzip.compress(b'{"model":"openai/gpt-4o","messages":[]}')
    with through(says(OK)) as way:
        request = post("/v1/chat/completions", body, "content-encoding: gzip")
        assert parse(ask(way.gate.port, request)).status == 200
        assert way.provider.seen[0].body == b'{"model":"gpt-4o","messages":[]}'
        assert way.provider.seen[0].header(b"content-encoding") is None


def test_five_megabytes_arrive_whole(through):
    body = b'{"messages":"' + random.Random(2).randbytes(2_500_000).hex().encode() + b'","model":"gpt-4o"}'
    with through(says(OK)) as way:
        for path in ("/v1/chat/completions", "/openai/v1/files"):
            assert parse(ask(way.gate.port, post(path, body))).status == 200
        assert [seen.body == body for seen in way.provider.seen] == [True, True]


def test_a_client_that_waits_for_100_is_told_to_go_on(through):
    head = b"POST %b HTTP/1.1\r\nhost: g\r\nexpect: 100-continue\r\ncontent-length: 18\r\n\r\n"
    for path in (b"/v1/chat/completions", b"/openai/v1/files"):
        with through(says(OK)) as way, Client(way.gate.port) as client:
            client.send(head % path)
            assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.send(b'{"model":"gpt-4o"}')
            assert client.answer().status == 200
            assert way.provider.seen[0].header(b"expect") is None
            assert way.provider.seen[0].body == b'{"model":"gpt-4o"}'


def test_a_client_that_waits_for_100_and_is_refused_is_not_asked_for_its_body(through):
    head = b"POST /nobody/v1/files HTTP/1.1\r\nhost: g\r\nexpect: 100-continue\r\ncontent-length: 18\r\n\r\n"
    with through(says(OK)) as way, Client(way.gate.port) as client:
        client.send(head)
        assert client.answer().status == 404


def test_requests_on_one_connection_one_after_the_other_and_all_at_once(through):
    async def script(seen, writer):
        writer.write(reply(b'{"id":"%b"}' % seen.line.split(b"/")[-2][:-5]))

    with through(script) as way, Client(way.gate.port) as client:
        for name in (b"a", b"b"):
            client.send(b"GET /openai/v1/files/%b HTTP/1.1\r\nhost: g\r\n\r\n" % name)
            assert client.answer().body == b'{"id":"%b"}' % name
        one = b"POST /openai/v1/files/%b HTTP/1.1\r\nhost: g\r\ncontent-length: 3\r\n\r\nabc"
        client.send(b"".join(one % name for name in (b"c", b"d", b"e")))
        assert [client.answer().body for _ in range(3)] == [b'{"id":"%b"}' % name for name in (b"c", b"d", b"e")]
        assert [seen.body for seen in way.provider.seen[2:]] == [b"abc"] * 3
        assert len({call.opened.id for call in way.gate.closed(5)}) == 5


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_request_to_switch_protocols_is_carried_as_an_ordinary_one(through, version):
    """Java's client offers HTTP/2 with its first request on every plain connection."""
    head = (
        f"POST /openai/v1/files HTTP/{version}\r\nhost: g\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
        "http2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\ncontent-length: 3\r\n\r\nabc"
    )
    with through(says(OK)) as way, Client(way.gate.port) as client:
        client.send(head.encode())
        assert client.answer().status == 200
        assert way.provider.seen[0].body == b"abc"
        assert [name for name, _ in way.provider.seen[0].headers] == [b"host", b"content-length"]


def test_a_request_for_a_websocket_is_carried_as_an_ordinary_one(through):
    head = (
        b"GET /openai/v1/realtime HTTP/1.1\r\nhost: g\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
    )
    with through(says(reply(b"{}", status="400 Bad Request"))) as way, Client(way.gate.port) as client:
        client.send(head)
        assert client.answer().status == 400
        way.gate.closed(1)


def test_the_port_is_part_of_the_host_only_where_the_origin_has_one(through):
    with provider(says(OK)) as origin:
        port = origin.port
        toml = f'[[provider]]\nname = "local"\norigin = "http://localhost:{port}/"\n'
        with through(says(OK), toml=toml) as way:
            assert parse(ask(way.gate.port, post("/local/x", b"{}"))).status == 200
        assert origin.seen[0].header(b"host") == f"localhost:{port}".encode()


def test_a_provider_reached_over_ipv6(through):
    if not socket.has_ipv6:
        return
    with through(says(OK), toml='[[provider]]\nname = "six"\norigin = "http://[::1]:9"\n') as way:
        assert parse(ask(way.gate.port, post("/six/x", b"{}"))).status == 502
