from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from estimator import Usage, estimate
from estimator.fits import constants
from estimator.grid import grid
from estimator.ranges import Range
from proxy.ledger.write import Ledger
from proxy.reports.period import QuestionError, parse
from proxy.reports.table import Report
from tests.commands.typed import typed
from tests.reports.asking import NOW, question
from tests.rows import UNESTIMATED, UNMETERED, UNPRICED, call_row

NOVEMBER = parse(month="2026-11", start=None, end=None, tz="UTC", now=NOW)
PAGE = ("gpt-4o=2000+1000", "claude-opus-4=2000+1000", "llama-3.1-8b-instruct=2000+1000")


def alone(name: str, **said) -> Report:
    made = question(name, **said).alone
    assert made is not None
    return made()


def rows(report: Report) -> list[dict]:
    return [dict(zip((column.key for column in report.columns), row, strict=True)) for row in report.rows]


def test_a_conversation_of_the_audit_page_has_its_price_and_the_estimators_energy():
    found = {row["model"]: row for row in rows(alone("models", assume=PAGE))}
    assert found["gpt-4o"]["cost_usd"] == Decimal("0.015")  # 2,000 x $2.50 and 1,000 x $10 per million
    assert found["claude-opus-4"]["cost_usd"] == Decimal("0.105")  # 2,000 x $15 and 1,000 x $75
    for model, row in found.items():
        made = estimate(Usage(input_tokens=2000, output_tokens=1000), model, at=NOW)
        assert (row["joules_low"], row["joules"], row["joules_high"]) == (
            made.joules.low,
            made.joules.mid,
            made.joules.high,
        )
    assert "calls" not in found["gpt-4o"]
    assert [row["model"] for row in rows(alone("models", assume=PAGE))] == sorted(
        found, key=lambda model: -found[model]["joules"]
    )


def test_the_same_energy_on_three_grids():
    made = rows(alone("grids", assume=PAGE[:1]))
    assert [row["grid"] for row in made] == ["World", "United Kingdom", "France"]
    joules = estimate(Usage(input_tokens=2000, output_tokens=1000), "gpt-4o").joules
    for row, zone in zip(made, ("WOR", "GBR", "FRA"), strict=True):
        assert row["grams_per_kwh"] == grid(zone).grams_per_kwh
        assert row["grams_co2e"] == pytest.approx(joules.mid / 3.6e6 * grid(zone).grams_per_kwh)
    world = estimate(Usage(input_tokens=2000, output_tokens=1000), "gpt-4o", zone="WOR").grams_co2e
    assert made[0]["grams_co2e_low"] == pytest.approx(world.low)
    assert made[0]["grams_co2e_high"] == pytest.approx(world.high)
    other = rows(alone("grids", assume=PAGE[:1], grids="swe, aws:eu-west-3"))
    assert [row["grid"] for row in other] == ["Sweden", "France"]


def test_a_million_conversations_a_day_for_a_year():
    made = {row["model"]: row for row in rows(alone("scale", assume=PAGE, per_day=1_000_000))}
    opus = made["claude-opus-4"]
    assert opus["cost_usd"] == Decimal("38325000.000")  # the page: $38.3M, and $38.32 a user
    assert opus["cost_usd_per_user"] == Decimal("38.325")
    one = estimate(Usage(input_tokens=2000, output_tokens=1000), "claude-opus-4")
    assert opus["watt_hours"] == pytest.approx(one.joules.mid / 3600 * 365e6)
    # What errs from call to call evens out: a year's range is narrower than a call's, and within it.
    whole = Range(opus["watt_hours_low"], opus["watt_hours"], opus["watt_hours_high"]) / opus["watt_hours"]
    of_one = one.joules / one.joules.mid
    assert of_one.low < whole.low < 1 < whole.high < of_one.high
    assert opus["grams_co2e"] == pytest.approx(opus["watt_hours"] / 1000 * grid("WOR").grams_per_kwh)
    assert made["llama-3.1-8b-instruct"]["cost_usd"] is None  # no list price without a provider


def test_the_mean_call_of_the_ledger(engine):
    four = [
        call_row(started_at=datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=each), cost_usd=Decimal(cost))
        for each, cost in enumerate(("0.001", "0.002", "0.003", "0.004"))
    ]
    others = [
        call_row(started_at=datetime(2026, 11, 20, tzinfo=UTC), **changes)
        for changes in (UNMETERED, UNESTIMATED | {"model": "gpt-4o"}, UNPRICED | {"model": "gpt-4o"})
    ]
    Ledger(engine).commit([*four, *others], journal="j", positions={}, at=NOW)
    with engine.connect() as connection:
        made = question("models").ask(connection, NOVEMBER)
        year = question("scale", where=["model=gpt-4o"]).ask(connection, NOVEMBER)
        (scale,) = rows(year)
        (assumed,) = rows(question("models", assume=["2000+1000"], where=["model=gpt-4o"]).ask(connection, NOVEMBER))
    row = next(each for each in rows(made) if each["model"] == "gpt-4o")
    known = [each for each in four if each.joules is not None]
    assert row["input_tokens"] == four[0].input_tokens
    assert row["joules"] == pytest.approx(sum(each.joules for each in known) / len(known))
    assert row["cost_usd"] == pytest.approx(Decimal("0.0025"), abs=Decimal("0.0005"))
    assert scale["conversations_per_day"] == round(row["calls"] / 27.375)  # November up to NOW
    assert "a day: the calls of 27.4 days, rounded here, not in the year" in year.notes
    assert (assumed["calls"], assumed["input_tokens"], assumed["cost_usd"]) == (row["calls"], 2000, Decimal("0.015"))
    assert row["tier"] == "closed_model"  # what the ledger's own calls rest on
    assert "evidence, by energy: 100 % modelled for a model whose size is not public" in made.notes
    assert any("the mean call of each model" in note for note in made.notes)
    assert made.metering is not None


def test_an_empty_ledger_and_a_model_nobody_knows(engine):
    with engine.connect() as connection:
        made = question("scale").ask(connection, NOVEMBER)
    assert made.rows == []
    assert made.notes[0].startswith("no calls between")
    unknown = alone("models", assume=["house-model=10+10", PAGE[0]])
    assert rows(unknown)[-1]["joules"] is None
    assert any(note.startswith("house-model: no card for 'house-model'") for note in unknown.notes)
    assert constants()["bands"]["grid_hourly"][0] < 1


@pytest.mark.parametrize(
    ("name", "said", "says"),
    [
        ("models", {"assume": ["gpt-4o"]}, "write MODEL=READ+WRITTEN"),
        ("models", {"assume": ["gpt-4o=-1+3"]}, "write MODEL=READ+WRITTEN"),
        ("models", {"assume": ["gpt-4o=10/20+3"]}, "of 10 tokens read 20 cannot be cached"),
        ("models", {"by": "team"}, "leave out --by"),
        ("models", {"per_day": 5}, "--per-day is how many conversations the report scale"),
        ("scale", {"per_day": 0}, "1 or more"),
        ("grids", {"grids": "WOR,Mars"}, "no electricity zone is called 'Mars'"),
        ("cost", {"assume": ["1+1"]}, "--assume, --per-day and --grids go with models, grids, scale, not with cost"),
    ],
)
def test_a_wrong_question_says_what_to_do(name, said, says):
    with pytest.raises(QuestionError, match=f"(?s).*{says.replace('+', '.').replace('(', '.')}"):
        question(name, **said)


def test_scale_without_a_rate_asks_for_one():
    with pytest.raises(QuestionError, match="give --per-day"):
        alone("scale", assume=PAGE[:1])
    with pytest.raises(QuestionError, match="give one --assume without a model"):
        alone("models", assume=[PAGE[0], "1+1", "2+2"]) if question("models", assume=["1+1", "2+2"]).alone else (
            question("models", assume=["1+1", "2+2"]).make(None, None)
        )


def test_the_command_needs_no_ledger_where_all_is_assumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["report", "scale", *(word for each in PAGE for word in ("--assume", each)), "--per-day", "1000000"]
    shown = typed(*words)
    assert shown.exit_code == 0, shown.output
    assert "$38,325,000" in shown.stdout
    assert "homes in the USA" in shown.stdout
    read = json.loads(typed(*words, "--json").stdout)
    assert (read["from"], read["total"], len(read["rows"])) == (None, None, 3)
    assert "<svg" in typed(*words, "--format", "html").stdout
    assert not list(tmp_path.iterdir())
