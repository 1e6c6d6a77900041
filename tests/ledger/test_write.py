from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa

from proxy.errors import LedgerError
from proxy.ledger.engine import open_engine
from proxy.ledger.tables import (
    CallRow,
    LineRow,
    call_columns,
    calls,
    counted_usage,
    facts_versions,
    rows_of,
    usage_lines,
)
from proxy.ledger.write import Beside, Ledger, Position
from tests.databases import forbid_updates
from tests.rows import PLAIN, call_row

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def ledger(engine):
    return Ledger(engine)


def stored(engine: sa.Engine) -> list[CallRow]:
    with engine.connect() as connection:
        return rows_of(connection.execute(sa.select(*call_columns).order_by(calls.c.id)))


def put(ledger: Ledger, *rows: CallRow, positions: dict[str, Position] | None = None):
    return ledger.commit(rows, journal="j1", positions=positions or {}, at=NOW)


def test_rows_come_back_as_they_were_given(engine, ledger):
    full = call_row(
        project="p",
        user="u",
        key_id="k",
        tags={"team": "sö"},
        flags=("a", "b"),
        units={"searches": 2.0},
        cache_write_tokens=0,
        cost_usd=Decimal("0.000000000001"),
        reason="'; DROP TABLE calls; --",
        stream=False,
    )
    bare = call_row(**{name: None for name in CallRow.__struct_fields__ if calls.c[name].nullable})
    committed = put(ledger, full, bare)
    assert committed.new == (full, bare)
    assert stored(engine) == [full, bare]


def test_only_rows_that_were_not_there_are_new(engine, ledger):
    first, second, third = call_row(), call_row(), call_row()
    put(ledger, first)
    changed = call_row(id=first.id, outcome="error")
    committed = put(ledger, second, changed, third, third)
    assert committed.new == (second, third)
    assert committed.refused == ()
    assert stored(engine) == [first, second, third]


def test_a_bad_row_is_refused_with_its_reason_and_the_others_stay(engine, ledger):
    good = [call_row() for _ in range(3)]
    too_large = call_row(output_tokens=2**63)
    nameless, unwritable = call_row(surface=None), call_row(team="half a character: \ud83d")
    committed = put(ledger, good[0], too_large, unwritable, good[1], nameless, good[2])
    assert committed.new == tuple(good)
    sqlite = engine.dialect.name == "sqlite"
    assert {row.id: reason.split(":")[0] for row, reason in committed.refused} == {
        too_large.id: "OverflowError" if sqlite else "DataError",
        nameless.id: "IntegrityError",
        unwritable.id: "UnicodeEncodeError",
    }
    assert stored(engine) == good


def test_a_number_is_kept_whole_or_its_row_refused(engine, ledger):
    largest = call_row(attempt=2**15 - 1, output_tokens=2**63 - 1, flops=1.7e308, cost_usd=Decimal("999999999999.9"))
    beyond = call_row(attempt=2**15)
    smallest = call_row(attempt=-(2**15), output_tokens=-(2**63), flops=5e-324, cost_usd=Decimal("-1e-12"))
    committed = put(ledger, largest, beyond, smallest)
    kept = [largest, smallest] if engine.dialect.name == "postgresql" else [largest, beyond, smallest]
    assert stored(engine) == list(committed.new) == kept


def test_positions_are_written_with_the_rows_or_not_at_all(engine, ledger):
    put(ledger, call_row(), positions={"s1": Position(resolved_to=0, read_to=10)})
    put(ledger, positions={"s1": Position(resolved_to=5, read_to=20), "s2": Position(resolved_to=1, read_to=1)})
    expected = {"s1": Position(resolved_to=5, read_to=20), "s2": Position(resolved_to=1, read_to=1)}
    assert ledger.positions("j1") == expected
    assert ledger.positions("another machine's") == {}
    forbid_updates(engine, "journal_positions")
    with pytest.raises(LedgerError, match="no"):
        put(ledger, call_row(), positions={"s1": Position(resolved_to=30, read_to=30)})
    assert len(stored(engine)) == 1
    assert ledger.positions("j1") == expected
    ledger.forget("j1", ["s2", "never there"])
    assert ledger.positions("j1") == {"s1": expected["s1"]}


def test_facts_versions_are_noted_when_first_used(engine, ledger):
    put(ledger, call_row(facts_version="v1"), call_row(facts_version=None))
    later = datetime(2026, 12, 1, tzinfo=UTC)
    again = Ledger(engine)  # as after a restart
    again.commit([call_row(facts_version="v1"), call_row(facts_version="v2")], journal="j1", positions={}, at=later)
    with engine.connect() as connection:
        found = connection.execute(sa.select(facts_versions).order_by(facts_versions.c.facts_version)).all()
    assert [(row.facts_version, row.first_used_at) for row in found] == [("v1", NOW), ("v2", later)]


def test_known_calls(ledger):
    row = call_row()
    put(ledger, row)
    assert ledger.known([row.id, "unknown"]) == {row.id}
    assert ledger.known([]) == set()


def test_a_database_that_is_away_is_one_kind_of_error(engine, ledger):
    row = call_row()
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE call_rows RENAME TO elsewhere")
    for act in (lambda: put(ledger, row), lambda: ledger.known([row.id])):
        with pytest.raises(LedgerError, match="call_rows"):
            act()


def test_a_database_that_stays_locked_is_away(tmp_path, sqlite_engine):
    engine, ledger = sqlite_engine, Ledger(sqlite_engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=1")
        connection.commit()
    other = open_engine(f"sqlite:///{tmp_path}/ledger.db")
    with other.connect() as blocker:
        blocker.exec_driver_sql("DELETE FROM call_rows")
        with pytest.raises(LedgerError, match="locked"):
            put(ledger, call_row())
        blocker.rollback()
    assert len(put(ledger, call_row()).new) == 1
    other.dispose()


def test_a_durable_commit_waits_for_the_disk_and_an_ordinary_one_does_not(sqlite_engine):
    engine, ledger = sqlite_engine, Ledger(sqlite_engine)
    heard: list[str] = []
    with engine.connect() as connection:
        connection.connection.driver_connection.set_trace_callback(heard.append)
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()
    put(ledger, call_row())
    assert not any("synchronous=" in statement for statement in heard)
    heard.clear()
    ledger.commit((), journal="j1", positions={"s1": Position(resolved_to=1, read_to=1)}, at=NOW, durable=True)
    kept = [statement for statement in heard if statement.startswith(("PRAGMA", "BEGIN", "COMMIT", "INSERT"))]
    assert kept[0] == "PRAGMA synchronous=FULL"
    assert kept[1] == "BEGIN IMMEDIATE"
    assert "journal_positions" in kept[2]
    assert kept[3:] == ["COMMIT", "PRAGMA synchronous=NORMAL"]
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE journal_positions RENAME TO elsewhere")
    with pytest.raises(LedgerError):
        ledger.commit((), journal="j1", positions={"s1": Position(resolved_to=2, read_to=2)}, at=NOW, durable=True)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == synchronous == 1


def test_the_plain_row_of_the_tests_is_a_good_row(ledger):
    assert put(ledger, PLAIN).new == (PLAIN,)


def line(call_id: str, number: int = 1) -> LineRow:
    known = {name: getattr(PLAIN, name) for name in LineRow.__struct_fields__ if hasattr(PLAIN, name)}
    return LineRow(**known | {"call_id": call_id, "number": number, "kind": "compaction", "units": {"a": 1.0}})


def test_lines_stand_beside_their_call(engine, ledger):
    row = call_row()
    for _ in range(2):  # replayed
        beside = {row.id: Beside(lines=(line(row.id), line(row.id, 2)))}
        ledger.commit([row], journal="j", positions={}, at=NOW, beside=beside)
    with engine.connect() as connection:
        found = connection.execute(sa.select(usage_lines).order_by(usage_lines.c.number)).mappings().all()
    assert [LineRow(**each) for each in found] == [line(row.id), line(row.id, 2)]


def test_a_usage_counts_on_the_first_row_that_shows_it(engine, ledger):
    first, second, other, again = (call_row(provider=provider) for provider in ("openai", "openai", "azure", "openai"))
    views = (second, other, again)
    beside = {
        row.id: Beside(counted_as="resp_1", lines=(line(row.id),), shown_again=row in views) for row in (first, *views)
    }
    ledger.commit([first, second, other], journal="j", positions={}, at=NOW, beside=beside)
    committed = Ledger(engine).commit([again, first], journal="j", positions={}, at=NOW, beside=beside)
    assert [row.usage_source for row in committed.new] == ["absent"]
    counted = {row.id: row.input_tokens for row in stored(engine)}
    assert counted == {first.id: 100, second.id: None, other.id: 100, again.id: None}
    blank = next(row for row in stored(engine) if row.id == again.id)
    assert (blank.reason, blank.tier, blank.cost_usd, blank.joules) == ("usage.counted_before", "unknown", None, None)
    assert (blank.provider_request_id, blank.latency_ms) == (again.provider_request_id, again.latency_ms)
    with engine.connect() as connection:
        owners = set(map(tuple, connection.execute(sa.select(counted_usage.c.provider, counted_usage.c.call_id))))
        lines = set(connection.scalars(sa.select(usage_lines.c.call_id)))
    assert owners == {("openai", first.id), ("azure", other.id)}
    assert lines == {first.id, other.id}


def test_a_call_that_generates_counts_whatever_name_its_provider_gives_it(engine, ledger):
    rows = [call_row(), call_row()]
    beside = {row.id: Beside(counted_as="resp_1") for row in rows}
    ledger.commit(rows, journal="j", positions={}, at=NOW, beside=beside)
    assert [row.input_tokens for row in stored(engine)] == [100, 100]
