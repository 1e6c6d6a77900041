from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import pytest
import sqlalchemy as sa

from estimator import Estimate, Usage, estimate, total
from proxy.ledger.read import DIMENSIONS, TIME_DIMENSIONS, Totals, recent, splits, totals
from proxy.ledger.row import row_of
from tests.records import closed, opened
from tests.rows import UNESTIMATED, UNMETERED, UNPRICED, call_row, insert
from tests.test_docs import ROOT

UTC_ZONE = ZoneInfo("UTC")
DAY = {"start": datetime(2026, 11, 23, tzinfo=UTC), "end": datetime(2026, 11, 24, tzinfo=UTC), "zone": UTC_ZONE}
ALWAYS = {"start": datetime(2000, 1, 1, tzinfo=UTC), "end": datetime(2100, 1, 1, tzinfo=UTC)}


def by_key(engine: sa.Engine, *by: str, **asked) -> dict[tuple[str | None, ...], Totals]:
    with engine.connect() as connection:
        groups = totals(connection, by=by, **(DAY | asked))
    assert len({group.key for group in groups}) == len(groups)
    return {group.key: group for group in groups}


def test_an_empty_ledger_knows_nothing_and_says_so(engine):
    assert by_key(engine) == {(): Totals()}
    assert by_key(engine, "team") == {}


def test_sums_of_one_group(engine):
    insert(engine, call_row(), call_row(), call_row(team="ads"))
    group = by_key(engine, "team")[("search",)]
    assert group == Totals(
        key=("search",),
        calls=2,
        input_tokens=200,
        cached_input_tokens=80,
        output_tokens=100,
        reasoning_tokens=20,
        flops=1.2e14,
        joules_low=200,
        joules=800,
        joules_high=3200,
        grams_co2e_low=pytest.approx(0.02),
        grams_co2e=0.08,
        grams_co2e_high=pytest.approx(0.32),
        embodied_grams_co2e=0.01,
        market_grams_co2e=0.06,
        liters=0.001,
        cost_usd=Decimal("0.0015"),
        reported_calls=2,
        joules_by_estimate_key={"gpt-4o@openai": 800},
    )


def test_unknown_is_counted_and_never_zero(engine):
    insert(engine, call_row(**UNPRICED), call_row(**UNESTIMATED, model="x"), call_row(**UNMETERED, team="ads"))
    whole = by_key(engine)[()]
    assert (whole.calls, whole.unpriced_calls, whole.energy_unknown_calls) == (3, 1, 1)
    assert (whole.carbon_unknown_calls, whole.water_unknown_calls, whole.absent_calls) == (1, 1, 1)
    unmetered = by_key(engine, "team")[("ads",)]
    assert (unmetered.cost_usd, unmetered.joules, unmetered.input_tokens, unmetered.liters) == (None,) * 4
    assert (unmetered.unpriced_calls, unmetered.energy_unknown_calls) == (0, 0)


def test_a_refusal_before_any_provider_lacks_no_usage(engine):
    insert(engine, call_row(**UNMETERED | {"provider": None, "outcome": "rejected"}))
    assert (by_key(engine)[()].calls, by_key(engine)[()].absent_calls) == (1, 0)


def test_dollars_add_up_exactly(engine):
    random.seed(7)
    costs = [Decimal(random.randrange(1, 10**12)).scaleb(-12) for _ in range(500)]
    insert(engine, *(call_row(cost_usd=cost) for cost in costs))
    assert by_key(engine)[()].cost_usd == sum(costs)
    assert by_key(engine, "hour")[("2026-11-23 12:00+0000",)].cost_usd == sum(costs)


def test_the_period_is_half_open(engine):
    edge = DAY["end"]
    insert(
        engine,
        call_row(started_at=DAY["start"]),
        call_row(started_at=edge - timedelta(microseconds=1)),
        call_row(started_at=edge),
        call_row(started_at=DAY["start"] - timedelta(microseconds=1)),
    )
    assert by_key(engine)[()].calls == 2


def test_the_model_asked_for_stands_in_for_one_never_named(engine):
    insert(engine, call_row(model=None, model_requested="o3"), call_row(model="o3"))
    assert by_key(engine, "model")[("o3",)].calls == 2


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Chatham"])
@pytest.mark.parametrize("around", [datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 10, 24, tzinfo=UTC)])
def test_local_days_and_hours_add_up_to_the_range(engine, zone, around):
    random.seed(zone)
    begin = around - timedelta(days=2)
    rows = [call_row(started_at=begin + timedelta(seconds=random.randrange(5 * 86_400))) for _ in range(300)]
    insert(engine, *rows)
    local = ZoneInfo(zone)
    for name, written in TIME_DIMENSIONS.items():
        expected: dict[tuple[str], int] = {}
        for row in rows:
            key = (written(row.started_at.astimezone(local)),)
            expected[key] = expected.get(key, 0) + 1
        assert {key: group.calls for key, group in by_key(engine, name, zone=local, **ALWAYS).items()} == expected


def test_the_hour_that_comes_twice_is_two_hours(engine):
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    insert(engine, call_row(started_at=first), call_row(started_at=first + timedelta(hours=1)))
    hours = by_key(engine, "hour", zone=ZoneInfo("Europe/Berlin"), **ALWAYS)
    assert set(hours) == {("2026-10-25 02:00+0200",), ("2026-10-25 02:00+0100",)}


def test_time_and_names_together(engine):
    insert(engine, call_row(), call_row(team=None), call_row(started_at=DAY["start"]))
    assert set(by_key(engine, "day", "team", "hour")) == {
        ("2026-11-23", "search", "2026-11-23 12:00+0000"),
        ("2026-11-23", None, "2026-11-23 12:00+0000"),
        ("2026-11-23", "search", "2026-11-23 00:00+0000"),
    }


@pytest.mark.parametrize("name", DIMENSIONS)
def test_every_dimension_can_be_asked_for(engine, name):
    insert(engine, call_row(), call_row(team="ads"))
    assert sum(group.calls for group in by_key(engine, name).values()) == 2


def test_several_splits_at_once_are_each_what_it_is_alone(engine):
    first = datetime(2026, 11, 23, 8, tzinfo=UTC)
    insert(
        engine,
        *(call_row(team=team, started_at=first + timedelta(hours=n)) for n, team in enumerate(("a", "b", None, "a"))),
        call_row(team="b", **UNESTIMATED),
        call_row(team="c", **UNMETERED),
    )
    asked = ((), ("team",), ("hour", "team"), ("model",))
    with engine.connect() as connection:
        for by, groups in zip(asked, splits(connection, asked, **DAY), strict=True):
            alone = {group.key: msgspec.structs.astuple(group) for group in totals(connection, by=by, **DAY)}
            assert {group.key for group in groups} == set(alone)
            for group in groups:  # sums of floats depend on their order by a last digit
                wanted = map(pytest.approx, msgspec.structs.astuple(group)[1:])
                assert list(wanted) == list(alone[group.key])[1:]


def recorded(engine: sa.Engine, *workloads) -> list[Estimate]:
    """Estimate calls of (model, provider, input, output) and put their rows into the ledger as the recorder does."""
    made = []
    for model, provider, n_in, n_out in workloads:
        usage = Usage(input_tokens=n_in, output_tokens=n_out)
        made.append(estimate(usage, model, provider=provider))
        insert(engine, row_of(closed(opened(provider=provider), model=model, usage=usage), made[-1]))
    return made


MODELS = (
    *(("gpt-4o", "openai"), ("claude-sonnet-4-5", "anthropic"), ("gemini-2.5-pro", "gemini")),
    *(("llama-3.3-70b-versatile", "groq"), ("gpt-4o", "azure"), ("deepseek-chat", "deepseek")),
)


def width(figure) -> float:
    return (figure.joules_high - figure.joules_low) / figure.joules


def test_the_band_of_a_sum_is_the_estimators(engine):
    random.seed(11)
    drawn = [(*random.choice(MODELS), random.randrange(9000), random.randrange(1, 4000)) for _ in range(400)]
    made = recorded(engine, *drawn, ("nobody-knows", "openai", 10, 10))
    (sums,) = by_key(engine, **ALWAYS).values()
    for quantity in ("joules", "grams_co2e"):
        figures = [figure for each in made if (figure := each.uncertain(quantity)) is not None]
        assert len(figures) == len(drawn)
        band = total(figures).range
        assert getattr(sums, quantity) == pytest.approx(band.mid, rel=1e-12)
        assert getattr(sums, f"{quantity}_low") == pytest.approx(band.low, rel=1e-9)
        assert getattr(sums, f"{quantity}_high") == pytest.approx(band.high, rel=1e-9)
    models = by_key(engine, "provider", "model", **ALWAYS)
    for model, provider in MODELS:
        own = total(
            figure
            for (name, at, *_), each in zip(drawn, made, strict=False)
            if (name, at) == (model, provider) and (figure := each.uncertain())
        )
        assert models[provider, model].joules_high == pytest.approx(own.range.high, rel=1e-9)


def test_the_query_that_the_documentation_shows_gives_the_same_band(engine):
    random.seed(5)
    recorded(engine, *((*random.choice(MODELS), random.randrange(9000), random.randrange(1, 4000)) for _ in range(60)))
    shown = (ROOT / "docs" / "reference" / "ledger.md").read_text().split("```sql\n")[1].split("```")[0]
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":  # not every SQLite has it
            connection.connection.driver_connection.create_function("sqrt", 1, math.sqrt)
        low = connection.exec_driver_sql(shown).scalar()
    assert low == pytest.approx(by_key(engine, **ALWAYS)[()].joules_low, rel=1e-9)


def test_calls_of_one_model_err_together_and_models_apart(engine):
    recorded(engine, *[("gpt-4o", "openai", 2000, 1000)] * 500)
    alone = estimate(Usage(input_tokens=2000, output_tokens=1000), "gpt-4o", provider="openai").joules
    of_one = width(by_key(engine, **ALWAYS)[()])
    assert 0.95 * (alone.high - alone.low) / alone.mid < of_one < (alone.high - alone.low) / alone.mid
    recorded(engine, *[(*model, 2000, 1000) for model in MODELS[1:] for _ in range(100)])
    of_many = width(by_key(engine, **ALWAYS)[()])
    each = [width(group) for group in by_key(engine, "model", "provider", **ALWAYS).values()]
    assert len(each) == len(MODELS)
    assert of_many < min(each)


def test_rows_of_a_release_that_kept_no_errors_apart_share_all_of_it(engine):
    old = dict.fromkeys(("estimate_key", "joules_shared_down", "joules_shared_up", "grid_source"))
    old |= dict.fromkeys(("grams_co2e_shared_down", "grams_co2e_shared_up"))
    insert(engine, *(call_row(**old, model=model) for model in ("gpt-4o", "o3", "gpt-4o")))
    sums = by_key(engine)[()]
    assert (sums.joules_low, sums.joules, sums.joules_high) == (300, 1200, 4800)
    assert sums.grams_co2e_high == pytest.approx(0.48)


def test_the_last_calls_come_back_as_they_went_in(engine):
    rows = [
        call_row(
            started_at=DAY["start"] + timedelta(seconds=n), tags={"k": "v"}, flags=("usage.odd",), units={"s": 1.5}
        )
        for n in range(5)
    ]
    insert(engine, *rows)
    with engine.connect() as connection:
        assert recent(connection, limit=3) == rows[:1:-1]
