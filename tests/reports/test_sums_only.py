"""Reports read sums: what they take must not grow with the calls. To read these must be asked for."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import sqlalchemy as sa

from proxy.errors import JoulegateError
from proxy.ledger.sources import FEW
from proxy.ledger.write import Ledger
from proxy.reports.making import NAMES
from proxy.reports.period import parse
from proxy.reports.statement import statement
from tests.commands.typed import typed
from tests.reports.asking import NOW, question
from tests.rows import UNMETERED, UNPRICED, call_row

ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu")
OF_CALLS = re.compile(r"\b(FROM|JOIN)\s+(calls|call_rows)\b")
TAKEN_IN = re.compile(r"NOT (calls\.|call_rows\.)?rolled_up")  # none of these are in the sums
MIDNIGHT = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def summed(engine):
    """Two calls an hour of six days, all in the sums."""
    kinds = ({}, {"user": "kim"}, {"project": "p"} | UNPRICED, UNMETERED, {"team": "ads", "model": "o3"})
    at = (MIDNIGHT + timedelta(minutes=30 * number) for number in range(6 * 48))
    rows = [call_row(started_at=started_at, **kind) for started_at, kind in zip(at, itertools.cycle(kinds))]
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOW)
    return engine


def asked(**words: str | None):
    return parse(**{"month": None, "start": None, "end": None} | words, now=NOW)


@pytest.mark.parametrize("name", [*NAMES, "statement"])
def test_no_report_reads_a_call_that_is_in_the_sums(summed, name):
    heard: list[str] = []
    sa.event.listen(summed, "before_cursor_execute", lambda *given: heard.append(given[2]))
    fixed = name in ("focus", "models", "grids", "scale", "statement")
    splits = [{}] if fixed else [{}, {"by": ",".join(("day", *FEW))}, {"by": "hour,tier"}]
    # "since then" ends with today, "of a moment" with a quarter of an hour.
    periods = ({"month": "2026-11"}, {"start": "2026-11-21"}, {"start": "2026-11-21T07:15", "end": "2026-11-24T22:45"})
    with summed.connect() as connection:
        for zone, words, split in itertools.product(ZONES, periods, splits):
            period = asked(**words, tz=zone)
            if name == "statement":
                made = statement(connection, period, team=None, known_teams=(), now=NOW)
                found = made.total.calls
            else:
                made = question(name, **split).ask(connection, period)
                found = len(made.rows)
            assert found
            connection.rollback()
    assert any("calls_by_day" in each for each in heard)
    assert [each for each in heard if OF_CALLS.search(each) and not TAKEN_IN.search(each)] == []


def test_by_days_that_sums_are_kept_of_anything_is_known(summed):
    with summed.connect() as connection:
        for by in ("user", "key,day", "outcome,month"):
            assert question("cost", by=by).ask(connection, asked(month="2026-11", tz="UTC")).rows


DAYS = "sums by {} are kept of days of UTC: ask for whole days with UTC as the time zone, or split by team, "
QUARTERS = "sums are kept by quarters of an hour: let the period begin and end with one; or "
NO_SUMS = [
    (
        ("cost", "--by", "user", "--from", "2026-11-21", "--to", "2026-11-24", "--tz", "Asia/Kolkata"),
        DAYS.format("user"),
    ),
    (
        ("energy", "--by", "day", "--where", "user=kim", "--month", "2026-11", "--tz", "Europe/Berlin"),
        DAYS.format("user"),
    ),
    (("cost", "--by", "hour,outcome,team", "--month", "2026-11"), DAYS.format("outcome")),
    (("carbon", "--by", "team", "--from", "2026-11-21T07:17", "--to", "2026-11-24"), QUARTERS),
    (("statement", "--from", "2026-11-21", "--to", "2026-11-24T07:17"), QUARTERS),
]


@pytest.mark.parametrize(("words", "says"), NO_SUMS)
def test_where_there_are_no_sums_the_calls_are_read_if_that_is_asked_for(summed, ledger_url, words, says):
    ran = typed("report", *words, "--database", ledger_url)
    assert isinstance(ran.exception, JoulegateError)
    assert str(ran.exception).startswith(says)
    assert str(ran.exception).endswith("or have the calls themselves read: --from-calls, over HTTP from_calls=true")
    assert ran.stdout == ""
    form = () if words[0] == "statement" else ("--json",)
    ran = typed("report", *words, "--from-calls", "--database", ledger_url, *form)
    assert ran.exit_code == 0, ran.output
    if form:
        found = msgspec.json.decode(ran.stdout)
        assert sum(row["calls"] for row in found["rows"]) == found["total"]["calls"] > 50
