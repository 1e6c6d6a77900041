"""Keys, prompts and replies are in no journal, log line, error or standard stream of the gate."""

from __future__ import annotations

import json
import logging
import threading

import pytest

from proxy.teams import digest, issue_key
from tests.gate.chat import event
from tests.loopback import Client, ask, chunk, parse, post, reply, says, stream_head, until

CREDENTIAL = "sk-canary-of-the-provider"
OWN = "sk-canary-of-the-client"
KEY = issue_key()
WRONG = "jg-canary-that-nobody-knows"
PROMPT = "canary prompt Zyzzogeton"
REPLY = "canary reply Quomodocunque"
CANARIES = [CREDENTIAL, OWN, KEY, WRONG, "Zyzzogeton", "Quomodocunque"]
TEAMS = f'[[team]]\nname = "search"\n[[team.key]]\nid = "k1"\nsha256 = "{digest(KEY.encode())}"\n'
BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": PROMPT}]}).encode()
STREAM = BODY[:-1] + b',"stream":true}'
SLOTS = ["authorization: Bearer {}", "x-api-key: {}", "api-key: {}", "x-goog-api-key: {}", "x-joulegate-key: {}"]

PLAIN = json.dumps({"choices": [{"message": {"content": REPLY}}], "error": None}).encode()
DELTA = event({"choices": [{"index": 0, "delta": {"content": REPLY}}]})
ERRORS = [
    {"error": {"message": f"bad {PROMPT} {REPLY} {CREDENTIAL}", "type": "t", "code": None}},
    {"error": {"message": f"{PROMPT}"}},
    {"error": f"{PROMPT} is wrong"},
    {"error": {"code": f"{PROMPT}"}},
    {"error": [PROMPT]},
]


@pytest.fixture(autouse=True)
def _listen_to_every_log(caplog):
    caplog.set_level(logging.DEBUG)


@pytest.fixture
def clean(caplog, capfd, monkeypatch):
    """Check every sink for every canary."""
    monkeypatch.setenv("PROVIDER_KEY", CREDENTIAL)

    def clean(way, *answers: bytes) -> None:
        said = capfd.readouterr()
        sinks = {
            "log": caplog.text,
            "stdout": said.out,
            "stderr": said.err,
            "answers": b"".join(answers).decode("latin-1"),
        }
        journal = b"".join(path.read_bytes() for path in way.gate.journal.iterdir())
        assert journal
        sinks["journal"] = journal.decode("latin-1")
        sinks["gate"] = repr(way.gate.app.gate)
        found = [(canary, name) for name, text in sinks.items() for canary in CANARIES if canary in text]
        assert found == []

    return clean


CONFIGURED = 'credential = "env:PROVIDER_KEY"'


def test_good_calls_leave_no_trace(through, clean):
    raw = stream_head() + chunk(DELTA) + chunk(b"data: [DONE]\n\n") + chunk(b"")
    for script in (says(reply(PLAIN)), says(raw)):
        with through(script, CONFIGURED, toml=TEAMS) as way:
            for slot in SLOTS:
                assert parse(ask(way.gate.port, post("/v1/chat/completions", STREAM, slot.format(KEY)))).status == 200
                assert (
                    parse(
                        ask(
                            way.gate.port,
                            post("/v1/chat/completions", BODY, slot.format(OWN).replace("-joulegate", "-own")),
                        )
                    ).status
                    == 200
                )
            assert parse(ask(way.gate.port, post(f"/openai/v1/chat/completions?key={KEY}", BODY))).status == 200
            assert parse(ask(way.gate.port, post(f"/openai/v1/chat/completions?key={OWN}", BODY))).status == 200
            assert not any(KEY.encode() in seen.head for seen in way.provider.seen)
            clean(way)


@pytest.mark.parametrize("error", ERRORS, ids=map(str, range(len(ERRORS))))
def test_errors_of_a_provider_leave_no_trace(through, clean, error):
    body = json.dumps(error).encode()
    with through(says(reply(body, status="400 Bad Request")), CONFIGURED) as way:
        assert parse(ask(way.gate.port, post("/v1/chat/completions", BODY))).body == body
        assert parse(ask(way.gate.port, post("/v1/responses", BODY))).body == body
        clean(way)
    with through(says(stream_head() + chunk(DELTA) + chunk(event(error)) + chunk(b""))) as way:
        for path in ("/v1/chat/completions", "/v1/responses", "/v1/completions"):
            assert parse(ask(way.gate.port, post(path, STREAM))).status == 200
        assert {call.outcome for call in way.gate.closed(5)} == {"error"}
        clean(way)


def test_refusals_leave_no_trace(through, clean):
    with through(says(reply(PLAIN)), toml=TEAMS, keys="required", hold_body_bytes=2000) as way:
        asked = [slot.format(WRONG) for slot in SLOTS] + [slot.format(KEY) for slot in SLOTS[:-1]]
        answers = [ask(way.gate.port, post("/v1/chat/completions", BODY, header)) for header in asked]
        answers += [ask(way.gate.port, post(f"/v1/chat/completions?key={key}", BODY)) for key in (WRONG, KEY)]
        key = SLOTS[0].format(KEY)
        bodies = [
            BODY[:-1],
            b"[" + BODY + b"]",
            b"{" + PROMPT.encode(),
            json.dumps({"model": [PROMPT]}).encode(),
            BODY * 100,
        ]
        answers += [ask(way.gate.port, post("/v1/chat/completions", body, key)) for body in bodies]
        answers += [ask(way.gate.port, post("/nobody/x", BODY, key)), ask(way.gate.port, post("/azure/x", BODY, key))]
        answers += [ask(way.gate.port, b"GET / HTTP/1.1\r\nbad header: " + KEY.encode() + b"\r\n\r\n")]
        answers += [ask(way.gate.port, b"GET / HTTP/1.1\r\nx: " + KEY.encode() * 5000 + b"\r\n\r\n")]
        assert {parse(answer).status for answer in answers} == {400, 401, 403, 404, 413, 431}
        clean(way, *answers)


def test_failures_leave_no_trace(through, clean, monkeypatch):
    async def script(seen, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n" + REPLY.encode() + b"\r\n\r\n")

    with through(script, CONFIGURED) as way:
        clean(way, ask(way.gate.port, post("/v1/chat/completions", BODY)))

    def fail(self, *args, **kwargs):
        raise ValueError(f"{args} {kwargs}")

    with through(says(reply(PLAIN)), CONFIGURED, toml=TEAMS) as way:
        monkeypatch.setattr("proxy.wire.openai_chat.Chat.prepare", fail)
        answer = ask(way.gate.port, post("/v1/chat/completions", STREAM, SLOTS[0].format(KEY)))
        assert parse(answer).status == 500
        clean(way, answer)


def test_calls_that_break_off_leave_no_trace(through, clean):
    go_on = threading.Event()

    async def script(seen, writer):
        writer.write(stream_head() + chunk(DELTA))
        await writer.drain()
        await until(go_on)
        writer.transport.abort()

    with through(script, CONFIGURED) as way:
        with Client(way.gate.port) as client:
            client.send(post("/v1/chat/completions", STREAM))
            client.until(b"\n\n")
        go_on.set()
        ask(way.gate.port, post("/v1/chat/completions", STREAM))
        assert {call.usage_source for call in way.gate.closed(2)} == {"inferred"}
        clean(way)
