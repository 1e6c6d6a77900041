from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator.usage import Usage
from proxy.wire.canon import CHAT, COUNT_LIMIT, RESPONSES, Statement, error_code, label, normal
from proxy.wire.lenient import repeats


def chat(model: str | None = None, **usage: object) -> tuple[Usage | None, tuple[str, ...]]:
    return normal(usage, CHAT, model=model)


def test_nothing_stated_is_no_usage() -> None:
    assert chat() == (None, ())
    assert chat(prompt_tokens=None, completion_tokens=None) == (None, ())
    assert chat(service_tier="standard") == (None, ())


def test_null_is_not_zero() -> None:
    usage, flags = chat(prompt_tokens=3)
    assert usage == Usage(input_tokens=3)
    assert flags == ()


def test_a_total_alone_cannot_be_split() -> None:
    usage, flags = chat(total_tokens=9)
    assert usage == Usage()
    assert flags == ("usage.only_total",)


@pytest.mark.parametrize(
    ("stated", "model", "read", "written", "flags"),
    [
        # The rest is nothing, the reasoning, the audio, a Gemini's thoughts, or a riddle.
        ({"total_tokens": 15, "completion_tokens_details": {"reasoning_tokens": 4}}, None, 10, 5, ()),
        ({"total_tokens": 19, "completion_tokens_details": {"reasoning_tokens": 4}}, None, 10, 9, ()),
        ({"total_tokens": 22, "prompt_tokens_details": {"audio_tokens": 7}}, None, 17, 5, ()),
        ({"total_tokens": 15, "prompt_tokens_details": {"audio_tokens": 7}}, None, 10, 5, ()),
        ({"total_tokens": 95}, "gemini-3-pro", 10, 85, ()),
        ({"total_tokens": 95}, "models/Gemini-2.5-flash", 10, 85, ()),
        ({"total_tokens": 95}, "gpt-5", 10, 5, ("usage.total_mismatch",)),
        ({"total_tokens": 95, "completion_tokens": None}, "gemini-3-pro", 10, 85, ()),
        ({"total_tokens": 95, "completion_tokens": None}, "gpt-5", 10, None, ("usage.total_mismatch",)),
        ({"total_tokens": 55, "connector_tokens": 40}, "mistral-large-latest", 50, 5, ()),
        ({"total_tokens": 12}, "gemini-3-pro", 10, 5, ("usage.total_mismatch",)),
        (
            {"total_tokens": 11, "completion_tokens_details": {"reasoning_tokens": 4}},
            None,
            10,
            5,
            ("usage.total_mismatch",),
        ),
    ],
)
def test_the_rest_of_the_total(
    stated: dict[str, object], model: str | None, read: int, written: int | None, flags: tuple[str, ...]
) -> None:
    usage, seen = chat(model, **{"prompt_tokens": 10, "completion_tokens": 5, **stated})
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, seen) == (read, written, flags)


def test_places_have_an_order() -> None:
    usage, _ = chat(
        prompt_tokens=50, prompt_tokens_details={"cached_tokens": 4}, cached_tokens=9, prompt_cache_hit_tokens=8
    )
    assert usage == Usage(input_tokens=50, cached_input_tokens=4)
    usage, _ = chat(prompt_tokens=50, prompt_tokens_details={"cached_tokens": None}, num_cached_tokens=9)
    assert usage == Usage(input_tokens=50, cached_input_tokens=9)


def test_units_and_the_split_of_cache_writes() -> None:
    stated = {
        "input_tokens": 40,
        "input_tokens_details": {
            "cache_write_tokens": 30,
            "cache_write_tokens_details": {"ttl_30m_tokens": 10, "ttl_12h_tokens": 20},
        },
        "output_tokens": 1,
        "num_sources_used": 0,
        "server_side_tool_usage_details": {"web_search_calls": 2, "x_search_calls": True, "code_interpreter_calls": -1},
    }
    usage, _ = normal(stated, RESPONSES, model=None)
    assert usage is not None
    assert usage.cache_write_tokens == 30
    assert usage.units == {"cache_write_30m_tokens": 10, "cache_write_12h_tokens": 20, "web_searches": 2}


def test_several_statements_replace_and_never_add() -> None:
    statement = Statement()
    for usage in (
        None,
        {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 3}},
        "usage",
        {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": None},
        {"completion_tokens": 3, "prompt_tokens_details": {"audio_tokens": 0}},
        [1],
        {"prompt_tokens": None},
    ):
        statement.add(usage)
    details = {"cached_tokens": 3, "audio_tokens": 0}
    assert statement.stated == {"prompt_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": details}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    [
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
        "cached_tokens",
        "reasoning_tokens",
        "audio_tokens",
    ]
)


@given(st.dictionaries(FIELDS, ANYTHING | st.dictionaries(FIELDS, ANYTHING, max_size=3)))
def test_whatever_is_stated_no_impossible_count_comes_out(stated: dict[str, object]) -> None:
    usage, _ = normal(stated, CHAT, model="gemini")
    if usage is not None:
        for name in Usage.__dataclass_fields__:
            value = getattr(usage, name)
            if name != "units" and value is not None:
                assert type(value) is int
                assert 0 <= value <= 2 * COUNT_LIMIT


COUNTS = st.integers(0, 10**6)


@given(COUNTS, COUNTS, st.data())
def test_a_consistent_statement_comes_out_as_stated_without_flags(
    prompt: int, completion: int, data: st.DataObject
) -> None:
    cached, reasoning = data.draw(st.integers(0, prompt)), data.draw(st.integers(0, completion))
    usage, flags = chat(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details={"cached_tokens": cached},
        completion_tokens_details={"reasoning_tokens": reasoning},
    )
    assert usage == Usage(
        input_tokens=prompt, cached_input_tokens=cached, output_tokens=completion, reasoning_tokens=reasoning
    )
    assert flags == ()


def test_labels() -> None:
    assert label("gpt-5") == "gpt-5"
    assert label("") is None
    assert label(5) is None
    assert label("\ud800\0") == "?\ufffd"
    assert label("x" * 300) == "x" * 256


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": "rate_limit_exceeded", "type": "tokens", "message": "m"}, "rate_limit_exceeded"),
        ({"code": None, "type": "server_error"}, "server_error"),
        ({"code": 502, "message": "m"}, "502"),
        ({"code": "Incorrect API key: sk-abc", "type": "invalid_request_error"}, "invalid_request_error"),
        ({"message": "You said: my secret"}, "error"),
        ("overloaded", "overloaded"),
        ("no key sk-abc", "error"),
        ("sk-abcdef", "error"),
        ({}, None),
        (None, None),
        ([], None),
    ],
)
def test_an_error_gives_its_code_and_never_its_message(error: object, code: str | None) -> None:
    assert error_code(error) == code


@pytest.mark.parametrize(
    ("data", "twice"),
    [
        ('{"usage":{"a_tokens":1,"b":{"c_tokens":2}}}', False),
        ('{"usage":{"a_tokens":9,"a_tokens":1,"b":{"c_tokens":2}}}', True),
        ('{"usage":{"a_tokens":1,"b":{"c_tokens":3,"c_tokens":2}}}', True),
        ('{"usage":{"a_tokens":7},"usage":{"a_tokens":1,"b":{"c_tokens":2}}}', True),
        ('{"x_groq":{"usage":{"a_tokens":1}},"usage":{"a_tokens":1,"b":{"c_tokens":2}}}', False),
        ('{"text":"\\"a_tokens\\":1,\\"a_tokens\\"","usage":{"a_tokens":1,"b":{"c_tokens":2}}}', False),
        ('{"x":1,"x":2,"tool":{"a_tokens":1},"usage":{"a_tokens":1,"b":{"c_tokens":2}}}', False),
        ('{"usage":{"a_tokens":1,"b":{"c_tokens":2}},"a_tokens":1', False),
    ],
)
def test_a_count_that_is_named_twice_is_seen(data: str, twice: bool) -> None:
    assert repeats(data.encode(), {"a_tokens": 1, "b": {"c_tokens": 2}}) == twice
