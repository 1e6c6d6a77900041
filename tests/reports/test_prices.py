"""Dollars say whose prices they are."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from estimator import Usage, estimate
from estimator.facts import sources
from proxy.ledger import priced
from proxy.ledger.write import Ledger
from proxy.reports.period import parse
from proxy.reports.statement import statement
from proxy.reports.statement_page import as_html
from tests.console.test_page import Page
from tests.reports.asking import question
from tests.rows import UNPRICED, call_row, insert

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
NOVEMBER = parse(month="2026-11", start=None, end=None, tz="UTC", now=NOW)


def listed(model: str, provider: str) -> str:
    """Give the id of a shipped price."""
    found = estimate(Usage(input_tokens=1, output_tokens=1), model, provider=provider).price_id
    assert found is not None
    return found


def named(source: str) -> str:
    return f"{sources()[source].name} (checked {sources()[source].checked})"


def said(engine, name: str = "cost", **words) -> str:
    with engine.connect() as connection:
        notes = question(name, **words).ask(connection, NOVEMBER).notes
    return next((note for note in notes if note.startswith("prices, by dollars: ")), "")


@pytest.fixture
def filled(engine):
    insert(
        engine,
        call_row(price_id=listed("gpt-4o", "openai"), cost_usd=Decimal(6)),
        call_row(model="claude-opus-4", model_requested="claude-opus-4", provider="anthropic", cost_usd=Decimal(3),
                 price_id="acme-2026:anthropic/claude-opus-4@2026-07-01"),
        call_row(model="o3", team="ads", price_id="openai/gone@2019-01-01", cost_usd=Decimal(1)),
        call_row(**UNPRICED),
    )  # fmt: skip
    return engine


@pytest.mark.parametrize("name", ["cost", "focus"])
def test_the_sources_of_prices_are_said_by_dollars(filled, name):
    assert said(filled, name).startswith(
        f"prices, by dollars: 60 % {named('genai-prices')}, 30 % acme-2026 (prices of your own), "
        "10 % a list of another release; each call at the price of its day"
    )


def test_they_are_those_of_the_calls_asked_for(filled):
    assert said(filled, where=["team=ads"]).startswith("prices, by dollars: 100 % a list of another release;")
    assert "100 % a list of another release" in said(filled, where=["model=o3"])


def test_chargeback_says_them_too(filled):
    assert "60 % genai-prices" in said(filled, allocate=["search=tokens"])


def test_no_dollars_no_prices_and_no_estimate_asks_for_them(engine, filled):
    assert said(filled, where=["model=house-model"]) == ""
    assert said(filled, "energy") == ""


def test_two_lists_of_one_model_are_not_told_apart(engine):
    shipped = listed("gpt-4o", "openai")
    insert(engine, call_row(price_id=shipped), call_row(price_id=f"acme:{shipped}-15.00%"))
    assert f"100 % acme (prices of your own) or {named('genai-prices')};" in said(engine)


def test_sums_know_it_as_calls_do(engine):
    Ledger(engine).commit([call_row(price_id=listed("gpt-4o", "openai"))], journal="j", positions={}, at=NOW)
    assert f"100 % {named('genai-prices')};" in said(engine)


def test_of_many_kinds_some_are_read(engine, filled, monkeypatch):
    monkeypatch.setattr(priced, "KINDS_READ", 0)
    assert "100 % lists that were not found;" in said(filled)


def test_the_statement_says_them(filled):
    with filled.connect() as connection:
        made = statement(connection, NOVEMBER, team=None, known_teams=(), now=NOW)
    (words,) = [each for each in Page(as_html(made)).words if each.startswith("Prices, by dollars: ")]
    assert f"60 % {named('genai-prices')}, 30 % acme-2026 (prices of your own)" in words
    source = sources()["genai-prices"]
    assert any(each.startswith(f"{source.name}: {source.url} (") for each in Page(as_html(made)).words)


@pytest.mark.parametrize(
    ("price_ids", "whose"),
    [
        (["openai/gone@2019-01-01"], "list prices"),
        (["acme:openai/gpt-4o@2026-07-01"], "prices of your own"),
        (["acme:openai/gpt-4o@2026-07-01", "openai/gone@2019-01-01"], "list prices and your own"),
    ],
)
def test_a_statement_does_not_call_prices_of_ones_own_list_prices(engine, price_ids, whose):
    insert(engine, *(call_row(price_id=each) for each in price_ids))
    with engine.connect() as connection:
        made = statement(connection, NOVEMBER, team=None, known_teams=(), now=NOW)
    assert whose in Page(as_html(made)).words
