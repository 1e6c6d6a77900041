"""What becomes of a call: its row, its estimates, its lines."""

from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa

import estimator
from estimator.usage import Usage, UsageLine
from proxy.call import Closed
from proxy.journal import frame
from proxy.ledger.tables import facts_versions, usage_lines
from tests.recorder.bench import catch_up
from tests.records import closed, opened


def test_a_call_becomes_a_row_with_its_facts_and_its_estimates(bench):
    begun = opened(tags={"feature": "summary"}, user="u1", project="p1", key_id="k1")
    ended = closed(begun, flags=("usage.odd",))
    journal = bench.journal()
    journal.append(begun)
    journal.append(ended)
    catch_up(bench.recorder())
    (row,) = bench.rows()
    expected = estimator.estimate(ended.usage, "gpt-4o", provider="openai", zone="USA", at=row.started_at)
    assert expected.joules is not None
    assert expected.cost_usd is not None
    assert (row.id, row.operation_id, row.team, row.user, row.tags) == (
        begun.id,
        begun.operation_id,
        "search",
        "u1",
        {"feature": "summary"},
    )
    assert row.started_at.timestamp() * 1e6 == pytest.approx(begun.started_at_us, abs=0.5)
    assert (row.input_tokens, row.cached_input_tokens, row.output_tokens) == (100, 40, 50)
    assert (row.reasoning_tokens, row.cache_write_tokens, row.units) == (None, None, None)  # unknown, not 0
    assert (row.latency_ms, row.time_to_first_token_ms, row.overhead_us) == (1500, 251, 180)
    assert row.flags == ("usage.odd",)
    assert (row.joules_low, row.joules, row.joules_high) == (
        expected.joules.low,
        expected.joules.mid,
        expected.joules.high,
    )
    assert row.cost_usd == expected.cost_usd
    assert (row.tier, row.method, row.zone, row.price_id) == (
        expected.tier,
        "roofline",
        expected.zone,
        expected.price_id,
    )
    assert row.facts_version == expected.facts_version
    assert bench.heard == [row]
    with bench.engine.connect() as connection:
        assert connection.scalars(sa.select(facts_versions.c.facts_version)).all() == [row.facts_version]
    journal.close()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"usage": None, "usage_source": "absent", "reason": "the reply was cut off"}, "no usage"),
        ({"model": None, "opened": opened(model_requested=None)}, "no model named"),
        ({"model": "nobody/knows-this"}, "nobody/knows-this"),
        ({"opened": opened(zone="XYZ")}, "estimate failed: UnknownZoneError"),
    ],
    ids=["no usage", "no model", "unknown model", "unknown zone"],
)
def test_a_call_that_cannot_be_estimated_is_a_row_with_the_reason(bench, changes, reason):
    journal = bench.journal()
    journal.append(closed(**changes))
    journal.append(closed())
    recorder = bench.recorder()
    catch_up(recorder)
    without = next(row for row in bench.rows() if row.joules is None)
    assert len(bench.rows()) == 2
    assert without.tier == "unknown"
    assert (without.joules_low, without.grams_co2e, without.liters) == (None, None, None)
    assert reason in without.estimate_reason
    assert recorder.record_counts["unestimated"] == int(
        reason in ("no model named", "estimate failed: UnknownZoneError")
    )
    journal.close()


def test_closed_records_stand_alone(bench):
    """A refusal has no opening; it is a row all the same."""
    journal = bench.journal()
    refused = closed(opened(provider=None), outcome="rejected", status=401, usage=None, usage_source="absent")
    journal.append(refused)
    catch_up(bench.recorder())
    (row,) = bench.rows()
    assert (row.outcome, row.status, row.provider) == ("rejected", 401, None)
    assert isinstance(refused, Closed)
    journal.close()


def test_an_opening_written_twice_is_one_call(bench):
    begun = opened()
    bench.journals.mkdir()
    for number in (1, 2):
        (bench.journals / f"gate-1-1795000000000000-00000{number}.journal").write_bytes(frame(begun) * 2)
    recorder = bench.recorder()
    catch_up(recorder)
    assert bench.outcomes() == {begun.id: "interrupted"}
    assert (recorder.calls_in_flight, recorder.streams_open) == (0, 0)
    assert bench.segments() == []


def test_a_call_s_figures_include_those_of_its_lines(bench):
    plain = closed(usage=Usage(input_tokens=100, output_tokens=50), model="gpt-4o")
    advised = closed(
        usage=Usage(input_tokens=100, output_tokens=50),
        model="gpt-4o",
        lines=(
            UsageLine(kind="compaction", usage=Usage(input_tokens=90_000, output_tokens=900)),
            UsageLine(kind="advisor_message", model="gpt-4o-mini", usage=Usage(input_tokens=10, output_tokens=5)),
            UsageLine(kind="odd", model="nobody-knows-it", usage=Usage(input_tokens=10, output_tokens=5)),
        ),
    )
    known = msgspec.structs.replace(advised, opened=opened(), lines=advised.lines[:2])
    journal = bench.journal()
    for record in (plain, advised, known):
        journal.append(record.opened)
        journal.append(record)
    journal.close()
    bench.recorder().run_once()
    rows = {row.id: row for row in bench.rows()}
    alone, with_unknown, whole = (rows[each.opened.id] for each in (plain, advised, known))
    with bench.engine.connect() as connection:
        query = sa.select(usage_lines).where(usage_lines.c.call_id == known.opened.id)
        lines = connection.execute(query.order_by(usage_lines.c.number)).all()
    assert [each.kind for each in lines] == ["compaction", "advisor_message"]
    assert whole.cost_usd == alone.cost_usd + sum(each.cost_usd for each in lines)
    assert whole.joules == pytest.approx(alone.joules + sum(each.joules for each in lines))
    assert whole.input_tokens == 100
    assert whole.joules_low <= whole.joules - whole.joules_shared_down * 0.999
    assert with_unknown.cost_usd is None
    assert "odd: " in with_unknown.estimate_reason


def test_a_call_that_consumed_nothing_but_its_lines_is_their_sum(bench):
    """A batch's results: what each model answered is a line, the call itself states nothing."""
    usage = Usage(input_tokens=1000, output_tokens=500)
    results = closed(
        opened(model_requested=None),
        usage=None,
        usage_source="reported",
        model=None,
        lines=(
            UsageLine(kind="batch", model="gpt-4o", usage=usage),
            UsageLine(kind="batch", model="llama-3.1-8b-instruct", usage=usage),
        ),
    )
    journal = bench.journal()
    for record in (results.opened, results):
        journal.append(record)
    journal.close()
    bench.recorder().run_once()
    (row,) = bench.rows()
    with bench.engine.connect() as connection:
        lines = connection.execute(sa.select(usage_lines).order_by(usage_lines.c.number)).all()
    assert [each.tier for each in lines] == ["closed_model", "open_model"]
    assert (row.tier, row.input_tokens) == ("closed_model", None)
    assert row.joules == pytest.approx(sum(each.joules for each in lines))
    assert row.joules_low < row.joules < row.joules_high
    assert row.joules_shared_down == pytest.approx(row.joules - row.joules_low)
    assert row.grams_co2e == pytest.approx(sum(each.grams_co2e for each in lines))


def test_a_batch_is_estimated_as_the_calls_it_was(bench):
    alone = closed(usage=Usage(input_tokens=1000, cached_input_tokens=200, output_tokens=300))
    batch = closed(usage=Usage(input_tokens=1_000_007, cached_input_tokens=200_000, output_tokens=300_003), calls=1000)
    journal = bench.journal()
    for record in (alone, batch):
        journal.append(record.opened)
        journal.append(record)
    journal.close()
    bench.recorder().run_once()
    rows = {row.id: row for row in bench.rows()}
    one, many = rows[alone.opened.id], rows[batch.opened.id]
    assert many.joules == pytest.approx(1000 * one.joules)
    assert many.joules_high == pytest.approx(1000 * one.joules_high)
    exact = estimator.estimate(
        Usage(input_tokens=7, output_tokens=3, cached_input_tokens=0), "gpt-4o", provider="openai"
    )
    assert many.cost_usd == 1000 * one.cost_usd + exact.cost_usd
    assert many.input_tokens == 1_000_007
