"""Each revision on a ledger that the releases before it filled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
import sqlalchemy as sa
from alembic import command

from proxy.ledger.engine import WRITE, open_engine
from proxy.ledger.file import make_file, sqlite_file
from proxy.ledger.read import recent, totals
from proxy.ledger.revision import alembic_config, compatibility, migrate, require_head
from proxy.ledger.rollup_tables import finer_from, four_hours_from
from proxy.ledger.tables import CallRow, calls
from proxy.ledger.write import Ledger
from tests.rows import PLAIN, UNESTIMATED, UNMETERED, UNPRICED, call_row, insert

ROWS = 300
ZONES = ("USA", None, "aws:eu-north-1", "gcp:nowhere-9", "SWE", "azure:westeurope")
OLD = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0009")
ROW_COLUMNS = frozenset(CallRow.__struct_fields__)
ALWAYS = {
    "start": datetime(2000, 1, 1, tzinfo=UTC),
    "end": datetime(2100, 1, 1, tzinfo=UTC),
    "zone": ZoneInfo("UTC"),
}


def upgraded_to(url: str, revision: str) -> sa.Engine:
    engine = open_engine(url)
    file = sqlite_file(engine)
    if file is not None:
        make_file(file)
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        command.upgrade(alembic_config(connection), revision)
    return engine


def fill(engine: sa.Engine, *rows: CallRow) -> list[CallRow]:
    """Put rows in as an old release did, with the columns it had; gives them as they are to be found."""
    there = [each["name"] for each in sa.inspect(engine).get_columns("calls") if each["name"] in ROW_COLUMNS]
    table = sa.table("calls", *(sa.column(name, calls.c[name].type) for name in there))
    absent = dict.fromkeys(set(CallRow.__struct_fields__) - set(there))
    if engine.dialect.name == "postgresql" and revision_of(engine) >= "0004":
        with engine.begin() as connection:
            for year, month in sorted({(row.started_at.year, row.started_at.month) for row in rows}):
                ends = f"FROM ('{year}-{month}-01Z') TO ('{year + month // 12}-{month % 12 + 1}-01Z')"
                connection.exec_driver_sql(f"CREATE TABLE calls_{year}_{month:02} PARTITION OF calls FOR VALUES {ends}")
    kept = [msgspec.structs.replace(row, **absent) for row in rows]
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        connection.execute(sa.insert(table), [{name: getattr(row, name) for name in there} for row in kept])
    return kept


def revision_of(engine: sa.Engine) -> str:
    with engine.connect() as connection:
        return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar())


def rows_over(days: int) -> list[CallRow]:
    """Rows of all kinds, the latest last."""
    begin = PLAIN.started_at - timedelta(days=days)
    again = {"operation_id": "operation-again", "attempt": 2, "units": {"searches": 2.0}, "attributes": {"sdk": "x"}}
    kinds = (
        again,
        {"team": "ads", "tags": {"env": "prod"}},
        UNPRICED,
        UNESTIMATED,
        UNMETERED,
        {"flags": ("usage.odd",)},
    )
    return [
        call_row(**kinds[n % len(kinds)] | {"started_at": begin + timedelta(days=days) * n / ROWS}) for n in range(ROWS)
    ]


@pytest.mark.parametrize("rolled_up", [False, True], ids=["at once", "when its sums are made"])
@pytest.mark.parametrize("revision", OLD)
def test_what_an_old_release_wrote_is_all_there_after_the_migration(empty_url, revision, rolled_up):
    engine = upgraded_to(empty_url, revision)
    kept = fill(engine, *rows_over(days=100))
    migrate(engine)
    require_head(engine)
    ledger = Ledger(engine)
    if rolled_up:
        while ledger.roll_up(limit=70):
            pass
    with engine.connect() as connection:
        assert recent(connection, limit=ROWS + 1) == kept[::-1]
        (sums,) = totals(connection, **ALWAYS)
        teams = totals(connection, by=("team",), **ALWAYS)
    assert sums.calls == ROWS
    assert sums.cost_usd == sum(row.cost_usd for row in kept if row.cost_usd is not None)
    assert sums.output_tokens == sum(row.output_tokens or 0 for row in kept)
    assert {group.key[0]: group.calls for group in teams} == {"ads": 50, "search": 250}
    new = call_row()
    insert(engine, new)  # what this release writes fits in
    with engine.connect() as connection:
        assert new in recent(connection, limit=2)
    engine.dispose()


def test_0017_makes_sums_finer_from_a_day_on_that_the_old_release_does_not_see(empty_url):
    engine = upgraded_to(empty_url, "0016")
    migrate(engine)
    with engine.connect() as connection:
        assert finer_from(connection) == 0  # there was nothing yet
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        command.downgrade(alembic_config(connection), "0016")
        connection.exec_driver_sql("INSERT INTO model_keys (key, team) VALUES (1, 'search')")
    migrate(engine)
    with engine.connect() as connection:
        day, rest = divmod(finer_from(connection), 96)
    assert rest == 0
    assert 1 <= day - datetime.now(UTC).timestamp() / 86_400 <= 2
    engine.dispose()


@pytest.mark.parametrize("kept", ["rows", "sums"])
def test_0020_keeps_sums_of_four_hours_from_a_day_on_that_the_old_release_does_not_see(empty_url, kept):
    engine = upgraded_to(empty_url, "0019")
    migrate(engine)
    with engine.connect() as connection:
        assert four_hours_from(connection) == 0  # there was nothing yet
    Ledger(engine).commit([call_row()], journal="j", positions={}, at=datetime.now(UTC))
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        command.downgrade(alembic_config(connection), "0019")
        assert connection.scalars(sa.select(compatibility.c.oldest)).all() == ["0019"]
        connection.exec_driver_sql("DELETE FROM calls_by_day" if kept == "rows" else "DELETE FROM call_rows")
    migrate(engine)
    with engine.connect() as connection:
        day, rest = divmod(four_hours_from(connection), 96)
        assert connection.scalars(sa.select(compatibility.c.oldest)).all() == ["0020"]
    assert rest == 0
    assert 1 <= day - datetime.now(UTC).timestamp() / 86_400 <= 2
    engine.dispose()


def test_0002_turns_regions_into_zones(empty_url):
    engine = upgraded_to(empty_url, "0001")
    fill(engine, *(call_row(zone=ZONES[n % len(ZONES)]) for n in range(ROWS)))
    migrate(engine)
    with engine.connect() as connection:
        zones = dict(connection.exec_driver_sql("SELECT zone, count(*) FROM calls GROUP BY zone").all())
    assert zones == {"USA": 50, "SWE": 100, "NLD": 50, None: 100}
    engine.dispose()


def test_the_way_back_to_the_first_release_loses_no_row(empty_url):
    engine = upgraded_to(empty_url, "0003")
    kept = fill(engine, *rows_over(days=10))
    migrate(engine)
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        command.downgrade(alembic_config(connection), "0001")
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT id, joules FROM calls ORDER BY id").all()
    assert found == [(row.id, row.joules) for row in sorted(kept, key=lambda row: row.id)]
    engine.dispose()
