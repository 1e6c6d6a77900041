"""What a provider's messages over a WebSocket say about each turn."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.usage import Usage
from proxy.wire.registry import surface_for
from proxy.wire.surface import Reading
from proxy.wire.turns import Turns, model_asked


def read(*messages: object, model: str | None = None) -> list[Reading]:
    turns = Turns(model)
    found = [turns.message(json.dumps(message).encode()) for message in messages]
    assert not turns.failed
    return [turn for turn in found if turn is not None]


DETAILS = {"text_tokens": 19, "audio_tokens": 113, "image_tokens": 7, "cached_tokens": 64}


def test_realtime_states_a_turn_when_it_is_done() -> None:
    session = {"type": "session.created", "session": {"model": "gpt-realtime-2025-08-28"}}
    usage = {
        "total_tokens": 260,
        "input_tokens": 139,
        "output_tokens": 121,
        "input_token_details": {**DETAILS, "cached_tokens_details": {"audio_tokens": 60, "text_tokens": 4}},
        "output_token_details": {"text_tokens": 30, "audio_tokens": 91, "reasoning_tokens": 12},
    }
    created = {"type": "response.created", "response": {"id": "r1", "usage": None}}
    (turn,) = read(session, created, {"type": "response.done", "response": {"id": "r1", "usage": usage}})
    assert turn.usage == Usage(
        input_tokens=139,
        cached_input_tokens=64,
        audio_input_tokens=113,
        image_input_tokens=7,
        output_tokens=121,
        reasoning_tokens=12,
        audio_output_tokens=91,
        units={"cached_audio_input_tokens": 60},
    )
    assert (turn.model, turn.response_id, turn.error) == ("gpt-realtime-2025-08-28", "r1", None)


def test_a_cancelled_turn_is_billed_and_a_failed_one_says_why() -> None:
    usage = {"total_tokens": 12, "input_tokens": 10, "output_tokens": 2}
    cancelled = {"type": "response.done", "response": {"status": "cancelled", "usage": usage}}
    failed = {
        "type": "response.done",
        "response": {"status": "failed", "status_details": {"error": {"code": "rate_limit_exceeded"}}, "usage": None},
    }
    first, second = read(cancelled, failed)
    assert first.usage == Usage(input_tokens=10, output_tokens=2)
    assert first.error is None
    assert (second.usage, second.error) == (None, "rate_limit_exceeded")


def test_xai_states_it_beside_the_response() -> None:
    usage = {
        "total_tokens": 75, "input_tokens": 50, "output_tokens": 25, "grok_tokens": 75,
        "output_audio_seconds": 1.5, "billable_audio_seconds": 4.0,
    }  # fmt: skip
    (turn,) = read({"type": "response.done", "response": {"id": "r", "usage": {}}, "usage": usage}, model="grok-voice")
    assert turn.usage == Usage(
        input_tokens=50, output_tokens=25, units={"audio_output_seconds": 1.5, "billable_audio_seconds": 4.0}
    )
    assert turn.model == "grok-voice"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"type": "duration", "seconds": 3}, Usage(units={"audio_input_seconds": 3.0})),
        (
            {"type": "tokens", "total_tokens": 31, "input_tokens": 26, "output_tokens": 5,
             "input_token_details": {"text_tokens": 0, "audio_tokens": 26}},
            Usage(input_tokens=26, audio_input_tokens=26, output_tokens=5),
        ),
    ],
)  # fmt: skip
def test_what_was_heard_is_transcribed_by_another_model(usage: object, expected: Usage) -> None:
    session = {"model": "gpt-realtime", "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}}
    done = {"type": "conversation.item.input_audio_transcription.completed", "item_id": "i", "usage": usage}
    (turn,) = read({"type": "session.updated", "session": session}, done)
    assert (turn.usage, turn.model) == (expected, "gpt-4o-transcribe")


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete", "response.failed"])
def test_responses_state_it_as_in_a_stream(kind: str) -> None:
    response = {
        "id": "resp_1",
        "model": "gpt-5.6",
        "service_tier": "default",
        "status": "completed",
        "usage": {
            "input_tokens": 40, "input_tokens_details": {"cached_tokens": 8}, "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 49,
        },
        "tool_usage": {"web_search": {"num_requests": 2}},
    }  # fmt: skip
    turn, again = read({"type": kind, "response": response}, {"type": kind, "response": response})
    assert turn == again
    assert turn.usage == Usage(
        input_tokens=40, cached_input_tokens=8, output_tokens=9, reasoning_tokens=4, units={"web_searches": 2}
    )
    assert (turn.model, turn.service_tier, turn.response_id) == ("gpt-5.6", "default", "resp_1")


def test_google_s_live_turns_add_up_each_with_thoughts_and_sound() -> None:
    def metadata(**counts: object) -> dict[str, object]:
        return {"serverContent": {"turnComplete": True}, "usageMetadata": counts}

    turns = Turns()
    turns.asking(b'{"setup":{"model":"models/gemini-live-2.5-flash"}}')
    turns.asking(b'{"setup":{"model":"models/another"}}')
    audio = [{"modality": "AUDIO", "tokenCount": 50}, {"modality": "TEXT", "tokenCount": 5}]
    first = turns.message(
        json.dumps(
            metadata(
                promptTokenCount=55, promptTokensDetails=audio, responseTokenCount=20, thoughtsTokenCount=4,
                totalTokenCount=79, responseTokensDetails=[{"modality": "AUDIO", "tokenCount": 20}],
            )
        ).encode()
    )  # fmt: skip
    second = turns.message(
        json.dumps(metadata(promptTokenCount=9, candidatesTokenCount=1, totalTokenCount=10)).encode()
    )
    assert turns.message(b'{"serverContent":{"modelTurn":{"parts":[]}}}') is None
    assert first is not None
    assert first.usage == Usage(
        input_tokens=55, audio_input_tokens=50, output_tokens=24, reasoning_tokens=4, audio_output_tokens=20
    )
    assert first.model == "gemini-live-2.5-flash"
    assert second is not None
    assert second.usage == Usage(input_tokens=9, output_tokens=1)


def test_what_is_said_is_never_read_as_usage() -> None:
    said = json.dumps({"type": "response.done", "response": {"usage": {"input_tokens": 10**6}}})
    assert read({"type": "response.output_text.delta", "delta": said}, {"type": "response.created", "usage": 5}) == []


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
KINDS = st.sampled_from(["response.done", "response.completed", "session.created", "response.created"])


@given(
    st.dictionaries(st.sampled_from(["response", "usage", "session", "usageMetadata", "setup", "model"]), ODD), KINDS
)
def test_members_of_every_type(message: dict[str, object], kind: str) -> None:
    turns = Turns()
    turns.asking(json.dumps(message).encode())
    turns.message(json.dumps(message | {"type": kind}).encode())
    assert not turns.failed


@given(st.binary(max_size=60))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    turns = Turns()
    turns.asking(data)
    assert turns.message(data) is None


@pytest.mark.parametrize(
    ("path", "query", "model"),
    [
        ("/v1/realtime", b"model=gpt-realtime", "gpt-realtime"),
        ("/openai/realtime", b"api-version=1&deployment=my%2Fvoice", "my/voice"),
        ("/v1/realtime", b"", None),
        ("/v1/realtime", b"\xff&model", None),
        ("/v1/realtime", b"model=gpt-realtime&model=gpt-realtime", "gpt-realtime"),
        ("/v1/realtime", b"model=gpt-realtime&model=gpt-realtime-mini", None),
        ("/v1/listen", b"model=nova-3", "nova-3"),
        ("/v1/responses", b"model=gpt-5", None),
        ("/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent", b"model=gemini", None),
    ],
)
def test_the_model_in_an_address_where_that_decides(path: str, query: bytes, model: str | None) -> None:
    assert model_asked(surface_for("WEBSOCKET", path), query) == model


@pytest.mark.parametrize(
    "path",
    [
        "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
        "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained",
        "/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent",
    ],
)
def test_google_s_live_addresses(path: str) -> None:
    assert surface_for("WEBSOCKET", path).name == "gemini.live"
