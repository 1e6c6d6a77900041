"""Bodies of tens of megabytes, in bounded memory where they pass and whole where they are held."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
import tracemalloc

import pytest

from tests.loopback import Client, ask, gate, listening, parse, post, reply, says, until

SIZE = 50 * 1024 * 1024


def test_fifty_megabytes_on_the_common_door_with_the_model_last(through):
    body = b'{"messages":"' + b"x" * SIZE + b'","model":"gpt-4o"}'
    with through(says(reply(b"{}"))) as way:
        assert parse(ask(way.gate.port, post("/v1/chat/completions", body))).status == 200
        assert way.provider.seen[0].body == body
        [call] = way.gate.closed(1)
        assert (call.opened.model_requested, call.opened.request_bytes) == ("gpt-4o", len(body))
        assert call.usage.input_tokens == round(len(body) / 4)


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_an_upload_passes_at_the_providers_pace_and_whole(tmp_path, framing):
    """The provider reads nothing for a while: the client is stopped, not the memory filled."""
    go_on, digests = threading.Event(), []

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        reader._limit = 2**16  # asyncio's own flow control: read only what is asked for
        await until(go_on)
        seen = hashlib.sha256()
        left = SIZE
        while left > 0:
            if framing == "chunks":
                left_of_chunk = int(await reader.readline(), 16)
                piece = await reader.readexactly(left_of_chunk)
                await reader.readexactly(2)
            else:
                piece = await reader.read(65536)
            seen.update(piece)
            left -= len(piece)
        digests.append(seen.hexdigest())
        writer.write(reply(b"{}"))
        await writer.drain()
        await asyncio.sleep(0.1)

    piece = bytes(range(256)) * 1024
    pieces = SIZE // len(piece)
    sent = 0

    def upload() -> None:
        nonlocal sent
        for _ in range(pieces):
            client.send(piece if framing == "length" else b"%x\r\n%b\r\n" % (len(piece), piece))
            sent += len(piece)
        if framing == "chunks":
            client.send(b"0\r\n\r\n")

    with (
        listening(serve) as port,
        gate(tmp_path, f'[[provider]]\nname="up"\norigin="http://127.0.0.1:{port}"\n') as way,
    ):
        with Client(way.port) as client:
            head = f"content-length: {SIZE}" if framing == "length" else "transfer-encoding: chunked"
            client.send(f"POST /up/v1/files HTTP/1.1\r\nhost: g\r\n{head}\r\n\r\n".encode())
            thread = threading.Thread(target=upload)
            thread.start()
            before = -1
            while sent != before:  # until nothing moves any more
                before = sent
                time.sleep(0.3)
            assert before < SIZE / 2
            tracemalloc.start()
            go_on.set()
            answer = client.answer()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            thread.join()
        assert answer.status == 200
        assert peak < SIZE / 3
        assert digests == [hashlib.sha256(piece * pieces).hexdigest()]
        [call] = way.closed(1)
        assert call.opened.request_bytes == (SIZE if framing == "length" else None)


def test_a_reply_of_fifty_megabytes_passes_whole_in_bounded_memory(through):
    piece = bytes(range(256)) * 1024
    pieces = SIZE // len(piece)

    async def script(seen, writer):
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % SIZE)
        for _ in range(pieces):
            writer.write(piece)
            await writer.drain()

    with through(script) as way, Client(way.gate.port) as client:
        client.send(post("/v1/embeddings", b'{"model":"text-embedding-3-small","input":"x"}'))
        client.until(b"\r\n\r\n")
        tracemalloc.start()
        seen, size = hashlib.sha256(), 0
        while size < SIZE:
            got = client.exactly(65536)
            seen.update(got)
            size += len(got)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seen.hexdigest() == hashlib.sha256(piece * pieces).hexdigest()
        assert peak < SIZE / 3
        [call] = way.gate.closed(1)
        assert (call.outcome, call.response_bytes) == ("ok", SIZE)
