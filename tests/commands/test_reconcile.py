from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa

from proxy.errors import JoulegateError
from proxy.ledger.tables import statements
from proxy.ledger.write import Ledger
from tests.commands.typed import typed
from tests.reconciling.test_statement import ANTHROPIC_COSTS, OPENAI_COSTS, OPENAI_USAGE
from tests.rows import UNPRICED, call_row

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def invoke(ledger_url, engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dated = {"started_at": NOON, "model": "gpt-4o-2024-08-06", "key_id": "ci", "cost_usd": Decimal("0.05")}
    rows = [call_row(**dated) for _ in range(2)]
    rows.append(call_row(**UNPRICED, started_at=NOON))
    rows.append(
        call_row(started_at=NOON, provider="anthropic", model="claude-sonnet-4-5-20250929", cost_usd=Decimal(1))
    )
    rows.append(call_row(started_at=datetime(2026, 11, 25, tzinfo=UTC), **UNPRICED))  # on no day of a statement
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOON)

    def run(text: str, *words: str):
        (tmp_path / "statement.csv").write_text(text)
        return typed("reconcile", "statement.csv", "--database", ledger_url, *words)

    return run


def rows(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["rows"]


def test_costs_are_compared_by_model_and_day(invoke):
    dear, other = rows(invoke(OPENAI_COSTS, "--json"))
    assert (dear["model"], dear["stated_usd"], dear["ledger_usd"]) == ("gpt-4o", "0.1250000000000001", "0.1")
    assert [part["kind"] for part in dear["parts"]] == ["price"]
    assert (other["model"], other["unpriced_calls"], other["residual_usd"]) == ("house-model", 1, "0")


def test_usage_is_compared_by_key_under_its_name_here(invoke):
    found = rows(invoke(OPENAI_USAGE, "--by", "key", "--rename", "key_1=ci", "--json"))
    assert [(row["key"], row["stated_tokens"], row["ledger_tokens"], row["calls"]) for row in found] == [
        (None, None, 150, 1),
        ("ci", 1050, 300, 2),
    ]
    assert "750 tokens fewer" in found[1]["parts"][0]["says"]


def test_a_model_is_found_as_people_call_it(invoke):
    (row,) = rows(invoke(ANTHROPIC_COSTS, "--json"))
    assert (row["stated_usd"], row["ledger_usd"], row["residual_usd"]) == ("0.01", "1", "-0.99")


def test_the_exit_status_tells_whether_it_is_within_the_tolerance(invoke):
    within = invoke(OPENAI_COSTS, "--tolerance", "21")
    assert (within.exit_code, "another price than the ledger's" in within.stdout) == (0, True)
    off = invoke(OPENAI_COSTS, "--tolerance", "19")
    assert (off.exit_code, "Beyond the tolerance: openai." in off.stdout) == (1, True)
    assert json.loads(invoke(OPENAI_COSTS, "--tolerance", "0", "--json").stdout)["beyond_tolerance"] == ["openai"]


def test_a_statement_is_kept_once(invoke, engine):
    first = json.loads(invoke(OPENAI_COSTS, "--json").stdout)
    assert not first["read_before"]
    assert json.loads(invoke(OPENAI_COSTS, "--json").stdout) == first | {"read_before": True}
    invoke(ANTHROPIC_COSTS)
    with engine.connect() as connection:
        found = connection.execute(sa.select(statements).order_by(statements.c.provider)).mappings().all()
    assert [(row["provider"], row["model"], row["usd"]) for row in found] == [
        ("anthropic", "Claude Sonnet 4.5", Decimal("0.01")),
        ("openai", "gpt-4o-2024-08-06", Decimal("0.125")),
    ]


@pytest.mark.parametrize("words", [("--by", "planet"), ("--rename", "nothing")])
def test_what_is_not_understood_is_an_error(invoke, words):
    assert isinstance(invoke(OPENAI_COSTS, *words).exception, JoulegateError)


def test_a_file_that_is_no_statement_is_an_error(invoke):
    assert isinstance(invoke("hello\n").exception, JoulegateError)
    assert isinstance(
        invoke("provider,day,usd\nx,2026-11-23,1\n", "--database", "sqlite:///no.db").exception, JoulegateError
    )
