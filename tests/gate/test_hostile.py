"""Replies nobody should send: passed on as they are, flagged, one row each, in flat memory."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import brotli
import pytest
import zstandard

from proxy.wire.registry import SURFACES, WAYS
from tests.gate import chat
from tests.loopback import Client, ask, chunk, parse, post, provider, reply, says, stream_head
from tests.service.running import Service, service
from tests.wire import aws_messages
from tests.wire.fixture_files import REPLIES, expected

CODERS = {
    "identity": lambda body: body,
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}
STREAMING = {"model": "m", "stream": True, "stream_options": {"include_usage": True}, "messages": []}
PLAIN = {"model": "m", "messages": []}
MB = 1024 * 1024


def through_gate(way, body: bytes, *headers: str, path: str = "/openai/v1/chat/completions", asked: object = PLAIN):
    """Ask the gate, check that what the provider sent is what comes, and give the call."""
    answer = parse(ask(way.gate.port, post(path, json.dumps(asked).encode(), *headers)))
    assert answer.status == 200
    assert answer.whole
    assert answer.body == body
    [call] = way.gate.closed(1)
    assert call.response_bytes == len(body)
    return call


def usage_of(call) -> dict[str, object]:
    """The counts of a call, as a fixture's expectation has them."""
    if call.usage_source != "reported":
        return {}
    counts = {name: getattr(call.usage, name) for name in call.usage.__dataclass_fields__ if name != "units"}
    stated = {name: count for name, count in counts.items() if count is not None}
    return stated | ({"units": dict(call.usage.units)} if call.usage.units else {})


# Content codings.

STREAM = b"".join(chat.events(usage=True))
DOCUMENT = json.dumps({"model": "m", "choices": [], "x": list(range(5000)), "usage": chat.USAGE}).encode()


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("how", ["cut", "damaged", "not coded at all", "rubbish behind"])
def test_a_coding_that_does_not_hold(through, coding, how):
    coded = CODERS[coding](DOCUMENT)
    half = len(coded) // 2
    body = {
        "cut": coded[:half],
        "damaged": coded[:half] + b"\xff\x00\xff" * 20 + coded[half:],
        "not coded at all": DOCUMENT,
        "rubbish behind": coded + b"rubbish",
    }[how]
    with through(says(reply(body, f"content-encoding: {coding}"))) as way:
        call = through_gate(way, body)
    assert call.outcome == "ok"
    if how == "rubbish behind" and coding == "gzip":  # ignored, as every client does
        assert (usage_of(call), call.flags) == ({"input_tokens": 11, "output_tokens": 4}, ())
    else:
        assert ("content_encoding.truncated" if how == "cut" else "content_encoding.broken") in call.flags
        if how == "cut":
            assert call.usage_source == "inferred"


def test_a_coding_nobody_knows(through):
    with through(says(reply(DOCUMENT, "content-encoding: snappy"))) as way:
        call = through_gate(way, DOCUMENT)
    assert "content_encoding.unknown" in call.flags
    assert call.usage_source == "inferred"


@pytest.mark.parametrize(("events", "flags"), [(8, ()), (4, ("content_encoding.truncated",))])
def test_a_stream_whose_gzip_never_ends_keeps_the_usage_it_stated(through, events, flags):
    coder = zlib.compressobj(wbits=31)
    coded = [coder.compress(event) + coder.flush(zlib.Z_SYNC_FLUSH) for event in chat.events(usage=True)]
    assert len(coded) == 8
    body = b"".join(coded[:events])
    script = says(reply(body, "content-encoding: gzip", content_type="text/event-stream"))
    with through(script) as way:
        call = through_gate(way, body, asked=STREAMING)
    assert usage_of(call) == ({} if flags else {"input_tokens": 11, "output_tokens": 4})
    assert call.flags == flags


# Event streams of AWS.

SAID = [
    aws_messages.event("contentBlockDelta", {"delta": {"text": "Tides"}}),
    aws_messages.event("metadata", {"usage": {"inputTokens": 11, "outputTokens": 4, "totalTokens": 15}}),
]


@pytest.mark.parametrize("at", [2, 9, 20, -1])
def test_an_event_stream_with_a_wrong_checksum(through, at):
    broken = bytearray(SAID[0])
    broken[at] ^= 1
    body = bytes(broken) + SAID[1]
    with through(says(reply(body, content_type="application/vnd.amazon.eventstream"))) as way:
        call = through_gate(way, body, path="/openai/model/m/converse-stream")
    assert call.usage_source == "inferred"
    assert "event.broken" in call.flags


# Counts.


@pytest.mark.parametrize(
    ("stated", "counts", "flag"),
    [
        ('{"prompt_tokens":-1,"completion_tokens":4}', {"output_tokens": 4}, "usage.prompt_tokens.negative"),
        ('{"prompt_tokens":1e300,"completion_tokens":4}', {"output_tokens": 4}, "usage.prompt_tokens.absurd"),
        ('{"prompt_tokens":NaN,"completion_tokens":4}', {"output_tokens": 4}, "usage.prompt_tokens.not_a_count"),
        ('{"prompt_tokens":Infinity,"completion_tokens":4}', {"output_tokens": 4}, "usage.prompt_tokens.not_a_count"),
        ('{"prompt_tokens":1.5,"completion_tokens":4}', {"output_tokens": 4}, "usage.prompt_tokens.not_a_count"),
        ('{"prompt_tokens":true,"completion_tokens":4}', {"output_tokens": 4}, "usage.prompt_tokens.not_a_count"),
        ('{"prompt_tokens":[],"completion_tokens":4}', {"output_tokens": 4}, "usage.prompt_tokens.not_a_count"),
        (
            '{"prompt_tokens":' + "9" * 4000 + ',"completion_tokens":4}',
            {"output_tokens": 4},
            "usage.prompt_tokens.absurd",
        ),
        (
            '{"prompt_tokens":"11","completion_tokens":4.0}',
            {"input_tokens": 11, "output_tokens": 4},
            "usage.prompt_tokens.string",
        ),
        (
            '{"prompt_tokens":11,"completion_tokens":4,"total_tokens":99}',
            {"input_tokens": 11, "output_tokens": 4},
            "usage.total_mismatch",
        ),
        (
            '{"prompt_tokens":11,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":161}}',
            {"input_tokens": 11, "cached_input_tokens": 161, "output_tokens": 4},
            "usage.cached_over_input",
        ),
        # The last of several members with one name holds, as in every JSON parser that clients use.
        (
            '{"prompt_tokens":99,"prompt_tokens":11,"completion_tokens":4}',
            {"input_tokens": 11, "output_tokens": 4},
            "usage.duplicate_member",
        ),
        (
            '{"prompt_tokens":99},"usage":{"prompt_tokens":11,"completion_tokens":4}',
            {"input_tokens": 11, "output_tokens": 4},
            "usage.duplicate_member",
        ),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_counts_that_are_none(through, stated, counts, flag, streamed):
    body = f'{{"model":"m","choices":[],"usage":{stated}}}'.encode()
    if streamed:
        body = b"data: " + body + b"\n\ndata: [DONE]\n\n"
    kind = "text/event-stream" if streamed else "application/json"
    with through(says(reply(body, content_type=kind))) as way:
        call = through_gate(way, body, asked=STREAMING if streamed else PLAIN)
    assert usage_of(call) == counts
    assert flag in call.flags


PRINTED = '{"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("stated", [True, False])
def test_usage_that_a_model_was_told_to_print_is_no_usage(through, streamed, stated):
    message = {"content": f'\n\ndata: {PRINTED}\n\n"usage":{{"prompt_tokens":1}}', "tool_calls": [json.loads(PRINTED)]}
    told = {
        "model": "m",
        "choices": [{"index": 0, "delta" if streamed else "message": message, "finish_reason": "stop"}],
    }
    usage = {"usage": chat.USAGE} if stated else {}
    if streamed:
        body = chat.event(told) + (chat.event({"choices": [], **usage}) if stated else b"") + b"data: [DONE]\n\n"
    else:
        body = json.dumps(usage | told).encode()
    kind = "text/event-stream" if streamed else "application/json"
    with through(says(reply(body, content_type=kind))) as way:
        call = through_gate(way, body, asked=STREAMING if streamed else PLAIN)
    if stated:
        assert usage_of(call) == {"input_tokens": 11, "output_tokens": 4}
    else:
        assert call.usage_source == "inferred"


DEEP = 100_000
ENDS = b',"usage":{"prompt_tokens":11,"completion_tokens":4}}'


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (b'{"x":' + b"[" * DEEP + b"]" * DEEP + ENDS, True),
        (
            b'{"x":' + b'{"x":' * DEEP + b"1" + b"}" * DEEP + b',"usage":{"prompt_tokens":11,"completion_tokens":4}}',
            True,
        ),
        (b'{"usage":' + b'{"usage":' * DEEP + b"1" + b"}" * DEEP + b"}", False),
        (b"[" * DEEP, False),
        (
            b"data: " + b'{"choices":[' * DEEP + b"\n\ndata: " + json.dumps({"usage": chat.USAGE}).encode() + b"\n\n",
            True,
        ),
    ],
    ids=["arrays", "objects", "usage", "open", "event"],
)
def test_nesting_without_bottom(through, body, usage):
    with through(says(reply(body))) as way:
        call = through_gate(way, body)
    assert not {"reader.failed", "metering.failed"} & set(call.flags)
    if usage:
        assert usage_of(call) == {"input_tokens": 11, "output_tokens": 4}
    else:
        assert call.usage_source == "inferred"


# Every format's streams in every coding.


def streams() -> list[Path]:
    """Of every format some streams, of those that have any."""
    found: dict[str, list[Path]] = {}
    for path in REPLIES:
        if path.suffix != ".json" or "array" in path.name:
            found.setdefault(path.parent.name, []).append(path)
    return [path for paths in found.values() for path in paths[:: max(1, len(paths) // 4)]]


def test_every_metered_format_that_streams_is_among_them():
    formats = {path.parent.name.replace("_", ".", 1) for path in streams()}
    assert len(formats) > 15
    assert formats <= set(SURFACES)


@pytest.mark.parametrize("coding", CODERS)
@pytest.mark.parametrize("path", streams(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_stream_in_every_coding_reads_the_same(through, path, coding):
    surface = path.parent.name.replace("_", ".", 1)
    method, ending = next((way.method, way.ending) for way in WAYS if way.surface.name == surface)
    body, wanted = CODERS[coding](path.read_bytes()), expected(path)

    async def script(seen, writer):
        head = () if coding == "identity" else (f"content-encoding: {coding}",)
        writer.write(stream_head(*head, content_type="application/octet-stream"))
        for at in range(0, len(body), 37):
            writer.write(chunk(body[at : at + 37]))
        writer.write(chunk(b""))

    with through(script) as way:
        request = post(f"/openai/{ending.replace('*', 'm')}", json.dumps(STREAMING).encode())
        answer = parse(ask(way.gate.port, request.replace(b"POST", method.encode(), 1)))
        assert answer.body == body
        [call] = way.gate.closed(1)
    assert call.opened.surface == surface
    assert usage_of(call) == {name: value for name, value in (wanted["usage"] or {}).items() if value is not None}
    assert {flag for flag in call.flags if flag.startswith("content_encoding")} == set()


# What is too large to be held, through a service in processes of its own.


@dataclass
class Endless:
    """A provider whose reply is made while it is sent; it remembers only what it was."""

    parts: list[tuple[bytes, int]] = field(default_factory=list)  # a piece and how often it is sent
    head: bytes = b""
    digest: str = ""
    size: int = 0

    async def script(self, seen, writer):
        writer.write(self.head)
        sent, self.size = hashlib.sha256(), 0
        for piece, times in self.parts:
            framed = chunk(piece)
            for _ in range(times):
                sent.update(piece)
                self.size += len(piece)
                writer.write(framed)
                await writer.drain()
        writer.write(chunk(b""))
        self.digest = sent.hexdigest()


@pytest.fixture(scope="module")
def endless(tmp_path_factory) -> Iterator[tuple[Endless, Service]]:
    made = Endless()
    with provider(made.script) as origin:
        toml = f'[[provider]]\nname = "openai"\norigin = "{origin.origin}"\n'
        with service(tmp_path_factory.mktemp("service"), toml) as running:
            yield made, running


def peak_bytes(running: Service) -> int:
    """What the processes of a service have held at most, each at its worst moment."""
    status = [Path(f"/proc/{pid}/status").read_text() for pid in running.children()["all"]]
    return sum(int(re.search(r"^VmHWM:\s+(\d+) kB", each, re.MULTILINE)[1]) * 1024 for each in status)


def digest_of(gate: str, path: str, asked: object) -> tuple[str, int, str]:
    """Ask, and give the digest and size of what came and the call's id, holding none of it."""
    with Client(int(gate.rpartition(":")[2]), timeout_s=120) as client:
        client.send(post(path, json.dumps(asked).encode()))
        head = client.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        call = re.search(rb"x-joulegate-call-id: (\S+)", head)[1].decode()
        seen, size = hashlib.sha256(), 0
        while (length := int(client.until(b"\r\n"), 16)) > 0:
            while length:
                piece = client.exactly(min(length, 65536))
                assert piece
                seen.update(piece)
                size += len(piece)
                length -= len(piece)
            client.until(b"\r\n")
    return seen.hexdigest(), size, call


X = b"x" * 65536
USAGE = json.dumps({"choices": [], "usage": chat.USAGE}).encode()


def bomb() -> bytes:
    """A gibibyte of nothing, in brotli."""
    coder = brotli.Compressor(quality=1)
    return b"".join(coder.process(bytes(1 << 26)) for _ in range(16)) + coder.finish()


LARGE = {
    "one event of 100 MB": (
        [(b'data: {"choices":[{"delta":{"content":"', 1), (X, 1600), (b'"}}]}\n\ndata: ' + USAGE + b"\n\n", 1)],
        "event.oversized",
        11,
    ),
    "150 MB without an end of a line": ([(b"data: ", 1), (X, 2400)], "event.oversized", None),
    "150 MB of no event": ([(b": ping" + X, 2400)], "event.oversized", None),
    "a document of 100 MB": (
        [(b'{"model":"m","data":[1', 1), (b",0.123456" * 7000, 1600), (b"]," + USAGE[1:], 1)],
        "reply.large",
        11,
    ),
    "a string of 100 MB": ([(b'{"x":"', 1), (X, 1600), (b'",' + USAGE[1:], 1)], "reply.large", 11),
    "100 MB of white space in front": ([(b" \r\n" * 20_000, 1700), (USAGE, 1)], None, 11),
    "nesting of 100 MB": ([(b'{"x":', 1), (b"[" * 65536, 1600)], "reply.large", None),
    "a name of 100 MB": ([(b'{"', 1), (X, 1600)], "reply.large", None),
    "a bomb of 2 GB, zstd": (
        [(b"".join([zstandard.compress(bytes(1 << 30))] * 2), 1)],
        "content_encoding.broken",
        None,
    ),
    "a bomb of 1 GB, br": ([(bomb(), 1)], "content_encoding.broken", None),
}


@pytest.mark.parametrize("name", LARGE)
def test_what_is_too_large_passes_in_flat_memory(endless, name):
    made, running = endless
    made.parts, flag, read = LARGE[name]
    made.head = stream_head(*([f"content-encoding: {name.rpartition(' ')[2]}"] if "bomb" in name else []))
    before = peak_bytes(running)
    rows = len(running.calls())
    digest, size, call = digest_of(running.gate, "/openai/v1/chat/completions", STREAMING)
    assert (digest, size) == (made.digest, made.size)
    row = next(row for row in running.wait_for_calls(rows + 1) if row["id"] == call)
    assert row["outcome"] == "ok"
    assert row["input_tokens"] == read if read is not None else row["usage_source"] != "reported"
    assert flag is None or flag in row["flags"]
    assert "failed" not in (row["flags"] or "")
    grown = peak_bytes(running) - before
    assert grown < 64 * MB, f"{grown / MB:.0f} MB"
