"""Stored calls estimated anew: exactly what the recorder would write today, sums included, however often it stops."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import pytest
import sqlalchemy as sa

from estimator import Intensity
from proxy.errors import LedgerError
from proxy.estimating import ConfiguredEstimator
from proxy.ledger.read import splits
from proxy.ledger.recomputing import Looked, Recomputing, look, metered
from proxy.ledger.retention import delete
from proxy.ledger.row import Composed, composed
from proxy.ledger.tables import (
    ESTIMATE,
    call_rows,
    calls,
    estimate_generations,
    former_estimates,
)
from proxy.ledger.write import Beside, Ledger
from proxy.recomputation import restating_by, settings
from tests.ledger.recomputing import (
    END,
    NOW,
    START,
    SUMS,
    by_id,
    configured,
    everything,
    lines_stored,
    of_old,
    put,
    run,
    some_calls,
    stored,
    stretch_of,
    sums_are_those_of_the_rows,
)
from tests.ledger.test_rollups import same
from tests.records import AT_US, closed, opened
from tests.rows import UNMETERED, call_row, insert


def test_what_was_recorded_under_the_same_facts_is_found_again_to_the_digit(engine, tmp_path):
    config = configured(tmp_path)
    put(engine, some_calls(config, 400))
    before = everything(engine)
    generation = run(engine, config)
    assert generation.changed == 0
    assert 200 < generation.looked_at < 400  # not those without usage
    assert everything(engine) == before


def test_rows_lines_and_sums_become_what_would_be_recorded_today(engine, tmp_path):
    config = configured(tmp_path)
    today = some_calls(config, 400)
    old = [of_old(each) for each in today]
    put(engine, old[:300])
    insert(engine, *(each.row for each in old[300:] if not each.lines))  # their sums are not made yet
    kept = {each.row.id for each in old[:300]} | {each.row.id for each in old[300:] if not each.lines}
    today = [each for each in today if each.row.id in kept]
    generation = run(engine, config)
    assert generation.number == 1
    pairs = zip(by_pair(today), by_pair(old, kept), strict=True)
    assert generation.changed == sum(new != old for new, old in pairs)
    assert stored(engine) == by_id(today)
    assert lines_stored(engine) == sorted((line for each in today for line in each.lines), key=lambda x: x.call_id)
    sums_are_those_of_the_rows(engine)
    ledger = Ledger(engine)
    while ledger.roll_up():
        pass
    sums_are_those_of_the_rows(engine)
    before = everything(engine)
    assert run(engine, config).changed == 0
    assert everything(engine) == before


def by_pair(made: list[Composed], kept: set[str] | None = None) -> list[Composed]:
    return sorted((e for e in made if kept is None or e.row.id in kept), key=lambda each: each.row.id)


def test_former_values_are_kept_by_generation(engine, tmp_path):
    config = configured(tmp_path)
    today = [each for each in some_calls(config, 60) if each.row.usage_source != "absent"]
    old = [of_old(each) for each in today]
    put(engine, old)
    assert run(engine, config).number == 1
    prices = tmp_path / "prices.toml"
    rates = "rates = { input = 1, output = 2 }"
    prices.write_text(f'name = "own"\n[[price]]\nprovider = "openai"\nmodel = "gpt-4o"\n{rates}\n')
    dearer = configured(tmp_path, f'[estimate]\nprice_list = "{prices}"\n')
    assert run(engine, dearer).number == 2
    own = {each.row.id: each.row for each in old}
    first = {each.row.id: each.row for each in today}
    with engine.connect() as connection:
        former = connection.execute(sa.select(former_estimates).where(former_estimates.c.number == 0)).mappings().all()
        current = dict(connection.execute(sa.select(calls.c.id, calls.c.generation)).all())
        generations = connection.execute(sa.select(estimate_generations)).all()
    assert [(row.generation, row.finished, row.changed) for row in generations] == [
        (number, True, sum(each["generation"] == number for each in former)) for number in (1, 2)
    ]
    assert {each["generation"] for each in former} == {1, 2}
    for each in former:
        expected = own if each["generation"] == 1 else first
        assert {name: each[name] for name in ESTIMATE} == {
            name: getattr(expected[each["call_id"]], name) for name in ESTIMATE
        }
    latest = {each["call_id"]: each["generation"] for each in sorted(former, key=lambda each: each["generation"])}
    assert {name: number for name, number in current.items() if number is not None} == latest
    assert {row.cost_usd for row in stored(engine) if row.model == "gpt-4o"} != {
        row.cost_usd for row in first.values() if row.model == "gpt-4o"
    }


def test_it_goes_on_where_it_was_broken_off(engine, tmp_path):
    config = configured(tmp_path)
    today = some_calls(config, 300)
    put(engine, [of_old(each) for each in today])
    stopped = run(engine, config, stop_after=2)
    assert stopped.looked_at == 100
    sums_are_those_of_the_rows(engine)
    assert Recomputing(engine, stretch_of(config)).begin(NOW) == stopped
    ended = run(engine, config)
    assert (ended.number, ended.looked_at) == (1, metered(engine, stretch_of(config)))
    assert stored(engine) == by_id(today)
    sums_are_those_of_the_rows(engine)


def test_under_other_settings_it_begins_anew(engine, tmp_path):
    config = configured(tmp_path)
    put(engine, [of_old(each) for each in some_calls(config, 150)])
    assert run(engine, config, stop_after=1).number == 1
    moved = configured(tmp_path, '[[provider]]\nname = "groq"\nzone = "SWE"\n')
    assert settings(moved) != settings(config)
    ended = run(engine, moved)
    assert (ended.number, ended.looked_at) == (2, metered(engine, stretch_of(moved)))
    groq = [row for row in stored(engine) if row.provider == "groq" and row.joules is not None]
    assert {row.zone for row in groq} == {"SWE"}
    sums_are_those_of_the_rows(engine)
    with engine.connect() as connection:
        ends = connection.execute(sa.select(estimate_generations.c.finished, estimate_generations.c.ended_at)).all()
    assert [finished for finished, _ in ends] == [False, True]
    assert None not in [at for _, at in ends]


def test_of_two_at_work_one_stops_and_nothing_is_counted_twice(engine, tmp_path):
    config = configured(tmp_path)
    today = some_calls(config, 200)
    put(engine, [of_old(each) for each in today])
    stretch = stretch_of(config)
    one, other = Recomputing(engine, stretch), Recomputing(engine, stretch)
    ones, others = one.begin(NOW), other.begin(NOW)
    assert ones == others
    first = next(look(engine, stretch, restating_by(config), at_once=50))
    one.write(ones, first, NOW)
    with pytest.raises(LedgerError, match="another `joulegate recompute`"):
        other.write(others, first, NOW)
    later = Recomputing(engine, stretch_of(config, end=END - timedelta(hours=1)))
    later.begin(NOW)
    with pytest.raises(LedgerError, match="another `joulegate recompute`"):
        one.write(ones, first, NOW)
    run(engine, config)
    assert stored(engine) == by_id(today)
    sums_are_those_of_the_rows(engine)


def test_a_row_that_has_changed_or_gone_since_it_was_read_is_left_alone(engine, tmp_path):
    config = configured(tmp_path)
    today = some_calls(config, 100)
    put(engine, [of_old(each) for each in today])
    stretch = stretch_of(config)
    recomputing = Recomputing(engine, stretch)
    generation = recomputing.begin(NOW)
    looked = next(look(engine, stretch, restating_by(config)))
    midnight = START + timedelta(days=3)
    for _ in delete(engine, midnight, now=NOW, rest=lambda _: None):
        pass
    changed = next(each.before.id for each in looked if each.changes and each.before.started_at > midnight)
    with engine.begin() as connection:
        connection.execute(sa.update(call_rows).where(call_rows.c.id == changed).values(generation=0))
    done = recomputing.write(generation, looked, NOW)
    there = {row.id: row for row in stored(engine)}
    assert 0 < len(there) < 100
    assert done.changed == sum(each.changes and each.before.id in there for each in looked) - 1
    before = {each.before.id: each.before for each in looked}
    assert there[changed] == before[changed]
    same(engine, ("team", "model"), midnight, END, ZoneInfo("UTC"))
    with engine.connect() as connection:
        assert set(connection.scalars(sa.select(former_estimates.c.call_id))) <= there.keys()


def test_a_sum_whose_last_known_figure_goes_is_unknown_again(engine, tmp_path):
    config = configured(tmp_path)
    today = [each for each in some_calls(config, 120) if each.row.model == "no-such-model" and not each.lines]
    assert len(today) > 5
    put(engine, [Composed(msgspec.structs.replace(each.row, cost_usd=Decimal("0.5")), (), False) for each in today])
    run(engine, config, at_once=3)
    sums_are_those_of_the_rows(engine)
    with engine.connect() as connection:
        for table in SUMS:
            assert set(connection.scalars(sa.select(table.c.cost_usd))) == {None}


def test_batches_of_unknown_size_stay_as_they_are(engine, tmp_path):
    config = configured(tmp_path)
    row = call_row(surface="openai.batches", started_at=START, summed_calls=None)
    unmetered = call_row(**UNMETERED, started_at=START)
    insert(engine, row, unmetered)
    (looked,) = look(engine, stretch_of(config), restating_by(config))
    assert looked == [Looked(row, (), None, None, ())]
    assert not looked[0].changes
    assert run(engine, config).changed == 0


def test_the_hour_of_the_grid_stays_that_of_the_row(engine, tmp_path):
    text = '[[grid]]\nsource = "carbon_intensity_uk"\nzones = ["GBR"]\n[[provider]]\nname = "groq"\nzone = "GBR"\n'
    config = configured(tmp_path, text)

    class Hours:
        def at(self, zone: str, at: datetime) -> Intensity:
            per_kwh = 57.3 + at.hour / 7
            return Intensity(
                zone=zone, grams_per_kwh=per_kwh, boundary="direct", start=at, end=at, source="carbon_intensity_uk"
            )

    estimate = ConfiguredEstimator(config, Hours())
    begun = [
        opened(
            provider="groq", model_requested="llama-3.1-8b-instant", zone="GBR", started_at_us=AT_US + n * 3_600_000_000
        )
        for n in range(20)
    ]
    made = [composed(closed(each, model="llama-3.1-8b-instant"), estimate, estimate.known) for each in begun]
    assert {each.row.grid_source for each in made} == {"carbon_intensity_uk"}
    put(engine, [Composed(msgspec.structs.replace(each.row, cost_usd=Decimal(9)), (), False) for each in made])
    assert run(engine, config).changed == 20
    for row, then in zip(stored(engine), by_id(made), strict=True):
        assert row.grams_co2e == pytest.approx(then.grams_co2e, rel=1e-11)
        assert msgspec.structs.replace(row, grams_co2e=0) == msgspec.structs.replace(
            then, **{name: getattr(row, name) for name in ESTIMATE if name.startswith("grams")} | {"grams_co2e": 0}
        )
    assert run(engine, config).changed == 0  # not even in the last digit
    yearly = configured(tmp_path, '[[provider]]\nname = "groq"\nzone = "GBR"\n')
    run(engine, yearly)
    assert {row.grid_source for row in stored(engine)} == {"owid"}


def test_the_recorder_goes_on_meanwhile(engine, tmp_path):
    config = configured(tmp_path)
    today = some_calls(config, 600)
    put(engine, [of_old(each) for each in today[:300]])
    problems: list[BaseException] = []

    def record() -> None:
        ledger = Ledger(engine)
        try:
            for start in range(300, 600, 10):
                some = today[start : start + 10]
                beside = {each.row.id: Beside(lines=each.lines) for each in some if each.lines}
                ledger.commit([each.row for each in some], journal="k", positions={}, at=NOW, beside=beside)
        except BaseException as error:
            problems.append(error)

    recording = threading.Thread(target=record)
    recording.start()
    run(engine, config, at_once=20)
    recording.join()
    assert problems == []
    assert stored(engine) == by_id(today)
    sums_are_those_of_the_rows(engine)


def test_what_a_report_says_is_what_it_would_have_said(engine, tmp_path):
    config = configured(tmp_path)
    today = some_calls(config, 200)
    put(engine, [of_old(each) for each in today])
    run(engine, config)
    with engine.connect() as connection:
        ((total,),) = splits(connection, ((),), start=START, end=END, zone=ZoneInfo("UTC"))
    costs = [each.row.cost_usd for each in today if each.row.cost_usd is not None]
    assert total.cost_usd == sum(costs)
    assert total.joules == pytest.approx(sum(each.row.joules for each in today if each.row.joules is not None))
