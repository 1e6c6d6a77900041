"""What is fuzzed: each reader, request and decoder as a function of bytes, and what must hold of every input.

No exception; nothing of the reader's own failed; the same words whatever the pieces they came in; counts, units and
texts within their bounds; everything fit for the journal.
"""

import json
import math
import re
from base64 import b64decode, b64encode
from binascii import crc32
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from proxy.wire import content, openai_strip, turns, websocket
from proxy.wire.canon import COUNT_LIMIT
from proxy.wire.eventstream import EventStream
from proxy.wire.registry import SURFACES
from proxy.wire.reply import TEXT_LIMIT
from proxy.wire.splice import CodedStripper
from proxy.wire.surface import Headers, Reading, Surface
from tests.wire import aws_messages

FIXTURES = Path(__file__).parent.parent / "tests" / "wire" / "fixtures"
PATHS = (
    "/v1/chat/completions",
    "/model/a%2Fb/invoke",
    "/v1beta/models/m:streamGenerateContent",
    "/api/generate_stream",
)
HEADERS = (  # those that some reader takes counts or names from
    b"x-amzn-bedrock-input-token-count",
    b"x-amzn-errortype",
    b"x-compute-time",
    b"x-compute-tokens",
    b"x-generated-tokens",
    b"content-disposition",
)
BETWEEN = b"\0\n"  # stands between the messages of an event stream, whose checksums no fuzzer guesses
WORDS = (
    *("data: ", "event: ", "[DONE]", "\n\n", "\r\n", '{"', "null", "true", "NaN", "-1", "1e999", "1.5", "9" * 30),
    *("\\ud800", "\\u0000", "\ufeff", '"":', "[[[[", "{}", '"usage":{', '"error":{'),
)  # fmt: skip

Target = Callable[[bytes], None]


def pieces(data: bytes) -> Iterator[bytes]:
    """Cut an input in pieces whose size it says itself."""
    size = 1 + crc32(data) % 61
    return (data[at : at + size] for at in range(0, len(data), size))


def check(reading: Reading) -> None:
    """Hold a reading against what the ledger trusts."""
    assert "reader.failed" not in reading.flags, reading.flags
    assert len(reading.text) <= min(TEXT_LIMIT, reading.text_characters)
    assert len(reading.flags) <= 100
    assert len(reading.lines) <= 1000
    for usage in (reading.usage, *(line.usage for line in reading.lines)):
        if usage is None:
            continue
        for name in usage.__dataclass_fields__:
            if name != "units":
                count = getattr(usage, name)
                assert count is None or (type(count) is int and 0 <= count <= 1000 * COUNT_LIMIT), (name, count)
        assert all(math.isfinite(amount) and amount >= 0 for amount in usage.units.values()), usage.units
        assert len(usage.units) <= 100
    names = (reading.model, reading.response_id, reading.service_tier, reading.error, reading.counted_as)
    assert all(name is None or 0 < len(name) <= 300 for name in names), names
    msgspec.msgpack.encode((reading.usage, reading.lines, names, reading.flags, reading.text))


def of_reader(surface: Surface, wrap: Callable[[bytes], bytes]) -> Target:
    """Read a reply whole and in pieces."""

    def read(data: bytes) -> None:
        headers: Headers = ()
        if crc32(data) % 8 == 7:
            headers = [(name, data[:9]) for name in HEADERS]
        status = 400 if crc32(data) % 16 == 15 else 200
        body = wrap(data)
        readings = []
        for parts in ((body,), pieces(body)):
            taking = surface.reader(headers, status)
            for piece in parts:
                taking.feed(piece)
            readings.append(taking.close())
        for reading in readings:
            check(reading)
        whole, cut = readings
        for name in ("usage", "lines", "model", "response_id", "service_tier", "error", "counted_as", "pending"):
            assert getattr(whole, name) == getattr(cut, name), (name, getattr(whole, name), getattr(cut, name))

    return read


def as_events(data: bytes) -> bytes:
    """Give an event stream of the payloads in ``data``."""
    return b"".join(aws_messages.message(each, {":event-type": "x"}) for each in data.split(BETWEEN))


def as_chunks(data: bytes) -> bytes:
    """Give an event stream of chunks that hold the payloads in ``data``."""
    return as_events(BETWEEN.join(b'{"bytes":"' + b64encode(each) + b'"}' for each in data.split(BETWEEN)))


def of_requests(data: bytes) -> None:
    """Read a request as every format does, and prepare it."""
    for name, surface in SURFACES.items():
        for path in PATHS:
            asked = surface.asked(data, path)
            assert asked.output_limit is None or asked.output_limit >= 0, name
            assert all(math.isfinite(amount) and amount >= 0 for amount in asked.units.values()), name
            msgspec.msgpack.encode(asked)
        text = surface.prompt_text(data)
        if text is not None:
            msgspec.msgpack.encode(text)
        prepared = surface.prepare(data, model="a/b", ask_for_usage=True)
        if surface.prepare(data, model=None, ask_for_usage=False) != data:
            raise AssertionError(f"{name} changed a request that nothing was to be changed in")
        if prepared != data and _is_strict(data):
            assert _is_strict(prepared), name


def of_stripper(data: bytes) -> None:
    """Take usage out of a stream whole and in pieces; what was asked for by nobody is never in what is left."""
    shown = []
    for parts in ((data,), pieces(data)):
        stripper = openai_strip.UsageStripper()
        shown.append(b"".join([*(stripper.feed(piece) for piece in parts), stripper.close()]))
    assert shown[0] == shown[1]
    assert len(shown[0]) <= len(data)


def of_coding(name: bytes) -> Target:
    """Undo a content coding whole and in pieces; code the input and undo that."""

    def undo(data: bytes) -> None:
        shown = []
        for parts in ((data,), pieces(data)):
            decoder = content.decoder(name)
            assert decoder is not None
            shown.append(b"".join(decoder.feed(piece) for piece in parts))
            if decoder.broken:
                return  # how far it came before that depends on the pieces
        assert shown[0] == shown[1]
        encoder, decoder = content.encoder(name), content.decoder(name)
        assert encoder is not None
        assert decoder is not None
        coded = b"".join([*(encoder.feed(piece) for piece in pieces(data)), encoder.close()])
        assert b"".join(decoder.feed(piece) for piece in pieces(coded)) == data

    return undo


def of_splice(name: bytes) -> Target:
    """Take usage out of a coded stream: of the input itself as coded bytes, and as a text that is coded first."""

    def splice(data: bytes) -> None:
        _spliced(name, pieces(data))
        stripper, coder = openai_strip.UsageStripper(), content.encoder(name)
        assert coder is not None
        kept = stripper.feed(data) + stripper.close()
        coded = b"".join([*(coder.feed(piece) for piece in pieces(data)), coder.close()])
        for parts in ([coded], pieces(coded)):
            shown, stuck = _spliced(name, parts)
            undone = content.decoder(name)
            assert undone is not None
            assert undone.feed(shown) == (data if stuck else kept)
            assert undone.whole
            assert shown == coded or kept != data

    return splice


def _spliced(name: bytes, parts: Iterable[bytes]) -> tuple[bytes, bool]:
    decoding = content.decoder(name)
    assert decoding is not None
    taking = CodedStripper(name, decoding, openai_strip.UsageStripper(), len)
    return b"".join([*map(taking.feed, parts), taking.close()]), taking.stuck


def of_sockets(data: bytes) -> None:
    """Cut WebSocket frames, and read the messages said in them."""
    for deflate in (None, websocket.Deflate(), websocket.Deflate(keeps_context=False)):
        whole, cut = websocket.Messages(deflate), websocket.Messages(deflate)
        found = whole.feed(data)
        assert found == [message for piece in pieces(data) for message in cut.feed(piece)]
    taking = turns.Turns()
    for message in (data, *found):
        taking.asking(message)
        reading = taking.message(message)
        if reading is not None:
            check(reading)
    assert not taking.failed


def _is_strict(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _as_they_are(data: bytes) -> bytes:
    return data


READERS = [name for name, surface in SURFACES.items() if type(surface.reader()).__name__ != "UnreadReply"]
TARGETS: dict[str, Target] = {
    **{name: of_reader(SURFACES[name], _as_they_are) for name in READERS},
    "bedrock.converse/events": of_reader(SURFACES["bedrock.converse"], as_events),
    "bedrock.invoke/chunks": of_reader(SURFACES["bedrock.invoke"], as_chunks),
    "requests": of_requests,
    "stripper": of_stripper,
    **{f"coding/{name}": of_coding(name.encode()) for name in ("gzip", "deflate", "br", "zstd")},
    **{f"splice/{name}": of_splice(name.encode()) for name in ("gzip", "deflate", "br", "zstd")},
    "sockets": of_sockets,
}


def seeds(target: str) -> Iterator[bytes]:
    """Give the inputs a target starts from: the fixtures."""
    name, _, how = target.partition("/")
    folder = FIXTURES / name.replace(".", "_")
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if not path.name.endswith(".expected.json"):
                yield from _inside(path.read_bytes(), how)
        return
    bodies = [path.read_bytes() for path in sorted(FIXTURES.glob("openai_*/*")) if path.suffix != ".json"]
    for body in bodies:
        if name == "coding":
            coder = content.encoder(how.encode())
            assert coder is not None
            yield coder.feed(body) + coder.close()
        elif name == "sockets":
            for line in re.findall(rb"data: (\{.*\})", body)[-2:]:
                yield line
                yield bytes([0x81, 126]) + len(line).to_bytes(2, "big") + line
        else:
            yield body
    if name == "requests":
        yield b'{"model":"m","stream":true,"stream_options":{"include_usage":false},"messages":[{"content":"x"}]}'
        yield b'{"contents":[{"parts":[{"text":"a"}]}],"generationConfig":{"maxOutputTokens":7}}'
        yield b'{"inferenceConfig":{"maxTokens":3},"system":[{"text":"a"}],"messages":[{"content":[{"text":"b"}]}]}'
        yield b'{"parameters":{"sampleCount":2,"durationSeconds":8},"instances":[{"content":"a"}],"n":3,"input":"x"}'


def _inside(body: bytes, how: str) -> Iterable[bytes]:
    if not how:
        return [body]
    payloads: list[bytes] = [bytes(message) for message in EventStream().payloads(body)]
    if how == "chunks":
        payloads = [b64decode(json.loads(each)["bytes"]) for each in payloads if b'"bytes"' in each]
    return [BETWEEN.join(payloads)] if payloads else []


def words(target: str) -> list[bytes]:
    """Give what is worth putting into an input: the names of members in the fixtures, and oddities."""
    found = {name for body in seeds(target) for name in re.findall(rb'"[A-Za-z_.-]{2,40}"\s*:', body)}
    return sorted(found) + [word.encode("utf-8") for word in WORDS]
