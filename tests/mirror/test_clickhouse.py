"""The mirror against the real engine of ClickHouse, in this process: same sums, nothing lost, nothing twice."""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import msgspec
import pytest
import sqlalchemy as sa

from proxy.errors import LedgerError
from proxy.lag import Lag
from proxy.ledger.engine import WRITE
from proxy.ledger.read import DIMENSIONS, recent, splits
from proxy.ledger.tables import call_columns, call_rows, usage_lines
from proxy.ledger.write import Beside, Ledger
from proxy.mirror.clickhouse import ClickHouse, open_mirror
from proxy.mirror.comparing import differences
from proxy.mirror.mirror import Mirror, OtherMirrorError
from tests.commands.typed import typed
from tests.ledger.test_rollups import figures, nearly, random_rows
from tests.ledger.test_write import NOW, line
from tests.rows import call_row
from tests.service.running import service

pytestmark = pytest.mark.heavy

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
# ClickHouse's engine has one path in a process, so each test gets a database of its own.
ENGINE = "clickhousedb:///{}?interface=chdb"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def clickhouse():
    engine = sa.create_engine(ENGINE.format("default"))
    with engine.connect() as connection:  # while one is open, what the engine holds stays
        yield connection
    engine.dispose()


@pytest.fixture
def mirror_url(clickhouse):
    name = f"mirror_{next(_numbers)}"
    clickhouse.exec_driver_sql(f"CREATE DATABASE {name}")
    return ENGINE.format(name)


@pytest.fixture
def other(mirror_url):
    engine = open_mirror(mirror_url)
    yield engine
    engine.dispose()


@pytest.fixture
def mirror(engine, other):
    return Mirror(engine, ClickHouse(other))


def write(engine, *rows, beside=None) -> None:
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOW, beside=beside or {})


def held(engine: sa.Engine, what: str = "count()", table: str = "calls"):
    with engine.connect() as connection:
        return connection.exec_driver_sql(f"SELECT {what} FROM {table}").scalar()


def same_reports(engine: sa.Engine, other: sa.Engine, *, by: tuple[str, ...], **asked) -> int:
    """Compare what the ledger and the mirror say to the very same question; gives how many groups there were."""
    answers = []
    for each in (engine, other):
        with each.connect() as connection:
            groups, (total,) = splits(connection, (by, ()), **asked)
            answers.append(({group.key: group for group in groups}, total))
    (left, one), (right, another) = answers
    assert left.keys() == right.keys(), (by, asked)
    for key, group in left.items():
        assert figures(group) == nearly(right[key]), (by, key, asked)
    assert figures(one) == nearly(another)
    assert isinstance(another.cost_usd, Decimal)
    return len(left)


def test_reports_of_the_mirror_are_those_of_the_ledger(engine, other, mirror):
    draw = random.Random(11)
    write(engine, *random_rows(draw, 600, AT, 4))
    assert mirror.catch_up().calls == 600
    period = {"start": AT - timedelta(days=1), "end": AT + timedelta(days=9)}
    utc = ZoneInfo("UTC")
    assert same_reports(engine, other, by=tuple(DIMENSIONS), **period, zone=utc) > 500
    assert same_reports(engine, other, by=("team", "model", "day"), **period, zone=ZoneInfo("Asia/Kathmandu")) > 30
    odd = {"start": AT + timedelta(hours=7, microseconds=123_457), "end": AT + timedelta(days=2, microseconds=1)}
    same_reports(engine, other, by=("provider", "hour"), **odd, zone=utc)
    assert differences(engine, other) == []


def test_every_value_of_a_row_comes_through(engine, other, mirror):
    full = call_row(
        project="p",
        user="u",
        tags={"team": "sö"},
        flags=("a", "b"),
        units={"searches": 2.0},
        cost_usd=Decimal("999999.000000000001"),
        reason="'; DROP TABLE calls; -- \\ \t%s",
        stream=False,
        started_at=AT + timedelta(microseconds=1),
    )
    bare = call_row(**{each.name: None for each in call_columns if each.nullable})
    write(engine, full, bare, beside={full.id: Beside(lines=(line(full.id), line(full.id, 2)))})
    mirror.catch_up()
    with other.connect() as connection:
        found = recent(connection, limit=9)
        lines = connection.execute(sa.select(usage_lines).order_by(usage_lines.c.number)).mappings().all()
    assert found == [full, bare]
    assert [type(line(full.id))(**each) for each in lines] == [line(full.id), line(full.id, 2)]


def test_a_changed_estimate_replaces_the_one_before(engine, other, mirror):
    rows = [call_row(started_at=AT + timedelta(minutes=each)) for each in range(30)]
    write(engine, *rows)
    mirror.catch_up()
    # As re-estimating does: the rows and their sums change together.
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        for table in ("call_rows", "calls_by_quarter", "calls_by_day"):
            connection.exec_driver_sql(f"UPDATE {table} SET joules = joules * 2")
    done = Mirror(engine, ClickHouse(other)).catch_up()
    assert (done.calls, done.quarters) == (30, 2)
    assert held(other, "sum(joules)") == pytest.approx(30 * 800.0)
    assert held(other) == 30
    assert held(other, table="calls_copied") == 60  # until ClickHouse merges them
    with other.connect() as connection:
        connection.exec_driver_sql("OPTIMIZE TABLE calls_copied FINAL")
    assert held(other, table="calls_copied") == held(other) == 30


def test_a_mirror_that_is_broken_off_goes_on_where_it_was(engine, other):
    rows = [call_row(started_at=AT + timedelta(minutes=each)) for each in range(60)]
    write(engine, *rows)

    class BrokenOff(Exception):
        pass

    seen = 0

    def after(number: int) -> None:
        nonlocal seen
        seen += number
        if seen >= 20:  # in the second quarter, whose first page is in the mirror
            raise BrokenOff

    with pytest.raises(BrokenOff):
        Mirror(engine, ClickHouse(other), page=5).catch_up(copied=after)
    assert held(other) == 20
    done = Mirror(engine, ClickHouse(other), page=5).catch_up()
    assert (done.calls, done.quarters) == (45, 3)  # a page is smaller than a quarter, so each is a copy of its own
    assert (held(other), held(other, "uniqExact(id)")) == (60, 60)
    assert Mirror(engine, ClickHouse(other)).catch_up().calls == 0


def test_what_was_deleted_before_it_was_copied_is_said_and_what_was_copied_before_stays(engine, other, mirror):
    first, second, third = (call_row(started_at=AT) for _ in range(3))
    write(engine, first, second)
    mirror.catch_up()
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        connection.execute(sa.delete(call_rows))
    write(engine, third)
    done = Mirror(engine, ClickHouse(other)).catch_up()
    assert (done.calls, done.deleted) == (1, 2)
    assert held(other) == 3
    assert differences(engine, other) == []


def test_two_mirrors_at_once_leave_no_old_row(engine, other):
    write(engine, *(call_row(started_at=AT) for _ in range(4)))
    one, another = (Mirror(engine, ClickHouse(other), page=1) for _ in range(2))
    begun = []

    def meanwhile(_: int) -> None:
        if not begun:
            begun.append(another.catch_up())

    with pytest.raises(OtherMirrorError):
        one.catch_up(copied=meanwhile)
    assert held(other) == 4
    assert Mirror(engine, ClickHouse(other)).catch_up().calls == 0


def test_a_mirror_whose_tables_are_gone_is_made_anew(engine, other, mirror):
    write(engine, *(call_row(started_at=AT) for _ in range(3)))
    assert mirror.catch_up().calls == 3
    with other.connect() as connection:
        for statement in ("DROP TABLE calls_copied", "DROP VIEW calls", "DROP TABLE mirror_name"):
            connection.exec_driver_sql(statement)
    assert Mirror(engine, ClickHouse(other)).catch_up().calls == 3
    assert held(other) == 3


def test_a_column_of_a_later_release_is_added(engine, other, mirror):
    write(engine, call_row(started_at=AT))
    mirror.catch_up()
    with other.connect() as connection:
        connection.exec_driver_sql("DROP VIEW calls")
        connection.exec_driver_sql("ALTER TABLE calls_copied DROP COLUMN attributes")
    write(engine, call_row(started_at=AT, attributes={"sdk": "python"}))
    Mirror(engine, ClickHouse(other)).catch_up()
    assert held(other, "count(attributes)") == 1


def test_a_clickhouse_that_is_away_is_waited_for(engine, other):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    write(engine, call_row(started_at=AT))
    away = Mirror(engine, ClickHouse(open_mirror(f"clickhousedb://u:secret@127.0.0.1:{port}/d")))
    with pytest.raises(LedgerError, match="cannot be used") as raised:
        away.catch_up()
    assert "secret" not in str(raised.value)
    stop = threading.Event()
    waiting = threading.Thread(target=away.run, args=(stop,))
    waiting.start()
    time.sleep(0.2)
    assert waiting.is_alive()
    stop.set()
    waiting.join()
    assert Mirror(engine, ClickHouse(other)).catch_up().calls == 1


def test_how_far_it_is_behind_is_the_time_since_it_had_everything(engine, other):
    now = [100.0]

    def passes(seconds: float) -> None:
        now[0] += seconds

    lag = Lag(lambda: now[0])
    mirror = Mirror(engine, ClickHouse(other), now=lambda: AT, clock=lambda: now[0], lag=lag)
    write(engine, call_row(started_at=AT))
    passes(30)
    assert lag.seconds == 30
    assert mirror.catch_up(copied=lambda _: passes(2)).calls == 1
    assert lag.seconds == 2  # what came while it copied, it may not have
    write(engine, call_row(started_at=AT))
    passes(5)
    assert mirror.catch_up().calls == 0  # a quarter that is written to waits
    assert lag.seconds == 7
    passes(20)
    assert mirror.catch_up().calls == 2
    assert lag.seconds == 0
    write(engine, call_row(started_at=AT + timedelta(hours=1)))
    passes(3)
    assert mirror.catch_up(stop=lambda: True).calls == 0
    assert lag.seconds == 3


def test_the_command_copies_compares_and_says_what_differs(ledger_url, engine, mirror_url, other):
    write(engine, *(call_row(started_at=AT, cost_usd=Decimal("0.1")) for _ in range(3)))
    where = ("--database", ledger_url, "--to", mirror_url)
    checked = typed("mirror", *where, "--check", "--json")
    assert checked.exit_code in (1, 2)  # there are no tables yet
    copied = typed("mirror", *where, "--json")
    assert copied.exit_code == 0, copied.output
    assert msgspec.json.decode(copied.stdout) == {
        "calls": 3,
        "quarters": 1,
        "until": "2026-11-23T12:15:00+00:00",
        "deleted": 0,
    }
    assert "has all" in typed("mirror", *where).stdout
    assert typed("mirror", *where, "--check").exit_code == 0
    with other.connect() as connection:
        connection.exec_driver_sql("TRUNCATE TABLE calls_copied")
    checked = typed("mirror", *where, "--check", "--json")
    assert checked.exit_code == 1
    assert msgspec.json.decode(checked.stdout)["days"] == [
        {
            "day": "2026-11-23",
            "ledger": {"calls": 3, "cost_usd": "0.300000000000"},
            "mirror": {"calls": 0, "cost_usd": "0"},
        }
    ]
    assert typed("mirror", *where, "--again").exit_code == 0
    assert typed("mirror", *where, "--check").exit_code == 0


@pytest.mark.parametrize("name", ["cost", "carbon"])
def test_a_report_can_be_asked_of_the_mirror(name, ledger_url, engine, mirror_url, mirror):
    write(engine, *random_rows(random.Random(3), 200, AT, 3))
    mirror.catch_up()
    asked = ("report", name, "--by", "team,model", "--month", "2026-11", "--tz", "Asia/Kolkata", "--json")
    of_ledger, of_mirror = (typed(*asked, "--database", url) for url in (ledger_url, mirror_url))
    assert of_mirror.exit_code == 0, of_mirror.output
    one, other = (msgspec.json.decode(each.stdout) for each in (of_ledger, of_mirror))
    for document in (one, other):  # rows of the same rank come in any order
        document["rows"].sort(key=repr)
    assert _rounded(one) == _rounded(other)


def _rounded(document: Any) -> Any:
    """Databases add floats up in any order, so their last digits differ."""
    if isinstance(document, dict):
        return {key: _rounded(value) for key, value in document.items()}
    if isinstance(document, list):
        return [_rounded(each) for each in document]
    return float(f"{document:.9g}") if isinstance(document, float) else document


def test_a_killed_mirror_loses_and_doubles_nothing(sqlite_engine, tmp_path):
    engine, ledger_url = sqlite_engine, str(sqlite_engine.url)
    rows = [call_row(started_at=AT + timedelta(seconds=each)) for each in range(8000)]
    write(engine, *rows)
    url = f"clickhousedb:///default?interface=chdb&path={tmp_path}/clickhouse"
    command = [sys.executable, "-m", "proxy.cli", "mirror", "--database", ledger_url, "--to", url]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        deadline = time.monotonic() + 60
        while not begun(engine) and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(killed.pid, signal.SIGKILL)
    assert begun(engine), "it was done before it could be killed"
    again = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True)
    assert msgspec.json.decode(again.stdout)["calls"] == 8000
    checked = subprocess.run([*command, "--check", "--json"], check=False, capture_output=True, text=True)
    assert msgspec.json.decode(checked.stdout) == {"same": True, "days": []}


def begun(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return connection.exec_driver_sql("SELECT count(*) FROM mirror_positions WHERE sums IS NULL").scalar()


def test_serve_keeps_a_configured_mirror_up_to_date(tmp_path):
    url = f"clickhousedb:///default?interface=chdb&path={tmp_path}/clickhouse"
    with service(tmp_path, f'[mirror]\nurl = "{url}"\n') as running:
        assert "mirror" in running.named_children()
        httpx2.post(f"{running.gate}/v1/chat/completions", json={"model": "nobody-has-it", "messages": []})
        running.wait_for_calls(1)
        deadline = time.monotonic() + 60
        while not running.calls("SELECT 1 FROM mirror_positions WHERE sums IS NOT NULL"):
            assert time.monotonic() < deadline, running.output.decode()
            time.sleep(0.1)
        assert "\njoulegate_mirror_lag_seconds " in httpx2.get(f"{running.console}/metrics").text
        assert running.stop() == 0
    command = [sys.executable, "-m", "proxy.cli", "mirror", "--check", "--json"]
    checked = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert msgspec.json.decode(checked.stdout) == {"same": True, "days": []}, checked.stderr
