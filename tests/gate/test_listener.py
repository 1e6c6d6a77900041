"""What a request has beside its body is bounded, in size and in time; a body is not."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest

from proxy import listener
from proxy.wire.registry import surface_for
from tests.loopback import Answer, Client, ask, chunk, parse, post, reply, says, stream_head, until

OK = reply(b"{}")
PATH = "/v1/chat/completions"
GOOD = post(PATH, b'{"model":"gpt-4o"}')
KEPT = GOOD.replace(b"connection: close\r\n", b"")  # its connection is used again
KEPT_UPLOAD = post("/openai/v1/files", b"y" * 3_000_000).replace(b"connection: close\r\n", b"")
CHUNKED = b"POST /openai/v1/files HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n"
TOO_LARGE = (431, "request_header_fields_too_large")
TOO_LATE = (408, "request_timeout")


def told(answer: Answer) -> tuple[int, str]:
    """Status and code of an error of ours."""
    return answer.status, json.loads(answer.body)["error"]["code"]


def trickle(client: Client, raw: bytes, size: int = 1) -> None:
    """Send in pieces of which each is read by itself, or nearly."""
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(0, len(raw), size):
        client.send(raw[at : at + size])
        time.sleep(0.0005)


def head(size: int, *, ended: bool, body: int = 0) -> bytes:
    """A request of which ``size`` bytes are head, with one long line; or the beginning of one that would be longer."""
    start = b"POST /openai/x HTTP/1.1\r\nhost: g\r\ncontent-length: %d\r\nx: " % body
    end = b"\r\n\r\n" if ended else b""
    return start + b"a" * (size - len(start) - len(end)) + end + b"b" * body


CUTS = {
    "in one piece": lambda client, raw: client.send(raw),
    "by bytes at the border": lambda client, raw: (
        client.send(raw[:980]),
        trickle(client, raw[980:1020]),
        client.send(raw[1020:]),
    ),
    "in odd pieces": lambda client, raw: (trickle(client, raw[:1110], 37), client.send(raw[1110:])),
}
BEFORE = {
    "first": b"",
    "after an answer": KEPT,
    "after a large body": KEPT_UPLOAD,
    "behind another": KEPT,
    "behind a large body": KEPT_UPLOAD,
}


def send(client: Client, before: str, cut: str, raw: bytes) -> None:
    """Send ``raw`` behind what comes before, and take the answers to that."""
    if before.startswith("after"):
        client.send(BEFORE[before])
        assert client.answer().status == 200
    if before.startswith("behind"):
        # Cut off, so that a piece of ``raw`` comes in the same read as the end of the request before it.
        client.send(BEFORE[before][:-5])
        raw = BEFORE[before][-5:] + raw
    CUTS[cut](client, raw)
    if before.startswith("behind"):
        assert client.answer().status == 200


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("before", BEFORE)
def test_a_head_over_the_limit_by_a_byte_is_refused(through, before, cut, ended):
    # Of a head that began within a read only the fields can be counted, neither its method nor its last line end.
    behind = before.startswith("behind")
    over = 1030 if behind else 1001
    with through(says(OK), header_bytes=1000) as way, Client(way.gate.port) as client:
        send(client, before, cut, head(over, ended=ended))
        answer = client.rest()
        if answer or not behind:  # behind a reply that was still to come nothing more is said
            assert told(parse(answer)) == TOO_LARGE
        calls = way.gate.closed(1 if before == "first" else 2)
        assert [(call.outcome, call.status) for call in calls if call.reason == TOO_LARGE[1]] == [("rejected", 431)]
        assert parse(ask(way.gate.port, GOOD)).status == 200


@pytest.mark.parametrize("body", [0, 5, 300_000])
@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("before", BEFORE)
def test_a_head_of_the_size_that_is_allowed_passes_with_the_body_behind_it(through, before, cut, body):
    with through(says(OK), header_bytes=1000) as way, Client(way.gate.port) as client:
        send(client, before, cut, head(1000, ended=True, body=body))
        assert client.answer().status == 200
        assert way.provider.seen[-1].body == b"b" * body
        assert {call.outcome for call in way.gate.closed(len(way.provider.seen))} == {"ok"}


@pytest.mark.parametrize("size", [66_000, 131_000, 300_000])
@pytest.mark.parametrize("before", [b"", KEPT], ids=["alone", "behind another"])
def test_a_head_without_a_line_end_is_refused_at_once(through, before, size):
    with through(says(OK)) as way, Client(way.gate.port) as client:
        client.send(before + head(size, ended=False))
        if before:
            assert client.answer().status == 200
            assert client.rest() == b""
        else:
            assert told(parse(client.rest())) == TOO_LARGE
        assert TOO_LARGE[1] in [call.reason for call in way.gate.closed(2 if before else 1)]


def test_line_ends_before_a_request_count_too(through):
    with through(says(OK)) as way:
        assert told(parse(ask(way.gate.port, b"\r\n" * 100_000))) == TOO_LARGE
        assert parse(ask(way.gate.port, b"\r\n\r\n" + GOOD)).status == 200


def test_spaces_count_too(through):
    with through(says(OK)) as way, Client(way.gate.port) as client:
        client.send(b"GET /openai/x HTTP/1.1\r\n")
        for _ in range(20):
            client.send(b"x:" + b" " * 50_000 + b"a\r\n")
        assert told(parse(client.rest())) == TOO_LARGE


BESIDE_CHUNKS = {
    "an endless trailer": chunk(b"abc") + b"0\r\nx: " + b"a" * 3_000_000,
    "an endless trailer's name": chunk(b"abc") + b"0\r\n" + b"a" * 3_000_000,
    "many trailers": chunk(b"abc") + b"0\r\n" + b"x: a\r\n" * 500_000,
    "a long trailer": chunk(b"abc") + b"0\r\nx: " + b"a" * 700_000 + b"\r\n\r\n",
    "an endless extension": b"3;x=" + b"a" * 3_000_000,
    "a long extension": b"3;x=" + b"a" * 700_000 + b"\r\nabc\r\n0\r\n\r\n",
    "an extension of the last chunk": chunk(b"abc") + b"0;x=" + b"a" * 3_000_000,
    "many extensions": b"".join(b"1;x=" + b"a" * 100 + b"\r\nz\r\n" for _ in range(10_000)),
    "an endless size": b"0" * 3_000_000,
    "a trailer behind many small chunks": chunk(b"z") * 100_000 + b"0\r\nx: " + b"a" * 1_000_000,
}


@pytest.mark.parametrize("path", [b"/openai/v1/files", b"/v1/chat/completions"])
@pytest.mark.parametrize("name", BESIDE_CHUNKS)
def test_what_chunks_have_beside_their_data_is_bounded(through, path, name):
    request = CHUNKED.replace(b"/openai/v1/files", path) + BESIDE_CHUNKS[name]
    with through(says(OK)) as way:
        assert told(parse(ask(way.gate.port, request))) == TOO_LARGE
        (record,) = way.gate.closed(1)
        assert (record.outcome, record.status, record.reason) == ("rejected", 431, "request_header_fields_too_large")
        assert way.provider.seen == []
        assert parse(ask(way.gate.port, GOOD)).status == 200


def test_chunks_that_come_slowly_are_bounded_by_the_byte(through):
    with through(says(OK), header_bytes=1000) as way, Client(way.gate.port) as client:
        client.send(CHUNKED)
        trickle(client, chunk(b"abc") + b"0\r\nx: " + b"a" * 1100, 37)
        assert told(parse(client.rest())) == TOO_LARGE


@pytest.mark.parametrize("piece", [1_000_000, 37])
def test_small_chunks_with_extensions_and_trailers_pass(through, piece):
    body = b"".join(b"1;a=b\r\n%c\r\n" % (48 + i % 10) for i in range(300))
    with through(says(OK), header_bytes=1000) as way, Client(way.gate.port) as client:
        for _ in range(2):
            trickle(client, CHUNKED + body + b"0;c\r\nx: 1\r\ny: 2\r\n\r\n", piece)
            assert client.answer().status == 200
            assert way.provider.seen[-1].body == b"0123456789" * 30


@pytest.mark.parametrize("at_once", [True, False])
def test_a_trailer_is_no_header(through, at_once):
    trailers = b"authorization: Bearer sk-other\r\nx-joulegate-team: other\r\nx: 1\r\n"
    rest = chunk(b'{"model":"gpt-4o"}') + b"0\r\n" + trailers + b"\r\n"
    request = CHUNKED.replace(b"/openai/v1/files", PATH.encode()).replace(b"host", b"x-joulegate-team: mine\r\nhost")
    with through(says(OK)) as way, Client(way.gate.port) as client:
        if at_once:
            client.send(request + rest)
        else:
            trickle(client, request + rest)
        assert client.answer().status == 200
        assert {b"authorization", b"x"}.isdisjoint(name for name, _ in way.provider.seen[0].headers)
        assert way.gate.closed(1)[0].opened.team == "mine"


HALVES = {
    "a method": b"GE",
    "a line": b"GET /openai/x HTTP/1.1\r\n",
    "a name": b"GET /openai/x HTTP/1.1\r\nhos",
    "a value": b"GET /openai/x HTTP/1.1\r\nhost: g",
    "all but the last byte": GOOD[: GOOD.index(b"\r\n\r\n") + 3],
}


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("name", HALVES)
def test_a_head_that_does_not_end_is_told_so_in_time(through, name, before):
    with through(says(OK), head_s=0.2) as way, Client(way.gate.port) as client:
        for _ in range(before):
            client.send(KEPT)
            assert client.answer().status == 200
        client.send(HALVES[name])
        answer = parse(client.rest())
        assert told(answer) == TOO_LATE
        assert answer.header("connection") == b"close"
        *_, call = way.gate.closed(before + 1)
        assert (call.outcome, call.reason, call.status) == ("rejected", "request_timeout", 408)
        assert answer.header("x-joulegate-call-id") == call.opened.id.encode()


def test_a_head_that_goes_on_coming_is_no_exception(through):
    with through(says(OK), head_s=0.3) as way, Client(way.gate.port) as client:
        client.socket.settimeout(0.02)
        client.send(b"GET /openai/x HTTP/1.1\r\n")
        for _ in range(500):
            client.send(b"x: a\r\n")
            try:
                received = client.until(b"\r\n\r\n")
                break
            except TimeoutError:
                continue
        assert parse(received).status == 408
        assert [call.reason for call in way.gate.closed(1)] == ["request_timeout"]


def test_half_a_head_behind_a_request_costs_that_request_nothing(through):
    go_on = threading.Event()

    async def script(seen, writer):
        writer.write(stream_head() + chunk(b"data: 1\n\n"))
        await until(go_on)
        writer.write(chunk(b"data: 2\n\n") + chunk(b""))

    with through(script, head_s=0.2) as way, Client(way.gate.port) as client:
        client.send(post("/openai/x", b'{"stream":true}').replace(b"connection: close\r\n", b"") + b"GET /openai/x")
        client.until(b"data: 1\n\n")
        assert [call.reason for call in way.gate.closed(1)] == ["request_timeout"]
        go_on.set()
        assert client.rest().endswith(b"data: 2\n\n\r\n0\r\n\r\n")
        assert way.gate.closed(2)[1].outcome == "ok"


def test_the_rest_of_a_head_has_its_time_after_the_reply_before_it(through):
    with through(says(OK), head_s=0.5) as way, Client(way.gate.port) as client:
        client.send(KEPT + b"GET /openai/x")
        assert client.answer().status == 200
        assert told(parse(client.rest())) == TOO_LATE
        assert [call.reason for call in way.gate.closed(2)][1] == "request_timeout"


def test_a_head_that_the_gate_itself_keeps_waiting_is_not_late(through):
    go_on = threading.Event()

    async def script(seen, writer):
        await until(go_on)
        writer.write(OK)

    with through(script, head_s=0.5) as way, Client(way.gate.port) as client:
        client.send(KEPT)
        while not way.provider.seen:
            time.sleep(0.01)
        # A request that waits for its turn stops the reading, and with it the rest of the head behind it.
        client.send(KEPT + KEPT[:20])
        client.send(KEPT[20:])
        time.sleep(1.2)
        go_on.set()
        assert [client.answer().status for _ in range(3)] == [200, 200, 200]
        assert {call.outcome for call in way.gate.closed(3)} == {"ok"}


@pytest.mark.parametrize("path", [PATH, "/openai/v1/files"])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_may_take_its_time(through, path, chunked):
    body = b'{"model":"gpt-4o"}'
    request = CHUNKED.replace(b"/openai/v1/files", path.encode()) if chunked else KEPT[: -len(body)]
    with through(says(OK), head_s=0.1) as way, Client(way.gate.port) as client:
        client.send(request)
        for byte in body:
            time.sleep(0.03)
            client.send(chunk(bytes([byte])) if chunked else bytes([byte]))
        if chunked:
            client.send(b"0\r\n")
            time.sleep(0.3)
            client.send(b"\r\n")
        assert client.answer().status == 200
        assert way.provider.seen[0].body == body


@pytest.mark.parametrize("sent", [b"", b"\r\n", KEPT])
def test_a_connection_on_which_no_request_has_begun_is_closed_without_a_word(through, monkeypatch, sent):
    monkeypatch.setattr(listener, "KEEP_ALIVE_S", 0.5)
    with through(says(OK), head_s=0.1) as way, Client(way.gate.port) as client:
        client.send(sent)
        if sent == KEPT:
            assert client.answer().status == 200
        assert client.rest() == b""
        assert all(call.outcome == "ok" for call in way.gate.closed(sent == KEPT))


def test_an_upload_that_was_answered_early_is_given_its_time_and_the_next_request_too(through, monkeypatch):
    monkeypatch.setattr(listener, "KEEP_ALIVE_S", 1.0)
    request = f"POST {PATH} HTTP/1.1\r\nhost: g\r\ncontent-length: 8000\r\n\r\n".encode()
    with through(says(OK), hold_body_bytes=1000) as way, Client(way.gate.port) as client:
        client.send(request)
        assert client.answer().status == 413
        for _ in range(8):
            time.sleep(0.2)
            client.send(b"x" * 1000)
        time.sleep(0.2)
        client.send(KEPT)
        assert client.answer().status == 200
        client.send(request + b"x")
        assert client.answer().status == 413
        assert client.rest() == b""


def test_what_is_wrong_behind_an_early_answer_is_not_answered_again(through):
    with through(says(OK)) as way, Client(way.gate.port) as client:
        client.send(CHUNKED.replace(b"/openai", b"/nobody") + chunk(b"abc"))
        assert client.answer().status == 404
        client.send(b"zz\r\n")
        assert client.rest() == b""
        assert [call.reason for call in way.gate.closed(1)] == ["unknown_provider"]


def test_a_broken_body_behind_another_request_does_not_take_its_place(through):
    with through(says(OK)) as way, Client(way.gate.port) as client:
        client.send(KEPT + CHUNKED + chunk(b"abc") + b"zz\r\n")
        answer = client.answer()
        assert (answer.status, answer.body) == (200, b"{}")
        assert client.rest() == b""
        assert len(way.provider.seen) == 1
        ended = {call.reason: call.outcome for call in way.gate.closed(2)}
        assert ended == {"usage.not_reported": "ok", "invalid_http": "rejected"}


def test_requests_behind_the_last_are_not_carried(through):
    go_on = threading.Event()

    async def script(seen, writer):
        await until(go_on)
        writer.write(OK)

    last = GOOD.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"connection: close", b"connection: keep-alive")
    with through(script) as way:
        with Client(way.gate.port) as client:
            client.send(last + KEPT + b"GET /openai/x HTTP/1.1\r\n")
            while not way.provider.seen:
                time.sleep(0.01)
            go_on.set()
            assert parse(client.rest()).body == b"{}"
        way.gate.stop()
        assert len(way.gate.closed(1)) == len(way.provider.seen) == 1


@pytest.mark.parametrize("size", [0, 200_000])
def test_what_comes_behind_an_offer_of_another_protocol_is_no_part_of_its_body(through, size):
    body = b'{"model":"gpt-4o"%b}' % (b" " * size)
    offer = post(PATH, body).replace(b"connection: close", b"connection: upgrade\r\nupgrade: h2c")
    with through(says(OK)) as way:
        assert parse(ask(way.gate.port, offer + post(PATH, b'{"model":"other"}'))).status == 200
        assert [seen.body for seen in way.provider.seen] == [body]
        assert [call.outcome for call in way.gate.closed(1)] == ["ok"]


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/messages", {"type": "error", "error": {"type": "invalid_request_error"}}),
        ("/v1beta/models/gemini-2.5-pro:generateContent", {"error": {"code": 431, "status": "FAILED_PRECONDITION"}}),
        ("/v1/chat/completions", {"error": {"type": "invalid_request_error", "param": None}}),
    ],
)
def test_a_refusal_has_the_shape_of_what_was_called(through, path, shape):
    request = f"POST {path} HTTP/1.1\r\nhost: gate\r\nx: ".encode() + b"a" * 100_000
    with through(says(OK)) as way:
        answer = parse(ask(way.gate.port, request))
        (record,) = way.gate.closed(1)
    said = json.loads(answer.body)
    assert answer.status == 431
    assert said.get("type") == shape.get("type")
    assert {name: said["error"][name] for name in shape["error"]} == shape["error"]
    assert record.opened.surface == surface_for("POST", path).name


def test_a_body_that_is_no_body_is_refused_and_so_recorded(through):
    with through(says(OK)) as way:
        answer = parse(ask(way.gate.port, CHUNKED.replace(b"/openai/v1/files", PATH.encode()) + b"zz\r\n"))
        (record,) = way.gate.closed(1)
    assert answer.status == 400
    assert (record.outcome, record.status, record.reason) == ("rejected", 400, "invalid_http")
