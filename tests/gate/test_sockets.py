"""WebSockets through the gate: an independent client and server at its ends, and raw bytes where these hide them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

from tests.gate.conftest import Through
from tests.loopback import Client, RunningGate, Seen, gate, until

USAGE = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 19,
        "audio_tokens": 113,
        "image_tokens": 0,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 64},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}
SESSION = {"type": "session.created", "session": {"model": "gpt-realtime-2025-08-28"}}


def done(number: int, usage: dict[str, object] | None = None) -> dict[str, object]:
    response = {"id": f"resp_{number}", "status": "completed", "usage": usage or USAGE}
    return {"type": "response.done", "response": response}


def first(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return offered[0] if offered else None


@contextlib.contextmanager
def speaking(
    tmp_path: Path, say: Callable[[ServerConnection], None], *lines: str, toml: str = "", **settings: object
) -> Iterator[RunningGate]:
    """A gate in front of a WebSocket server that does as ``say`` says."""
    with serve(say, "127.0.0.1", 0, select_subprotocol=first) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        port = server.socket.getsockname()[1]
        text = "\n".join(["[[provider]]", 'name = "openai"', f'origin = "http://127.0.0.1:{port}"', *lines, toml])
        with gate(tmp_path, text, **{"shutdown_s": 1.0} | settings) as running:
            yield running
        server.shutdown()
        thread.join(10)


def address(running: RunningGate, path: str = "/v1/realtime?model=gpt-realtime") -> str:
    return f"ws://127.0.0.1:{running.port}{path}"


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


@pytest.mark.parametrize("compression", ["deflate", None])
def test_messages_of_every_kind_and_size_come_back(tmp_path: Path, compression: str | None) -> None:
    messages: list[str | bytes] = ["", "text \u2028", b"\x00\xff", os.urandom(70_000), "x" * 300_000]
    with speaking(tmp_path, echo) as running:
        with connect(address(running), compression=compression, max_size=None) as client:
            for message in messages:
                client.send(message)
                assert client.recv(10) == message
            assert client.ping().wait(10)
        (record,) = running.closed(1)
    assert record.outcome == "ok"
    assert record.status == 101
    assert record.usage is None
    assert record.opened.surface == "openai.realtime"
    assert record.opened.model_requested == "gpt-realtime"


@pytest.mark.parametrize("compression", ["deflate", None])
def test_every_turn_is_a_call_written_down_before_its_client_sees_its_end(
    tmp_path: Path, compression: str | None
) -> None:
    def say(connection: ServerConnection) -> None:
        connection.send(json.dumps(SESSION))
        for number, _ in enumerate(connection):
            connection.send(json.dumps({"type": "response.created", "response": {"id": f"resp_{number}"}}))
            connection.send(json.dumps(done(number)))

    with speaking(tmp_path, say) as running, connect(address(running), compression=compression) as client:
        client.recv(10)
        for turn in range(3):
            client.send("go on")
            client.recv(10)
            client.recv(10)
            assert len(running.closed(turn + 1, within_s=0)) == turn + 1
        client.close()
        *turns, session = running.closed(4)
    for number, turn in enumerate(turns):
        assert turn.usage is not None
        assert turn.usage.input_tokens == 132
        assert turn.usage.cached_input_tokens == 64
        assert turn.usage.audio_input_tokens == 113
        assert turn.usage.output_tokens == 121
        assert turn.usage.audio_output_tokens == 91
        assert turn.model == "gpt-realtime-2025-08-28"
        assert turn.provider_request_id == f"resp_{number}"
        assert turn.opened.operation_id == session.opened.id
    assert len({turn.opened.id for turn in turns} | {session.opened.id}) == 4
    assert session.reason == "usage.on_turns"
    assert session.usage is None


def test_a_key_of_ours_among_the_subprotocols_stays_here(tmp_path: Path) -> None:
    seen: list[object] = []

    def say(connection: ServerConnection) -> None:
        seen.append(dict(connection.request.headers.raw_items()) if connection.request else None)

    key = "jg-" + "k" * 40
    digest = hashlib.sha256(key.encode()).hexdigest()
    secret = tmp_path / "secret"
    secret.write_text("sk-the-operators")
    toml = f'[[team]]\nname = "voice"\n[[team.key]]\nid = "k1"\nsha256 = "{digest}"\n'
    offered = [Subprotocol("realtime"), Subprotocol(f"openai-insecure-api-key.{key}")]
    with speaking(tmp_path, say, f'credential = "file:{secret}"', toml=toml, keys="required") as running:
        with connect(address(running), subprotocols=offered) as client:
            assert client.subprotocol == "realtime"
            with contextlib.suppress(ConnectionClosed):
                client.recv(10)
        (record,) = running.closed(1)
        with pytest.raises(InvalidStatus) as refused:
            connect(address(running))
    assert record.opened.team == "voice"
    assert key not in str(seen)
    (headers,) = seen
    assert isinstance(headers, dict)
    assert headers["authorization"] == "Bearer sk-the-operators"
    assert refused.value.response.status_code == 401


def test_an_answer_that_is_no_switch_is_an_ordinary_reply(tmp_path: Path, through: Through) -> None:
    async def script(seen: Seen, writer: asyncio.StreamWriter) -> None:
        assert seen.header(b"upgrade") == b"websocket"
        writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")

    with through(script) as way, pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{way.gate.port}/v1/realtime?model=gpt-realtime")
    assert refused.value.response.status_code == 403
    assert refused.value.response.body == b"no"


HANDSHAKE = (
    b"GET /v1/realtime?model=gpt-realtime HTTP/1.1\r\nhost: gate\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nx-one: 1\r\nx-one: 2\r\n\r\n"
)


def test_bytes_pass_as_they_are_in_both_directions_from_the_first(through: Through) -> None:
    sent, back = b"\x73" + os.urandom(300_000), b"\x73" + os.urandom(300_000)  # no frame begins so
    got: list[bytes] = []

    async def script(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCH + back)
        got.append(await seen.reader.readexactly(len(sent)))
        writer.close()

    with through(script) as way, Client(way.gate.port) as client:
        client.send(HANDSHAKE + sent[:1000])  # early: before the switch was agreed on
        head = client.until(b"\r\n\r\n")
        client.send(sent[1000:])
        assert client.exactly(len(back)) == back
        assert client.rest() == b""
        (record,) = way.gate.closed(1)
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"x-one: 1\r\nx-one: 2\r\n" in head
    assert got == [sent]
    assert record.outcome == "error"
    assert "websocket.unreadable" in record.flags


@pytest.mark.parametrize("how", ["client", "client resets", "provider"])
def test_an_end_without_a_close_frame_is_told_apart(through: Through, how: str) -> None:
    leave = threading.Event()

    async def script(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCH)
        if how == "provider":
            await until(leave)
            writer.close()
        else:
            await seen.gone()

    with through(script) as way, Client(way.gate.port) as client:
        client.send(HANDSHAKE)
        client.until(b"\r\n\r\n")
        leave.set()
        if how == "provider":
            assert client.rest() == b""
        elif how == "client":
            client.socket.close()
        else:
            client.reset()
        (record,) = way.gate.closed(1)
    assert (record.outcome, record.reason) == (
        ("error", "upstream_closed") if how == "provider" else ("aborted", "client_gone")
    )


def test_a_slow_reader_slows_the_other_end(through: Through) -> None:
    written = 0

    async def script(seen: Seen, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(SWITCH)
        with contextlib.suppress(ConnectionError):
            for _ in range(400):
                writer.write(bytes(100_000))
                await asyncio.wait_for(writer.drain(), 2)
                written += 100_000

    with through(script) as way, Client(way.gate.port) as client:
        client.send(HANDSHAKE)
        client.until(b"\r\n\r\n")
        way.provider.script = script
        threading.Event().wait(1.0)
        assert written < 20_000_000


def test_a_shutdown_ends_open_connections_and_records_them(tmp_path: Path) -> None:
    with speaking(tmp_path, echo) as running, connect(address(running)) as client:
        client.send("a")
        client.recv(10)
        running.stop()
        (record,) = running.closed(1)
        with pytest.raises(ConnectionClosed):
            client.recv(10)
    assert record.outcome == "interrupted"
