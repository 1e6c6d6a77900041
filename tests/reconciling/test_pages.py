from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest

from proxy.reconciling.shape import Stated, StatementError
from proxy.reconciling.statement import read_statement
from tests.reconciling.answers import (
    anthropic_cost,
    anthropic_page,
    completions,
    embeddings,
    messages,
    openai_cost,
    openai_page,
    written,
)

DAY = date(2026, 11, 23)
OPENAI = {"provider": "openai", "day": DAY, "key": "key_1", "project": "proj_1"}
GPT = "gpt-4o-2024-08-06"
CLAUDE = "claude-sonnet-4-5-20250929"


@pytest.mark.parametrize(
    ("page", "shape", "expected"),
    [
        (
            openai_page({23: [completions()]}),
            "openai API completions",
            Stated(**OPENAI, model=GPT, input_tokens=1000, cached_input_tokens=400, output_tokens=50),
        ),
        (
            openai_page({23: [embeddings()]}),
            "openai API embeddings",
            Stated(**OPENAI, model="text-embedding-3-small", input_tokens=7),
        ),
        (openai_page({23: [openai_cost(0.06)]}), "openai API costs", Stated(**OPENAI, model=GPT, usd=Decimal("0.06"))),
        (
            anthropic_page({23: [messages()]}),
            "anthropic API messages",
            Stated(
                provider="anthropic",
                day=DAY,
                key="apikey_1",
                project="wrkspc_1",
                model=CLAUDE,
                input_tokens=4123,
                cached_input_tokens=4000,
                output_tokens=50,
            ),
        ),
        (  # in cents
            anthropic_page({23: [anthropic_cost("123.78912")]}),
            "anthropic API costs",
            Stated(provider="anthropic", day=DAY, project="wrkspc_1", model=CLAUDE, usd=Decimal("1.2378912")),
        ),
    ],
)
def test_answers_of_the_apis_are_read(page, shape, expected):
    found = read_statement(written(page))
    assert (found.shape, found.lines, found.notes) == (shape, [expected], ())
    assert found.covers == {expected.provider: (DAY, DAY)}
    (renamed,) = read_statement(written(page), provider="mine").lines
    assert renamed.provider == "mine"


def test_an_amount_is_as_exact_as_it_is_written():
    text = written(openai_page({23: [openai_cost(0.5)]})).replace("0.5", "0.1234567890123456789")
    assert read_statement(text).lines[0].usd == Decimal("0.1234567890123456789")
    assert read_statement(text.replace("0.1234567890123456789", "2.5e-07")).lines[0].usd == Decimal("0.00000025")


def test_several_pages_are_one_statement_however_they_are_put_into_a_file():
    pages = [openai_page({23: [completions()]}, "next"), openai_page({24: [], 25: [openai_cost(1), openai_cost(None)]})]
    found = read_statement(written(*pages))
    assert found == read_statement(json.dumps(pages))
    assert [line.day.day for line in found.lines] == [23, 25]  # what has no amount states nothing
    assert found.shape == "openai API completions and openai API costs"
    assert found.covers == {"openai": (DAY, date(2026, 11, 25))}
    assert found.notes == ()


def test_days_without_a_result_are_covered_and_missing_pages_are_said():
    found = read_statement(written(anthropic_page({22: [], 23: [messages()], 24: []}, "page_2")))
    assert found.covers == {"anthropic": (date(2026, 11, 22), date(2026, 11, 24))}
    assert found.notes == ("the answer has more pages, which are not in the file: it ends on 2026-11-24",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1: no JSON"),
        ("[" * 100_000, "nested"),
        ("[1]", "no answer of a usage or cost API"),
        ('{"error": {"message": "no"}}', "no answer of a usage or cost API"),
        ('{"data": [{"results": [1]}]}', "no answer of a usage or cost API"),
        (written(openai_page({})), "no result in it"),
        (written(openai_page({23: []})), "no result in it"),
        ('{"data": [{"results": []}]}', "stretch 1: 'None' is no day"),
        (written(openai_page({23: [{"images": 1}]})), "no statement has the columns start_time, end_time, images"),
        (written(openai_page({23: [completions(), completions(input_tokens="x")]})), "result 2: 'x' is no number"),
        (written(anthropic_page({23: [anthropic_cost("1", currency="EUR")]})), "result 1: the currency is EUR"),
        (written(openai_page({23: [completions()]})).replace("17", "17" * 9, 1), "is no day"),
    ],
)
def test_what_cannot_be_read_is_said(text, says):
    with pytest.raises(StatementError, match=says):
        read_statement(text)
