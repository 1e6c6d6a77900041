"""Streams pass piece by piece, at the client's pace, and show what a direct call shows."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import random
import threading
import time
import zlib

import brotli
import openai
import pytest
import zstandard

from tests.gate.chat import asking, event, events
from tests.loopback import Client, ask, chunk, parse, reply, says, stream_head, until

PLAIN = b"".join(events(usage=False))
WITH_USAGE = b"".join(events(usage=True))


def flushed(coding: str, pieces: list[bytes]) -> list[bytes]:
    """Compress a stream, flushed after every piece as providers do."""
    if coding == "identity":
        return pieces
    if coding == "br":
        stream = brotli.Compressor()
        coded = [stream.process(piece) + stream.flush() for piece in pieces]
        return [*coded, stream.finish()]
    if coding == "zstd":
        stream = zstandard.ZstdCompressor().compressobj()
        coded = [stream.compress(piece) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for piece in pieces]
        return [*coded, stream.flush()]
    stream = zlib.compressobj(wbits=31)
    return [*(stream.compress(piece) + stream.flush(zlib.Z_SYNC_FLUSH) for piece in pieces), stream.flush()]


def whole(coding: str, body: bytes) -> bytes:
    """Decode strictly: a coded stream without its end is an error."""
    if coding == "gzip":
        return gzip.GzipFile(fileobj=io.BytesIO(body)).read()
    if coding == "br":
        return brotli.decompress(body)
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompress(body, max_output_size=2**20)
    return body


def openai_like(coding: str = "identity", seed: int | None = None):
    """A provider that adds usage where it is asked for, and only there."""

    async def script(seen, writer):
        options = json.loads(seen.body).get("stream_options") or {}
        pieces = flushed(coding, events(usage=options.get("include_usage") is True))
        writer.write(stream_head(*([] if coding == "identity" else [f"content-encoding: {coding}"])))
        if seed is None:
            writer.write(b"".join(map(chunk, filter(None, pieces))))
        else:
            chance, body = random.Random(seed), b"".join(pieces)
            while body:
                size = chance.choice((1, 2, 3, 5, 17, 40))
                writer.write(chunk(body[:size]))
                await writer.drain()
                if chance.random() < 0.2:
                    await asyncio.sleep(0)
                body = body[size:]
        writer.write(chunk(b""))

    return script


ASKED = {
    "absent": {},
    "null": {"stream_options": None},
    "empty": {"stream_options": {}},
    "false": {"stream_options": {"include_usage": False}},
    "true": {"stream_options": {"include_usage": True}},
    "other": {"stream_options": {"include_obfuscation": False}},
}


@pytest.mark.parametrize("coding", ["identity", "gzip", "br", "zstd"])
@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_the_client_sees_what_it_asked_for_and_the_record_has_the_usage(through, coding, seed):
    with through(openai_like(coding, seed)) as way:
        for asked in ASKED.values():
            answer = parse(ask(way.gate.port, asking(**asked)))
            assert answer.whole
            assert whole(coding, answer.body) == (WITH_USAGE if asked is ASKED["true"] else PLAIN)
            assert answer.header("content-encoding") == (None if coding == "identity" else coding.encode())
        sent = [json.loads(seen.body)["stream_options"] for seen in way.provider.seen]
        assert all(options["include_usage"] is True for options in sent)
        assert sent[-1] == {"include_obfuscation": False, "include_usage": True}
        for call in way.gate.closed(len(ASKED)):
            assert (call.outcome, call.usage_source, call.usage.output_tokens) == ("ok", "reported", 4)
            assert call.flags == ()


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_of_a_compressed_stream_from_which_nothing_is_taken_out_every_byte_is_the_providers(through, coding, size):
    """A provider that does not understand the option answers as if it were not there."""
    coded = b"".join(flushed(coding, events(usage=False)))

    async def deaf(seen, writer):
        assert json.loads(seen.body)["stream_options"] == {"include_usage": True}
        writer.write(stream_head(f"content-encoding: {coding}"))
        writer.write(b"".join(chunk(coded[at : at + size]) for at in range(0, len(coded), size)) + chunk(b""))

    with through(deaf) as way:
        assert parse(ask(way.gate.port, asking())).body == coded
        assert way.gate.closed(1)[0].flags == ()


@pytest.mark.parametrize("cut", [1, 30])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_of_an_event_that_is_cut_off_the_client_sees_what_came(through, coding, cut):
    first, second, *_ = events(usage=False)
    coded = b"".join(flushed(coding, [first, second[:cut]])[:2])

    async def cuts(seen, writer):
        writer.write(stream_head(*([] if coding == "identity" else [f"content-encoding: {coding}"])) + chunk(coded))
        await writer.drain()
        writer.close()

    with through(cuts) as way:
        answer = parse(ask(way.gate.port, asking()))
        assert (answer.body, answer.whole) == (coded, False)
        (call,) = way.gate.closed(1)
        assert (call.outcome, call.reason) == ("error", "upstream_closed")


@pytest.mark.parametrize("line", ['inject_usage = "never"', 'stream_usage = "always"'])
def test_where_usage_must_not_be_asked_for_nothing_is_changed(through, line):
    with through(openai_like(), line) as way:
        for asked in ASKED.values():
            request = asking(**asked)
            answer = parse(ask(way.gate.port, request))
            assert answer.body == (WITH_USAGE if asked is ASKED["true"] else PLAIN)
            assert way.provider.seen[-1].body == request.partition(b"\r\n\r\n")[2]
        calls = way.gate.closed(len(ASKED))
        sources = dict(zip(ASKED, [call.usage_source for call in calls], strict=True))
        assert sources == dict.fromkeys(ASKED, "inferred") | {"true": "reported"}


def test_a_provider_that_gives_usage_unasked_keeps_it_for_the_client(through):
    """`always`: nothing was asked for, so nothing is taken out."""
    raw = stream_head() + chunk(WITH_USAGE) + chunk(b"")
    with through(says(raw), 'stream_usage = "always"') as way:
        assert parse(ask(way.gate.port, asking())).body == WITH_USAGE


def test_the_request_is_changed_by_what_is_asked_for_and_by_nothing_else(through):
    with through(openai_like()) as way:
        request = asking()
        ask(way.gate.port, request)
        body = request.partition(b"\r\n\r\n")[2]
        assert way.provider.seen[0].body == body[:-1] + b',"stream_options":{"include_usage":true}}'
        assert way.provider.seen[0].header(b"content-length") == str(len(way.provider.seen[0].body)).encode()


def test_a_stream_with_a_length_loses_it_where_events_are_taken_out(through):
    with through(says(reply(WITH_USAGE, content_type="text/event-stream"))) as way:
        answer = parse(ask(way.gate.port, asking()))
        assert (answer.body, answer.whole) == (PLAIN, True)
        assert answer.header("content-length") is None


def test_a_stream_that_is_answered_plainly_is_left_alone(through):
    body = b'{"id":"x","usage":null,"choices":[]}'
    with through(says(reply(body))) as way:
        assert parse(ask(way.gate.port, asking())).body == body


@pytest.mark.parametrize("asked", ASKED)
def test_the_official_sdks_loop_runs_unchanged(through, asked):
    with through(openai_like("gzip", 4)) as way:
        client = openai.OpenAI(base_url=f"{way.gate.url}/v1", api_key="sk-x", max_retries=0)
        stream = client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "?"}], stream=True, **ASKED[asked]
        )
        chunks = list(stream)
        client.close()
        if asked == "true":
            assert chunks[-1].choices == []
            assert chunks.pop().usage.total_tokens == 15
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Tides are high."


PIECES = {
    "events": [event({"a": 1}), event({"b": 2}), b": keep-alive\n\n", event({"c": 3})],
    "odd": [b"da", b"ta: {}", b"\n", b"\nda", b"ta: \xe2", b"\x82\xac\n\n", b"\r", b"\n"],
    "bytes": [b"\x00", b"\xff" * 3, b"x"],
}


@pytest.mark.parametrize("path", ["/openai/v1/anything", "/v1/responses", "/v1/chat/completions"])
@pytest.mark.parametrize("pieces", PIECES)
def test_each_piece_arrives_before_the_next_is_sent(through, path, pieces):
    got = [threading.Event() for _ in PIECES[pieces]]

    async def script(seen, writer):
        writer.write(stream_head())
        for piece, event in zip(PIECES[pieces], got, strict=True):
            writer.write(chunk(piece))
            await writer.drain()
            await until(event)
        writer.write(chunk(b""))

    with through(script, 'inject_usage = "never"') as way, Client(way.gate.port) as client:
        client.send(asking(path=path))
        client.until(b"\r\n\r\n")
        for piece, event in zip(PIECES[pieces], got, strict=True):
            assert client.exactly(len(chunk(piece))) == chunk(piece)
            event.set()
        assert client.rest() == chunk(b"")


@pytest.mark.parametrize("coding", ["identity", "gzip", "br", "zstd"])
def test_each_event_arrives_before_the_next_is_sent_also_where_usage_is_taken_out(through, coding):
    shown = events(usage=False)
    sent = flushed(coding, events(usage=True))
    got = [threading.Event() for _ in sent]

    async def script(seen, writer):
        writer.write(stream_head(*([] if coding == "identity" else [f"content-encoding: {coding}"])))
        for piece, event in zip(sent, got, strict=True):
            writer.write(chunk(piece))
            await writer.drain()
            await until(event)
        writer.write(chunk(b""))

    decode = {
        "identity": lambda: bytes,
        "gzip": lambda: zlib.decompressobj(31).decompress,
        "br": lambda: brotli.Decompressor().process,
        "zstd": lambda: zstandard.ZstdDecompressor().decompressobj().decompress,
    }[coding]()
    with through(script) as way, Client(way.gate.port) as client:
        client.send(asking())
        client.until(b"\r\n\r\n")
        for one, event in zip(shown[:-1], got, strict=False):
            seen = b""
            while len(seen) < len(one):
                seen += decode(client.exactly(int(client.until(b"\r\n"), 16) + 2)[:-2])
            assert seen == one
            event.set()
        for event in got:
            event.set()
        assert decode(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + client.rest()).body) == shown[-1]


def test_the_head_arrives_before_the_body_is_there(through):
    got = threading.Event()

    async def script(seen, writer):
        writer.write(stream_head())
        await writer.drain()
        await until(got)
        writer.write(chunk(PLAIN) + chunk(b""))

    for path in ("/v1/chat/completions", "/v1/responses"):
        got.clear()
        with through(script) as way, Client(way.gate.port) as client:
            client.send(asking(path=path))
            assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK")
            got.set()
            client.rest()


def test_spaces_that_keep_a_plain_reply_alive_are_passed_on_while_it_is_silent(through):
    go_on = threading.Event()
    body = b'{"id":"x","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}'

    async def script(seen, writer):
        writer.write(stream_head(content_type="application/json"))
        for _ in range(3):
            writer.write(chunk(b" \n"))
            await writer.drain()
        await until(go_on)
        writer.write(chunk(body) + chunk(b""))

    with through(script) as way, Client(way.gate.port) as client:
        client.send(asking(stream=False))
        client.until(b"\r\n\r\n")
        got = b""
        while len(got) < 6:
            got += client.exactly(int(client.until(b"\r\n"), 16) + 2)[:-2]
        assert got == b" \n" * 3
        go_on.set()
        assert body in client.rest()
        [call] = way.gate.closed(1)
        assert (call.usage_source, call.usage.output_tokens) == ("reported", 2)


@pytest.mark.parametrize("path", ["/openai/v1/anything", "/v1/responses", "/v1/chat/completions"])
def test_a_slow_client_slows_the_provider_down(through, path):
    sent = 0
    size = 64 * 1024
    total = 24 * 1024 * 1024

    async def script(seen, writer):
        nonlocal sent
        writer.write(stream_head())
        one = chunk(b"data: " + b"x" * (size - 8) + b"\n\n")
        while sent < total:
            writer.write(one)
            await writer.drain()
            sent += size
        writer.write(chunk(b""))

    with through(script) as way, Client(way.gate.port) as client:
        client.send(asking(path=path))
        client.until(b"\r\n\r\n")
        before = -1
        while sent != before:  # until nothing moves any more
            before = sent
            time.sleep(0.3)
        assert before < total / 2  # what the kernel and we hold is bounded
        assert len(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + client.rest()).body) == total
        way.gate.closed(1)


def test_many_streams_at_once_do_not_mix(through):
    async def script(seen, writer):
        name = seen.header(b"x-name")
        writer.write(stream_head())
        for _ in range(20):
            writer.write(chunk(b"data: %b\n\n" % name))
            await writer.drain()
            await asyncio.sleep(0.001)
        writer.write(chunk(b""))

    with through(script) as way:
        clients = [Client(way.gate.port) for _ in range(50)]
        for number, client in enumerate(clients):
            client.send(asking(f"x-name: {number}"))
        for number, client in enumerate(clients):
            assert parse(client.rest()).body == b"data: %d\n\n" % number * 20
            client.socket.close()
        assert len({call.opened.id for call in way.gate.closed(50)}) == 50
