from __future__ import annotations

import random
import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import StatementError

from proxy.ledger.sqltypes import Usd, UtcDateTime
from proxy.ledger.tables import call_rows, calls
from tests.databases import open_ledger
from tests.rows import call_row, insert

dollars = st.decimals(min_value=0, max_value=10_000, places=12) | st.decimals(
    min_value=0, max_value=Decimal("0.001"), places=12
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    engine = open_ledger(f"sqlite:///{tmp_path_factory.mktemp('types')}/ledger.db")
    yield engine
    engine.dispose()


def emptied(engine: sa.Engine) -> sa.Engine:
    with engine.begin() as connection:
        connection.execute(sa.delete(call_rows))
    return engine


@given(st.lists(dollars, max_size=20))
def test_dollars_come_back_and_add_up_to_the_last_digit(engine, amounts):
    insert(emptied(engine), call_row(cost_usd=None), *(call_row(cost_usd=amount) for amount in amounts))
    with engine.connect() as connection:
        stored = connection.scalars(sa.select(calls.c.cost_usd).where(calls.c.cost_usd.is_not(None))).all()
        total = connection.scalar(sa.select(sa.func.sum(calls.c.cost_usd)))
    assert sorted(stored) == sorted(amounts)
    assert total == (sum(amounts) if amounts else None)
    assert total is None or isinstance(total, Decimal)


def test_sums_hold_where_floats_do_not(engine):
    amounts = [Decimal("0.1")] * 10 + [Decimal("1000000")] + [Decimal("0.000000000001")] * 3
    random.Random(1).shuffle(amounts)
    insert(emptied(engine), *(call_row(cost_usd=amount, team=None) for amount in amounts))
    with engine.connect() as connection:
        exact = connection.scalar(sa.select(sa.func.sum(calls.c.cost_usd)))
        whole, empty, grouped = (
            connection.scalar(query)
            for query in (
                sa.select(sa.func.coalesce(sa.func.sum(calls.c.cost_usd), Decimal(0))),
                sa.select(sa.func.coalesce(sa.func.sum(calls.c.cost_usd), Decimal(0))).where(sa.false()),
                sa.select(sa.func.sum(calls.c.cost_usd)).group_by(calls.c.provider),
            )
        )
        text = connection.exec_driver_sql("SELECT cost_usd FROM calls ORDER BY cost_usd LIMIT 1").scalar()
        tokens = connection.scalar(sa.select(sa.func.sum(calls.c.input_tokens)))
    assert exact == whole == grouped == Decimal("1000001.000000000003")
    assert sum(map(float, amounts)) != exact
    assert empty == 0
    assert text == "0.000000000001"  # dollars also for who reads the file with another tool
    assert tokens == 100 * len(amounts)  # other sums are left as they are


def test_a_sum_too_large_for_sqlite_is_an_error_not_a_wrong_figure(engine):
    insert(emptied(engine), *(call_row(cost_usd=Decimal(5_000_000)) for _ in range(2)))
    with engine.connect() as connection, pytest.raises(sa.exc.OperationalError, match="integer overflow"):
        connection.scalar(sa.select(sa.func.sum(calls.c.cost_usd)))


@given(st.integers(-(10**15), 10**15), st.integers(-840, 840))
def test_times_come_back_as_the_same_moment_in_utc(engine, microseconds, offset_minutes):
    zone = timezone(timedelta(minutes=offset_minutes))
    at = datetime(2026, 11, 23, tzinfo=zone) + timedelta(microseconds=microseconds)
    insert(emptied(engine), call_row(started_at=at))
    with engine.connect() as connection:
        found = connection.scalar(sa.select(calls.c.started_at))
        earlier = connection.scalar(sa.select(sa.func.count()).where(calls.c.started_at < at))
        not_later = connection.scalar(sa.select(sa.func.count()).where(calls.c.started_at <= at))
    assert found == at
    assert found.utcoffset() == timedelta(0)
    assert (earlier, not_later) == (0, 1)


def test_a_time_without_a_zone_is_refused(engine):
    with pytest.raises(StatementError, match="no time zone"):
        insert(engine, call_row(started_at=datetime(2026, 1, 1)))  # noqa: DTZ001


def test_json_columns_keep_null_apart_from_empty(engine):
    insert(emptied(engine), call_row(tags=None), call_row(tags={"a": "ü"}, flags=("x", "y")))
    with engine.connect() as connection:
        raw = connection.exec_driver_sql("SELECT tags, flags FROM calls ORDER BY id").all()
    assert raw == [(None, None), ('{"a":"ü"}', '["x","y"]')]


def test_postgresql_gets_its_own_exact_types():
    dialect = postgresql.dialect()
    kinds = {
        name: calls.c[name].type.dialect_impl(dialect).compile(dialect) for name in ("cost_usd", "started_at", "tags")
    }
    assert kinds == {"cost_usd": "NUMERIC(24, 12)", "started_at": "TIMESTAMP WITH TIME ZONE", "tags": "JSONB"}
    assert str(sa.select(sa.func.sum(calls.c.cost_usd)).compile(dialect=dialect)).startswith(
        "SELECT sum(calls.cost_usd)"
    )
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert UtcDateTime().process_bind_param(at, dialect) == at
    assert Usd().process_bind_param(Decimal("0.5"), dialect) == Decimal("0.5")


def test_the_files_of_the_ledger_are_plain_sqlite(engine):
    assert engine.url.database is not None
    insert(emptied(engine), call_row(cost_usd=Decimal("0.25")), call_row(cost_usd=Decimal("0.5")))
    with sqlite3.connect(engine.url.database) as connection:
        trillionths = connection.execute(
            "SELECT sum(CAST(replace(cost_usd, '.', '') AS INTEGER)) FROM calls"
        ).fetchone()
        day = connection.execute("SELECT date(started_at) FROM calls LIMIT 1").fetchone()
    connection.close()
    assert trillionths == (750_000_000_000,)
    assert day == ("2026-11-23",)
