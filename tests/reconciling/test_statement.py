from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from proxy.reconciling.shape import Stated, StatementError
from proxy.reconciling.statement import read_statement

OPENAI_COSTS = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id\n"
    '1,2,2026-11-23T00:00:00+00:00,x,0.1250000000000001,usd,"gpt-4o-2024-08-06, input",proj_1\n'
    "1,2,2026-11-24T00:00:00+00:00,x,,,,\n"
)
OPENAI_USAGE = (
    "start_time,start_time_iso,project_id,num_model_requests,api_key_id,model,input_tokens,output_tokens,"
    "input_cached_tokens\n"
    "1,2026-11-23T00:00:00+00:00,proj_1,3,key_1,gpt-4o-2024-08-06,1000,50,400\n"
)
ANTHROPIC_USAGE = (
    "usage_date_utc,model_version,api_key,workspace,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,"
    "usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens\n"
    "2026-11-23,claude-sonnet-4-5-20250929,prod,Default,100,20,3,4000,50\n"
)
ANTHROPIC_COSTS = (
    "usage_date_utc,model,workspace,api_key,token_type,cost_usd,cost_type\n"
    "2026-11-23,Claude Sonnet 4.5,Default,prod,input_no_cache,0.01,token\n"
)
DAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("text", "shape", "expected"),
    [
        (
            OPENAI_COSTS,
            "openai costs",
            Stated(
                provider="openai",
                day=DAY,
                project="proj_1",
                model="gpt-4o-2024-08-06",
                usd=Decimal("0.1250000000000001"),
            ),
        ),
        (
            OPENAI_USAGE,
            "openai usage",
            Stated(
                provider="openai",
                day=DAY,
                key="key_1",
                project="proj_1",
                model="gpt-4o-2024-08-06",
                input_tokens=1000,
                cached_input_tokens=400,
                output_tokens=50,
            ),
        ),
        (
            ANTHROPIC_USAGE,
            "anthropic usage",
            Stated(
                provider="anthropic",
                day=DAY,
                key="prod",
                project="Default",
                model="claude-sonnet-4-5-20250929",
                input_tokens=4123,
                cached_input_tokens=4000,
                output_tokens=50,
            ),
        ),
        (
            ANTHROPIC_COSTS,
            "anthropic costs",
            Stated(
                provider="anthropic",
                day=DAY,
                key="prod",
                project="Default",
                model="Claude Sonnet 4.5",
                usd=Decimal("0.01"),
            ),
        ),
        (
            "\N{ZERO WIDTH NO-BREAK SPACE}provider;day;usd\ngroq;2026-11-23;$1.5\n",
            "plain",
            Stated(provider="groq", day=DAY, usd=Decimal("1.5")),
        ),
    ],
)
def test_what_providers_state_is_read_by_its_columns(text, shape, expected):
    found = read_statement(text)
    assert (found.shape, found.lines, found.covers) == (shape, [expected], {expected.provider: (DAY, DAY)})
    assert read_statement(text.replace(",", "\t").replace('"', "")).shape == shape or '"' in text
    (renamed,) = read_statement(text, provider="mine").lines
    assert renamed.provider == "mine"


def test_a_day_is_of_utc():
    assert read_statement("provider,day,usd\nx,2026-11-24T01:00:00+05:30,1\n").lines[0].day == DAY


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"no statement has the columns \(none\)"),
        ("a,b\n1,2\n", "no statement has the columns a, b"),
        ("provider,day,usd\nx,yesterday,1\n", "line 2: 'yesterday' is no day"),
        ("provider,day,usd\nx,2026-11-23,1\nx,2026-11-23,much\n", "line 3: 'much' is no number"),
        ("provider,day,usd\nx,2026-11-23,NaN\n", "line 2: 'NaN' is no number"),
        ("provider,day,usd\n,2026-11-23,1\n", "line 2: no provider"),
        (OPENAI_COSTS.replace("usd", "eur"), "the currency is eur"),
        ('provider,day,usd\nx,2026-11-23,"1\n', "line 1: unexpected end of data"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(text, says):
    with pytest.raises(StatementError, match=says):
        read_statement(text)
