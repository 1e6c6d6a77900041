"""``joulegate reconcile --fetch``, and answers of the same APIs that were saved into files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import respx
import sqlalchemy as sa

from proxy.errors import ConfigError, JoulegateError
from proxy.ledger.tables import statements
from proxy.ledger.write import Ledger
from tests.commands.typed import typed
from tests.reconciling.answers import (
    ANTHROPIC,
    OPENAI,
    anthropic_cost,
    anthropic_page,
    completions,
    embeddings,
    messages,
    openai_cost,
    openai_page,
    written,
)
from tests.rows import call_row

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEY = "sk-admin-secret"
CLAUDE = "claude-sonnet-4-5-20250929"
ASK = ("--admin-key", "env:ADMIN_KEY", "--from", "2026-11-23", "--to", "2026-11-24")


@pytest.fixture
def run(ledger_url, engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADMIN_KEY", KEY)
    dated = {"started_at": NOON, "model": "gpt-4o-2024-08-06", "key_id": "ci", "cost_usd": Decimal("0.05")}
    rows = [call_row(**dated) for _ in range(2)]
    rows.append(call_row(started_at=NOON.replace(day=24), provider="anthropic", model=CLAUDE, cost_usd=Decimal(1)))
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOON)
    return lambda *words: typed("reconcile", "--database", ledger_url, *words)


@pytest.fixture
def mocked():
    with respx.mock(using="httpcore2", assert_all_called=False) as router:
        router.get(f"{OPENAI}/usage/completions").respond(json=openai_page({23: [completions()], 24: []}))
        router.get(f"{OPENAI}/usage/embeddings").respond(json=openai_page({23: [], 24: [embeddings()]}))
        router.get(f"{OPENAI}/costs").respond(json=openai_page({23: [openai_cost(0.25)], 24: []}))
        router.get(f"{ANTHROPIC}/usage_report/messages").respond(json=anthropic_page({23: [], 24: [messages()]}))
        router.get(f"{ANTHROPIC}/cost_report").respond(json=anthropic_page({23: [], 24: [anthropic_cost("123.45")]}))
        yield router


def document(result):
    assert result.exit_code == 0, result.output
    assert KEY not in result.output
    return json.loads(result.stdout)


def test_what_openai_states_is_fetched_and_compared_in_dollars_and_tokens(run, mocked):
    found = document(run("--fetch", "openai", *ASK, "--json"))
    assert found["shape"] == "openai API completions and openai API embeddings and openai API costs"
    assert found["days"] == {"openai": ["2026-11-23", "2026-11-24"]}
    said = [(row["day"], row["model"], row["stated_usd"], row["stated_tokens"], row["calls"]) for row in found["rows"]]
    assert said == [
        ("2026-11-23", "gpt-4o", "0.25", 1050, 2),
        ("2026-11-24", "text-embedding-3-small", None, 7, 0),
    ]
    assert [part["kind"] for part in found["rows"][0]["parts"]] == ["tokens", "price"]
    (row,) = document(run("--fetch", "openai", *ASK, "--by", "key", "--rename", "key_1=ci", "--json"))["rows"][:1]
    assert (row["key"], row["stated_usd"], row["ledger_usd"]) == ("ci", "0.25", "0.1")


def test_what_anthropic_states_is_fetched_and_by_key_only_its_tokens(run, mocked):
    (row,) = document(run("--fetch", "anthropic", *ASK, "--json"))["rows"]
    assert (row["stated_usd"], row["stated_tokens"], row["ledger_usd"]) == ("1.2345", 4173, "1")
    found = document(run("--fetch", "anthropic", *ASK, "--by", "key", "--json"))
    assert [(row["key"], row["stated_usd"], row["stated_tokens"]) for row in found["rows"]] == [
        (None, None, None),
        ("apikey_1", None, 4173),
    ]
    assert found["notes"] == ["anthropic does not state dollars by key"]
    assert "* anthropic does not state dollars by key" in run("--fetch", "anthropic", *ASK, "--by", "key").stdout


def test_what_is_fetched_is_kept_once_in_whatever_pages_and_order_it_comes(run, mocked, engine):
    first = document(run("--fetch", "anthropic", *ASK, "--json"))
    assert not first["read_before"]
    more = [messages(model="claude-haiku-4-5"), messages()]
    for results in (more, more[::-1]):
        mocked.get(f"{ANTHROPIC}/usage_report/messages").respond(json=anthropic_page({23: [], 24: results}))
        last = document(run("--fetch", "anthropic", *ASK, "--json"))
    assert (last["read_before"], last["statement"] == first["statement"]) == (True, False)
    with engine.connect() as connection:
        kept = connection.execute(sa.select(statements)).mappings().all()
    assert sorted(row["source"] for row in kept) == sorted([first["statement"]] * 2 + [last["statement"]] * 3)
    assert {(row["provider"], row["project"]) for row in kept} == {("anthropic", "wrkspc_1")}
    assert KEY not in str(kept)


def test_a_provider_that_states_nothing_is_held_against_what_the_ledger_has(run, mocked):
    for path in ("usage_report/messages", "cost_report"):
        mocked.get(f"{ANTHROPIC}/{path}").respond(json=anthropic_page({23: [], 24: []}))
    result = run("--fetch", "anthropic", *ASK, "--json", "--tolerance", "1")
    assert result.exit_code == 1
    (row,) = json.loads(result.stdout)["rows"]
    assert (row["residual_usd"], row["parts"][0]["kind"]) == ("-1", "not_in_statement")
    assert "nothing stated: 0 of 1 lines agree." in run("--fetch", "anthropic", *ASK).stdout


def test_saved_answers_are_read_in_the_place_of_a_csv_file(run, tmp_path):
    page = anthropic_page({24: [anthropic_cost("123.45")]}, "page_2")
    (tmp_path / "costs.json").write_text(written(page))
    found = document(run("costs.json", "--json"))
    assert [(row["stated_usd"], row["ledger_usd"]) for row in found["rows"]] == [("1.2345", "1")]
    assert "more pages" in found["notes"][0]
    assert document(run("costs.json", "--json"))["read_before"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "give a file, or --fetch"),
        (("x.csv", "--fetch", "openai"), "give a file, or --fetch"),
        (("x.csv", "--from", "2026-11-23"), "--from belongs to --fetch"),
        (("--fetch", "groq", *ASK), "choose from openai, anthropic"),
        (("--fetch", "openai", *ASK[2:]), "needs --admin-key env:NAME or file:PATH; make one at https://"),
        (("--fetch", "openai", "--admin-key", KEY, *ASK[2:]), "never the key itself"),
        (("--fetch", "openai", "--admin-key", "env:NONE", *ASK[2:]), "NONE is not set"),
        (("--fetch", "openai", *ASK[:4]), "needs --from and --to"),
        (("--fetch", "openai", *ASK, "--to", "soon"), "write a day as 2026-11-23"),
        (("--fetch", "openai", *ASK, "--to", "2026-11-22"), "no stretch of 1 to 366 days"),
        (("--fetch", "openai", *ASK, "--to", "2027-11-24"), "no stretch of 1 to 366 days"),
    ],
)
def test_what_is_not_understood_is_an_error(run, words, says):
    result = run(*words)
    assert isinstance(result.exception, ConfigError)
    assert says in str(result.exception)
    assert KEY not in str(result.exception)


def test_a_refusal_keeps_nothing(run, mocked, engine):
    mocked.get(f"{OPENAI}/costs").respond(403)
    result = run("--fetch", "openai", *ASK)
    assert isinstance(result.exception, JoulegateError)
    assert str(result.exception).startswith(f"{OPENAI}/costs: status 403: this key may not read usage and cost")
    with engine.connect() as connection:
        assert connection.execute(sa.select(statements)).all() == []
