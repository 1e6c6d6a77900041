"""The data plane is an ASGI application: it runs under a server that is not ours, and only its detour differs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from proxy.app import build_gate
from proxy.call import Closed
from proxy.config import load
from proxy.tail import Tail
from tests.gate.conftest import named
from tests.loopback import Client, ask, chunk, parse, post, provider, reply, says, stream_head, until

PLAIN = b'{"model":"gpt-4o","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}'
CHAT = post("/v1/chat/completions", b'{"model":"gpt-4o"}')


@contextlib.contextmanager
def under_uvicorn(tmp_path: Path, toml: str) -> Iterator[int]:
    """Run the application as any ASGI application is run; gives the port."""
    file = tmp_path / "joulegate.toml"
    file.write_text(f'[journal]\ndirectory = "{tmp_path / "journal"}"\n{toml}')
    app = build_gate(load(file, environment={}).config)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", server_header=False, date_header=False))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
        listening.close()


def ended(tmp_path: Path) -> list[Closed]:
    tail = Tail(tmp_path / "journal")
    try:
        return [entry.record for entry in tail.read(1000) if isinstance(entry.record, Closed)]
    finally:
        tail.close()


def test_a_plain_call_and_the_health_of_the_gate(tmp_path):
    with provider(says(reply(PLAIN, "x-v: 1"))) as origin, under_uvicorn(tmp_path, named(origin)) as port:
        assert parse(ask(port, b"GET /healthz HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n")).body == b"ok\n"
        answer = parse(ask(port, CHAT))
    (call,) = ended(tmp_path)
    assert (answer.status, answer.body, answer.header("x-v")) == (200, PLAIN, b"1")
    assert answer.header("x-joulegate-call-id") == call.opened.id.encode()
    assert (call.outcome, call.usage.input_tokens, call.usage.output_tokens) == ("ok", 3, 4)


def test_a_stream_arrives_as_it_comes(tmp_path):
    go_on = threading.Event()

    async def script(seen, writer):
        writer.write(stream_head() + chunk(b"data: 1\n\n"))
        await until(go_on)
        writer.write(chunk(b"data: [DONE]\n\n") + chunk(b""))

    stream = post("/openai/v1/chat/completions", b'{"model":"gpt-4o","stream":true}')
    with (
        provider(script) as origin,
        under_uvicorn(tmp_path, named(origin)) as port,
        Client(port) as client,
    ):
        client.send(stream)
        head = client.until(b"data: 1\n\n\r\n")
        go_on.set()
        rest = client.rest()
    assert parse(head + rest).body == b"data: 1\n\ndata: [DONE]\n\n"
    assert [call.outcome for call in ended(tmp_path)] == ["ok"]


@pytest.mark.parametrize("on_abort", ["cancel", "drain"])
def test_a_client_that_leaves_is_noticed(tmp_path, on_abort):
    left, told = threading.Event(), threading.Event()

    async def script(seen, writer):
        writer.write(stream_head() + chunk(b"data: 1\n\n"))
        if on_abort == "cancel":
            await seen.gone()
            told.set()
        else:
            await until(left)
            writer.write(chunk(b"data: [DONE]\n\n") + chunk(b""))

    stream = post("/openai/v1/chat/completions", b'{"model":"gpt-4o","stream":true}')
    with (
        provider(script) as origin,
        under_uvicorn(tmp_path, named(origin, f'on_abort = "{on_abort}"')) as port,
    ):
        with Client(port) as client:
            client.send(stream)
            client.until(b"data: 1\n\n\r\n")
        if on_abort == "cancel":
            assert told.wait(10)
        left.set()
    (call,) = ended(tmp_path)
    assert (call.outcome, call.reason) == ("aborted", "client_gone")


def test_an_upload_is_passed_on_and_a_request_without_a_body_has_none(tmp_path):
    upload = post("/openai/v1/files", b"y" * 300_000, "content-type: application/octet-stream")
    with provider(says(reply(b"{}"))) as origin, under_uvicorn(tmp_path, named(origin)) as port:
        assert parse(ask(port, upload)).status == 200
        assert parse(ask(port, b"GET /openai/v1/models HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n")).status == 200
        assert [len(seen.body) for seen in origin.seen] == [300_000, 0]
