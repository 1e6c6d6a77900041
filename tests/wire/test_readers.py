"""Every fixture, split at every byte and in every content coding, reads the same."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from proxy.wire.content import decoder, encoder
from proxy.wire.registry import SURFACES
from proxy.wire.reply import DOCUMENT_LIMIT, TEXT_LIMIT
from proxy.wire.sse import EVENT_LIMIT
from tests.wire.fixture_files import NAMES, REPLIES, expected, normalized, read


@pytest.mark.parametrize("path", REPLIES, ids=NAMES)
def test_whole(path: Path) -> None:
    assert read(path, [path.read_bytes()]) == normalized(expected(path))


@pytest.mark.parametrize("path", REPLIES, ids=NAMES)
def test_split_at_every_byte(path: Path) -> None:
    body, wanted = path.read_bytes(), normalized(expected(path))
    for at in range(len(body) + 1):
        assert read(path, [body[:at], body[at:]]) == wanted, f"split at byte {at}"
    assert read(path, [body[at : at + 1] for at in range(len(body))]) == wanted
    assert read(path, [body[at : at + 7] for at in range(0, len(body), 7)]) == wanted


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd", b"gzip, br"])
@pytest.mark.parametrize("path", REPLIES, ids=NAMES)
def test_coded_and_split_at_every_byte(path: Path, coding: bytes) -> None:
    body, wanted = path.read_bytes(), normalized(expected(path))
    coder = encoder(coding)
    assert coder is not None
    coded = coder.feed(body) + coder.close()
    for at in range(len(coded) + 1):
        taking = decoder(coding)
        assert taking is not None
        pieces = [taking.feed(coded[:at]), taking.feed(coded[at:])]
        assert b"".join(pieces) == body, f"split at byte {at}"
        assert not taking.broken
        if at % 16 == 0:
            assert read(path, pieces) == wanted, f"split at byte {at}"


def test_every_metered_format_has_fixtures() -> None:
    folders = {path.parent.name for path in REPLIES}
    assert folders >= {name.replace(".", "_") for name, surface in SURFACES.items() if surface.metered}


def test_started_turns_at_the_first_generated_content() -> None:
    reader = SURFACES["openai.chat"].reader()
    reader.feed(b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n')
    assert not reader.started
    reader.feed(b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n')
    assert reader.started
    assert not reader.finished
    reader.feed(b"data: [DONE]\n\n")
    assert reader.finished


@pytest.mark.parametrize(
    "words", ['"reasoning_content":"a"', '"reasoning":"a"', '"refusal":"a"', '"audio":{"data":"A"}']
)
def test_thoughts_refusals_and_sounds_are_generated_content(words: str) -> None:
    reader = SURFACES["openai.chat"].reader()
    reader.feed(b'data: {"choices":[{"index":0,"delta":{' + words.encode() + b"}}]}\n\n")
    assert reader.started


def test_a_response_is_finished_before_the_connection_closes() -> None:
    reader = SURFACES["openai.responses"].reader()
    reader.feed(
        b'event: response.completed\ndata: {"type":"response.completed","response":{"usage":{"input_tokens":1}}}\n\n'
    )
    assert reader.finished
    usage = reader.close().usage
    assert usage is not None
    assert usage.input_tokens == 1


def test_a_plain_reply_is_finished_at_its_closing_brace() -> None:
    reader = SURFACES["openai.chat"].reader()
    reader.feed(b'{"model":"m","usage":{"prompt_tokens":1}')
    assert not reader.finished
    reader.feed(b"}")
    assert reader.finished


def test_a_large_embeddings_reply_takes_little_memory() -> None:
    vectors = b",".join(b'{"index":%d,"embedding":[%s]}' % (n, b"0.0123," * 999 + b"1") for n in range(2000))
    head, tail = b'{"model":"m","data":[', b'],"usage":{"prompt_tokens":7,"total_tokens":7}} '
    body = head + vectors + tail
    assert len(body) > 10 * DOCUMENT_LIMIT
    reader = SURFACES["openai.embeddings"].reader()
    pieces = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]
    tracemalloc.start()
    for piece in pieces:
        reader.feed(piece)
    reading = reader.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * DOCUMENT_LIMIT
    assert reading.usage is not None
    assert (reading.usage.input_tokens, reading.model, reading.finished) == (7, "m", True)
    assert reading.flags == ("reply.large",)


def test_text_is_kept_up_to_a_bound_and_counted_beyond() -> None:
    reader = SURFACES["openai.chat"].reader()
    event = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * 1000 + b'"}}]}\n\n'
    for _ in range(500):
        reader.feed(event)
    reading = reader.close()
    assert len(reading.text) == TEXT_LIMIT
    assert reading.text_characters == 500_000


def test_an_event_of_a_hundred_megabytes_is_skipped_with_a_flag() -> None:
    reader = SURFACES["openai.responses"].reader()
    reader.feed(b'data: {"type":"x","delta":"')
    tracemalloc.start()
    for _ in range(1600):
        reader.feed(b"A" * 65_536)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    reader.feed(b'"}\n\ndata: {"type":"response.completed","response":{"usage":{"input_tokens":3}}}\n\n')
    reading = reader.close()
    assert peak < 4 * EVENT_LIMIT
    assert reading.flags == ("event.oversized",)
    assert reading.usage is not None
    assert reading.usage.input_tokens == 3


def test_a_large_event_below_the_bound_is_read() -> None:
    reader = SURFACES["openai.responses"].reader()
    response = {
        "id": "r",
        "output": [{"type": "image_generation_call", "result": "A" * 4_000_000}],
        "usage": {"input_tokens": 3},
    }
    event = b"data: " + json.dumps({"type": "response.completed", "response": response}).encode() + b"\n\n"
    for at in range(0, len(event), 50_000):
        reader.feed(event[at : at + 50_000])
    reading = reader.close()
    assert reading.usage is not None
    assert reading.usage.input_tokens == 3


def test_names_are_bounded_and_storable() -> None:
    reader = SURFACES["openai.chat"].reader()
    reader.feed(b'{"model":"' + b"m" * 9999 + b'","id":"a\\ud800b\\u0000"}')
    reading = reader.close()
    assert reading.model == "m" * 256
    assert reading.response_id == "a?b\ufffd"


def test_a_stream_without_end_stays_flat() -> None:
    reader = SURFACES["openai.chat"].reader()
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "word "}}], "usage": {"prompt_tokens": 1}}
    event = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    for _ in range(100_000):
        reader.feed(event)
    tracemalloc.start()
    for _ in range(100_000):
        reader.feed(event)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 100_000
    assert reader.close().text_characters == 1_000_000
