"""OpenAI's official SDK over a WebSocket: the same events through the gate, each turn a call of its own."""

from __future__ import annotations

import openai
import pytest
import websockets

from tests.sdk.metered import KEY, Ways

# The SDK connects in a way that this release of its WebSocket library announces to give up.
pytestmark = pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager:DeprecationWarning")

MODEL = "gpt-realtime"


def talk(origin: str, key: str, questions: list[str], **headers: str) -> list[list[dict[str, object]]]:
    """Ask in turn; gives the events of each answer, the opening ones first."""
    with (
        openai.OpenAI(base_url=f"{origin}/v1", api_key=key) as client,
        client.realtime.connect(model=MODEL, extra_headers=headers) as connection,
    ):
        heard = [[connection.recv().model_dump()]]
        for question in questions:
            content = [{"type": "input_text", "text": question}]
            connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
            connection.response.create()
            heard.append([])
            while not heard[-1] or heard[-1][-1]["type"] != "response.done":
                heard[-1].append(connection.recv().model_dump())
        return heard


def test_each_turn_is_metered_as_it_says(ways: Ways):
    questions = ["Tell me about tides.", "And about wind?"]
    given, (*turns, whole) = ways.closed(lambda: talk(ways.gate.url, KEY, questions), count=3)
    assert given == talk(ways.direct, "sk-test", questions)
    assert given[0][0]["type"] == "session.created"
    for events, turn in zip(given[1:], turns, strict=True):
        response = events[-1]["response"]
        assert (
            "".join(event["delta"] for event in events if "delta" in event)
            == response["output"][0]["content"][0]["text"]
        )
        usage = response["usage"]
        assert (turn.outcome, turn.opened.surface, turn.opened.team) == ("ok", "openai.realtime", "clients")
        assert (turn.opened.model_requested, turn.model, turn.usage_source) == (MODEL, MODEL, "reported")
        assert (turn.usage.input_tokens, turn.usage.output_tokens) == (usage["input_tokens"], usage["output_tokens"])
    assert turns[1].usage.input_tokens > turns[0].usage.input_tokens
    assert (whole.outcome, whole.reason, whole.usage) == ("ok", "usage.on_turns", None)


@pytest.mark.parametrize("status", [401, 429, 503])
def test_a_connection_may_be_refused(ways, status):
    def ask(origin: str, key: str) -> tuple[int, bytes]:
        with pytest.raises(websockets.InvalidStatus) as raised:
            talk(origin, key, [], **{"x-simulate-status": str(status)})
        return raised.value.response.status_code, raised.value.response.body

    given, (closed,) = ways.closed(lambda: ask(ways.gate.url, KEY))
    assert given == ask(ways.direct, "sk-test")
    assert given[0] == closed.status == status
    assert closed.outcome == "error"
