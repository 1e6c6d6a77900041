import json

import pytest

from proxy.simulator.wire import ENCODERS, Splitter
from proxy.simulator.words import dice
from tests.simulator.raw import decode, request

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Tell me about café tables → 日本."}]}
ENCODINGS = ["identity", "gzip", "br", "zstd", "deflate", "deflate-raw", "gzip, br"]
SURFACES = {
    "chat": ("/v1/chat/completions", CHAT),
    "completions": ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "Tell", "max_tokens": 40}),
    "responses": ("/v1/responses", {"model": "gpt-5", "input": "Tell"}),
}


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("splits", [None, 3])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings_and_splits_carry_the_same_bytes(simulator, surface, stream, encoding, splits):
    path, body = SURFACES[surface]
    body = body | {"stream": stream}
    headers = {"x-simulate-content-encoding": encoding}
    if splits is not None:
        headers["x-simulate-splits"] = str(splits)
    plain = request(simulator, path, body)
    given = request(simulator, path, body, headers=headers)
    assert plain.complete
    assert given.complete
    assert given.decoded() == plain.body
    declared = None if encoding == "identity" else encoding.removesuffix("-raw")
    assert given.header("content-encoding") == declared
    assert (encoding == "identity") == (given.body == plain.body)


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_stream_is_flushed_after_every_event(simulator, encoding):
    body = CHAT | {"stream": True}
    plain = request(simulator, "/v1/chat/completions", body)
    given = request(simulator, "/v1/chat/completions", body, headers={"x-simulate-content-encoding": encoding})
    assert len(plain.chunks) == len(plain.events())
    # Every chunk but the last, which only closes the encoding, holds one whole event.
    encoder = ENCODERS[encoding]()
    assert given.chunks[:-1] == [encoder.encode(event + b"\n\n", last=False) for event in plain.events()]


def test_splits_fall_at_odd_places_chosen_by_their_seed(simulator):
    body = CHAT | {"stream": True}
    whole = request(simulator, "/v1/chat/completions", body)
    given = [
        request(simulator, "/v1/chat/completions", body, headers={"x-simulate-splits": str(seed)}) for seed in (1, 1, 2)
    ]
    assert all(one.body == whole.body for one in given)
    assert given[0].chunks == given[1].chunks != given[2].chunks
    ends = [sum(map(len, whole.chunks[: n + 1])) for n in range(len(whole.chunks))]
    cuts = [sum(map(len, given[0].chunks[: n + 1])) for n in range(len(given[0].chunks))]
    assert len(set(ends) - set(cuts)) > len(ends) // 2  # most events are not cut where they end


def test_splitter_loses_nothing_and_keeps_large_bodies_in_few_pieces():
    splitter = Splitter(dice(5))
    pieces = [piece for data in (b"a" * 10, b"", b"b" * 100_000, b"c") for piece in splitter.cut(data, last=False)]
    pieces += splitter.cut(b"", last=True)
    assert b"".join(pieces) == b"a" * 10 + b"b" * 100_000 + b"c"
    assert len(pieces) < 1000


def test_crlf_ends_every_line(simulator):
    body = {"model": "gpt-4o", "input": "Tell", "stream": True}
    plain = request(simulator, "/v1/responses", body)
    given = request(simulator, "/v1/responses", body, headers={"x-simulate-newline": "crlf"})
    assert given.body == plain.body.replace(b"\n", b"\r\n")


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("after", [0, 1, 7])
def test_a_cut_resets_the_connection_after_so_many_events(simulator, after, encoding):
    body = CHAT | {"stream": True}
    plain = request(simulator, "/v1/chat/completions", body)
    headers = {"x-simulate-cut-after": str(after), "x-simulate-content-encoding": encoding}
    given = request(simulator, "/v1/chat/completions", body, headers=headers)
    assert given.was_reset
    assert not given.complete
    assert len(given.chunks) == after
    if encoding == "identity":
        assert given.body == b"".join(plain.chunks[:after])


def test_a_cut_of_a_whole_reply_counts_bytes(simulator):
    plain = request(simulator, "/v1/chat/completions", CHAT)
    given = request(simulator, "/v1/chat/completions", CHAT, headers={"x-simulate-cut-after": "100"})
    assert given.header("content-length") == str(len(plain.body))
    assert given.body == plain.body[:100]
    assert given.was_reset


@pytest.mark.parametrize("after", [0, 5])
def test_an_error_inside_a_chat_stream(simulator, after):
    body = CHAT | {"stream": True}
    plain = request(simulator, "/v1/chat/completions", body)
    given = request(simulator, "/v1/chat/completions", body, headers={"x-simulate-error-after": str(after)})
    assert (given.status, given.complete) == (200, True)
    assert given.events()[:-1] == plain.events()[:after]
    assert json.loads(given.events()[-1][6:])["error"]["type"] == "server_error"


def test_an_error_inside_a_responses_stream(simulator):
    body = {"model": "gpt-4o", "input": "Tell", "stream": True}
    events = request(simulator, "/v1/responses", body, headers={"x-simulate-error-after": "6"}).events()
    assert [event.partition(b"\n")[0] for event in events[-2:]] == [b"event: error", b"event: response.failed"]
    decoded = [json.loads(event.partition(b"\ndata: ")[2]) for event in events]
    assert [event["sequence_number"] for event in decoded] == list(range(8))
    assert decoded[-1]["response"]["id"] == decoded[0]["response"]["id"]
    assert decoded[-1]["response"]["usage"] is None


def test_an_error_inside_a_whole_reply(simulator):
    given = request(simulator, "/v1/chat/completions", CHAT, headers={"x-simulate-error-after": "0"})
    assert given.status == 200
    assert json.loads(given.body)["error"]["type"] == "server_error"


@pytest.mark.parametrize("encoding", ENCODERS)
def test_what_was_encoded_so_far_can_be_decoded(encoding):
    encoder = ENCODERS[encoding]()
    pieces = [encoder.encode(data, last=last) for data, last in ((b"one ", False), (b"two", False), (b"", True))]
    assert decode(encoding.removesuffix("-raw"), b"".join(pieces)) == b"one two"
    assert all(pieces)
