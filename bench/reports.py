"""Every report of ``joulegate report`` on millions of calls, in four time zones; on SQLite and on PostgreSQL.

    python -m bench.reports [--rows 1000000] [--on sqlite,postgresql] [--postgresql URL] [--directory DIR] [--tz ZONE]

The calls are those of ``bench.millions``. Asked for is November: its sum, its days, and one day of it, each written as
CSV (a statement as HTML, the longest ones also as the table for people). Printed are milliseconds from the open
connection to the written report, the median of three, and in parentheses the CPU time of this process, which on
PostgreSQL is without the server's own. ``--tz`` is the time zone of the ledger, of whose days there are sums too.
``--users`` also asks by user and day, which other zones than that one and UTC have from the calls themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from rich.console import Console

from bench.ledger import postgresql
from bench.millions import filled
from proxy.estimating import ConfiguredEstimator
from proxy.ledger.engine import open_engine
from proxy.reports import table
from proxy.reports.making import CONVERSATIONS, NAMES, question_of
from proxy.reports.period import Period, parse
from proxy.reports.statement import statement
from proxy.reports.statement_page import as_html
from proxy.reports.words import Words
from proxy.sections import Config

ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu")
NOW = datetime(2026, 11, 30, tzinfo=UTC)
MONTH: dict[str, str | None] = {"month": "2026-11", "start": None, "end": None}
DAY: dict[str, str | None] = {"month": None, "start": "2026-11-23", "end": "2026-11-23"}
TIMES = 3

Made = Callable[[sa.Connection, Period], int]  # writes a report, gives how many lines it has


def printed(report: table.Report) -> None:
    table.print_table(report, Console(file=io.StringIO()))


def asked(name: str, by: str | None = None, write: Callable[[table.Report], object] = table.as_csv) -> Made:
    estimate = ConfiguredEstimator(Config()).supposed

    def made(connection: sa.Connection, period: Period) -> int:
        report = question_of(name, Words(by=by, from_calls=True), estimate, NOW).ask(connection, period)
        write(report)
        return len(report.rows)

    return made


def stated(team: str | None) -> Made:
    def made(connection: sa.Connection, period: Period) -> int:
        return as_html(statement(connection, period, team=team, known_teams=(), now=NOW)).count("<tr")

    return made


def reports(*, users: bool) -> Iterator[tuple[str, dict[str, str | None], Made]]:
    """Give the name of each report, the words of its period, and how it is made."""
    for name in NAMES:
        yield name, MONTH, asked(name)
        if name not in ("focus", *CONVERSATIONS):
            of = "tier" if name == "ghg" else "team,model"
            yield f"{name} --by day,{of}", MONTH, asked(name, f"day,{of}")
            yield f"{name} --by day,{of}, table", MONTH, asked(name, f"day,{of}", printed)
        yield f"{name}, one day", DAY, asked(name)
    for team in (None, "team-03"):
        said = "statement" if team is None else f"statement --team {team}"
        yield said, MONTH, stated(team)
        yield f"{said}, one day", DAY, stated(team)
    for name in ("cost", "energy"):
        yield f"{name} --by day", MONTH, asked(name, "day")
        yield f"{name} --by user", MONTH, asked(name, "user")
        if users:
            yield f"{name} --by day,user", MONTH, asked(name, "day,user")


def took(engine: sa.Engine, make: Made, period: Period) -> tuple[int, float, float]:
    """Make a report some times; gives its lines, seconds and CPU seconds."""
    seconds, cpu, lines = [], [], 0
    for _ in range(TIMES):
        began, began_cpu = time.perf_counter(), time.process_time()
        with engine.connect() as connection:
            lines = make(connection, period)
        seconds.append(time.perf_counter() - began)
        cpu.append(time.process_time() - began_cpu)
        if seconds[-1] > 10:
            break
    return lines, statistics.median(seconds), statistics.median(cpu)


def one(engine: sa.Engine, *, users: bool) -> None:
    print(f"| report | lines | {' | '.join(ZONES)} |\n| --- | ---: |{' ---: |' * len(ZONES)}", flush=True)
    for name, words, make in reports(users=users):
        found = [took(engine, make, parse(**words, tz=zone, now=NOW)) for zone in ZONES]
        cells = (f"{seconds * 1000:,.0f} ({cpu * 1000:,.0f})" for _, seconds, cpu in found)
        print(f"| {name} | {found[0][0]:,} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--on", default="sqlite,postgresql", help="which databases, in turn")
    arguments.add_argument("--postgresql", metavar="URL", help="a server where databases may be made and dropped")
    arguments.add_argument("--directory", type=Path, help="where the SQLite file goes, which takes gigabytes")
    arguments.add_argument("--ledger", metavar="URL", help="a ledger that is filled already, instead of all that")
    arguments.add_argument("--tz", type=ZoneInfo, metavar="ZONE", help="whose days the ledger keeps sums of too")
    arguments.add_argument("--users", action="store_true", help="also by user and day")
    given = arguments.parse_args()
    for on in given.on.split(",") if given.ledger is None else [""]:
        with contextlib.ExitStack() as stack:
            if given.ledger is not None:
                url = given.ledger
            elif on == "postgresql":
                url = stack.enter_context(postgresql(given.postgresql))("reports")
            else:
                url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory(dir=given.directory))}/ledger.db"
            engine = open_engine(url)
            stack.callback(engine.dispose)
            if given.ledger is None:
                filled(engine, given.rows, given.tz)
            print(f"{engine.dialect.name}, {given.rows:,} calls" if given.ledger is None else url, flush=True)
            one(engine, users=given.users)


if __name__ == "__main__":
    main()
