"""Connections to a provider: used again, never after their end, never by two calls at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.loopback import Client, ask, chunk, gate, listening, parse, post, provider, reply, says, stream_head, until

CHAT = post("/v1/chat/completions", b'{"model":"gpt-4o","messages":[]}')


def test_one_connection_serves_one_call_after_the_other(through):
    with through(says(reply(b"{}"))) as way:
        for _ in range(5):
            assert parse(ask(way.gate.port, CHAT)).status == 200
        assert way.provider.connections == 1


def _wait_until_none_is_idle(upstream):
    """Wait for the provider's close to arrive: a call that overtakes it is lost, for nothing is sent twice."""
    deadline = time.monotonic() + 10
    while any(each.usable() for idle in list(upstream._idle.values()) for each in list(idle)):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_connection_the_provider_closed_after_a_reply_is_not_used_again(through):
    async def script(seen, writer):
        writer.write(reply(b"{}"))
        await writer.drain()
        writer.close()

    with through(script) as way:
        for _ in range(20):
            assert parse(ask(way.gate.port, CHAT)).status == 200
            _wait_until_none_is_idle(way.gate.app.gate.upstream)
        assert way.provider.connections == 20
        assert {call.outcome for call in way.gate.closed(20)} == {"ok"}


def test_a_connection_the_provider_says_it_will_close_is_not_used_again(through):
    with through(says(reply(b"{}", "connection: close"))) as way:
        for _ in range(3):
            assert parse(ask(way.gate.port, CHAT)).status == 200
        assert way.provider.connections == 3


def test_an_idle_connection_on_which_the_provider_speaks_unasked_is_not_used_again(through):
    spoken = threading.Event()

    async def script(seen, writer):
        writer.write(reply(b"{}"))
        await writer.drain()
        if len(way.provider.seen) == 1:
            await asyncio.sleep(0.02)  # until the gate has put the connection back
            writer.write(reply(b'{"stolen":1}'))
            await writer.drain()
            await seen.gone()
            spoken.set()

    with through(script) as way:
        assert parse(ask(way.gate.port, CHAT)).body == b"{}"
        assert spoken.wait(10)
        assert parse(ask(way.gate.port, CHAT)).body == b"{}"
        assert way.provider.connections == 2


def test_nothing_is_sent_twice(through):
    """A connection that ends without a reply may have carried a call that is billed."""

    async def script(seen, writer):
        if len(way.provider.seen) == 1:
            writer.write(reply(b"{}"))
        else:
            writer.transport.abort()

    with through(script) as way:
        assert parse(ask(way.gate.port, CHAT)).status == 200
        answer = parse(ask(way.gate.port, CHAT))
        assert answer.status == 502
        assert json.loads(answer.body)["error"]["code"] == "upstream_closed"
        assert len(way.provider.seen) == 2
        assert [call.reason for call in way.gate.closed(2)] == ["usage.not_reported", "upstream_closed"]


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "500 Internal Server Error"])
def test_a_finished_connection_is_given_to_one_call_only(through, status):
    """Plain replies with nothing in them were once put back twice, and two calls shared a connection."""

    async def script(seen, writer):
        name = seen.header(b"x-name")
        if name is None:
            writer.write(reply(b"", status=status))
        else:
            await asyncio.sleep(0.02)  # so that calls overlap
            writer.write(reply(b'{"name":"%b"}' % name))

    with through(script) as way, ThreadPoolExecutor(8) as pool:
        for _ in range(4):
            assert parse(ask(way.gate.port, CHAT)).body == b""
        requests = [post("/v1/chat/completions", b'{"model":"gpt-4o"}', f"x-name: {i}") for i in range(40)]
        answers = [parse(raw) for raw in pool.map(lambda request: ask(way.gate.port, request), requests)]
        assert [answer.body for answer in answers] == [b'{"name":"%d"}' % i for i in range(40)]


def test_a_client_that_leaves_at_the_end_takes_no_other_calls_connection_with_it(through):
    """The whole reply is read, its connection is another call's, its own client has not yet taken it all."""
    asked_again, go_on = threading.Event(), threading.Event()

    async def script(seen, writer):
        if seen.header(b"x-name") is None:
            writer.write(reply(b" " * 200_000))
        else:
            asked_again.set()
            await until(go_on)
            writer.write(reply(b'{"whole":1}'))

    with through(script, 'on_abort = "cancel"') as way:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        slow.connect(("127.0.0.1", way.gate.port))
        slow.sendall(CHAT)
        way.gate.closed(1)
        time.sleep(0.1)
        with Client(way.gate.port) as other:
            other.send(post("/openai/v1/files", b"", "x-name: 1"))
            assert asked_again.wait(10)
            assert way.provider.connections == 1
            slow.close()
            time.sleep(0.2)
            go_on.set()
            assert other.answer().body == b'{"whole":1}'


def test_an_early_reply_ends_the_upload(tmp_path):
    """A provider may answer before it has everything, as with 413; its connection is not used again."""
    connections = []

    async def serve(reader, writer):
        connections.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(b'{"error":1}', status="413 Content Too Large"))
        while await reader.read(65536):
            pass
        writer.close()

    head = b"POST /early/files HTTP/1.1\r\nhost: g\r\ncontent-length: 10000000\r\n\r\n"
    with (
        listening(serve) as port,
        gate(tmp_path, f'[[provider]]\nname="early"\norigin="http://127.0.0.1:{port}"\n') as way,
    ):
        with Client(way.port) as client:
            client.send(head + b"x" * 1000)
            assert client.answer().status == 413
            client.send(b"x" * (10_000_000 - 1000))
            client.send(b"GET /early/files HTTP/1.1\r\nhost: g\r\n\r\n")
            assert client.answer().status == 413
        assert len(connections) == 2
        way.closed(2)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def tls(certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    return context


def local(port: int) -> str:
    return f'[[provider]]\nname = "local"\norigin = "https://localhost:{port}"\n'


def test_a_provider_with_a_certificate_that_is_trusted(tmp_path, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    raw = stream_head() + chunk(b"data: 1\n\n") + chunk(b"")
    with provider(says(raw), ssl=tls(certificate)) as origin, gate(tmp_path, local(origin.port)) as way:
        for _ in range(3):
            answer = parse(ask(way.port, post("/local/v1/chat/completions", b'{"stream":true}')))
            assert (answer.status, answer.body, answer.whole) == (200, b"data: 1\n\n", True)
        assert origin.connections == 1
        assert origin.seen[0].header(b"host") == f"localhost:{origin.port}".encode()


def failed(port: int, path: str) -> tuple[int, str, str]:
    answer = parse(ask(port, post(path, b'{"model":"x"}')))
    assert answer.header("x-joulegate-call-id")
    error = json.loads(answer.body)["error"]
    return answer.status, error["code"], error["message"]


def test_a_certificate_that_nobody_vouches_for(tmp_path, certificate):
    with provider(says(reply(b"{}")), ssl=tls(certificate)) as origin, gate(tmp_path, local(origin.port)) as way:
        status, code, message = failed(way.port, "/local/v1/chat/completions")
        assert (status, code) == (502, "upstream_tls_failed")
        assert f"localhost:{origin.port}" in message
        [call] = way.closed(1)
        assert (call.outcome, call.reason, call.status) == ("error", "upstream_tls_failed", 502)
        assert (call.usage, call.usage_source) == (None, "absent")
        assert way.opened() == []
        assert origin.seen == []


def test_a_certificate_for_another_name(tmp_path, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    with provider(says(reply(b"{}")), ssl=tls(certificate)) as origin:
        toml = local(origin.port).replace("localhost", "127.0.0.1")
        with gate(tmp_path, toml) as way:
            assert failed(way.port, "/local/v1/chat/completions")[:2] == (502, "upstream_tls_failed")


def test_a_provider_that_speaks_no_tls(tmp_path):
    async def serve(reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with listening(serve) as port, gate(tmp_path, local(port)) as way:
        assert failed(way.port, "/local/v1/chat/completions")[:2] == (502, "upstream_tls_failed")


def test_a_provider_that_hangs_up_during_the_handshake(tmp_path):
    async def serve(reader, writer):
        writer.close()

    with listening(serve) as port, gate(tmp_path, local(port)) as way:
        assert failed(way.port, "/local/v1/chat/completions")[0] == 502
        way.closed(1)


def test_a_provider_that_refuses_connections(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    toml = f'[[provider]]\nname = "away"\norigin = "http://127.0.0.1:{port}"\n'
    with gate(tmp_path, toml) as way:
        status, code, message = failed(way.port, "/away/v1/chat/completions")
        assert (status, code) == (502, "upstream_unreachable")
        assert "Connection refused" in message
        [call] = way.closed(1)
        assert (call.outcome, call.reason, call.opened.provider) == ("error", "upstream_unreachable", "away")


def test_a_provider_whose_name_is_not_known(tmp_path):
    with gate(tmp_path, '[[provider]]\nname = "away"\norigin = "http://nobody.invalid"\n') as way:
        assert failed(way.port, "/away/v1/chat/completions")[:2] == (502, "upstream_unreachable")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_provider_that_accepts_no_connection_in_time(tmp_path, scheme):
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4 if scheme == "http" else 0):  # fill the backlog: more connections are not answered
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        toml = f'[[provider]]\nname = "full"\norigin = "{scheme}://127.0.0.1:{full.getsockname()[1]}"\n'
        with gate(tmp_path, toml, connect_timeout_s=0.3) as way:
            assert failed(way.port, "/full/v1/chat/completions")[:2] == (504, "upstream_connect_timeout")
            [call] = way.closed(1)
            assert (call.outcome, call.reason) == ("error", "upstream_connect_timeout")
