"""Ten million calls over 91 days: how large, how fast to write, to report, to delete; on SQLite and on PostgreSQL.

    python -m bench.millions [--rows 10000000] [--on sqlite,postgresql] [--postgresql URL] [--directory DIR]

Calls are drawn uniformly from 25 teams of 8 users each and 20 models at 6 providers: every combination of team, user
and model occurs every day, more than real traffic has. A team has 3 projects, each with models of its own. They are
written by the recorder's own way of writing, sums included, without journals and estimates (see ``bench.ledger`` for
these). Reports are read by what ``joulegate report`` reads with, three times each, the median printed. Memory is the
peak of this process, before and after old rows go.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from bench.ledger import postgresql
from proxy.identity import uuid7
from proxy.ledger.engine import open_engine
from proxy.ledger.read import splits
from proxy.ledger.retention import delete
from proxy.ledger.tables import CallRow
from proxy.ledger.write import Ledger

DAYS = 91
BEGIN = datetime(2026, 8, 31, tzinfo=UTC)  # so that the three months end with November
KEEP_DAYS = 30
BATCH = 10_000
TEAMS = [f"team-{number:02}" for number in range(25)]
MODELS = [
    (("openai", "anthropic", "gemini", "groq", "mistral", "deepseek")[number % 6], f"some-model-{number:02}-2026-08-31")
    for number in range(20)
]
PROJECTS = ["project-a", "project-b", "project-c"]
USERS = [f"user-{number:03}@example.com" for number in range(200)]
UTC_ZONE = ZoneInfo("UTC")
NOVEMBER = {"start": datetime(2026, 11, 1, tzinfo=UTC), "end": datetime(2026, 12, 1, tzinfo=UTC), "zone": UTC_ZONE}
KOLKATA = {
    "start": datetime(2026, 10, 31, 18, 30, tzinfo=UTC),
    "end": datetime(2026, 11, 30, 18, 30, tzinfo=UTC),
    "zone": ZoneInfo("Asia/Kolkata"),
}
QUARTER = {"start": BEGIN, "end": BEGIN + timedelta(days=DAYS), "zone": UTC_ZONE}
REPORTS = (
    ("month by team, model", ("team", "model"), NOVEMBER),
    ("month by user", ("user",), NOVEMBER),
    ("month by day, team", ("day", "team"), NOVEMBER),
    ("month in Kolkata by team, model", ("team", "model"), KOLKATA),
    ("month in Kolkata by day, team", ("day", "team"), KOLKATA),
    ("91 days by team, model", ("team", "model"), QUARTER),
)


def rows(count: int) -> Iterator[list[CallRow]]:
    """Draw calls in the order of their time, some thousands at once."""
    draw = random.Random(1)
    step = timedelta(days=DAYS) / count
    for start in range(0, count, BATCH):
        yield [row(draw, BEGIN + step * number, number) for number in range(start, min(start + BATCH, count))]


def row(draw: random.Random, at: datetime, number: int) -> CallRow:
    name = uuid7(int(at.timestamp() * 1000), draw.getrandbits(74))
    of_20 = draw.randrange(20)
    (provider, model), project = MODELS[of_20], PROJECTS[of_20 % len(PROJECTS)]
    n_in, n_out = draw.randrange(20, 9000), draw.randrange(5, 1500)
    joules = n_out * 0.4 + n_in * 0.01
    user = draw.randrange(len(USERS))
    return CallRow(
        name, name, 1, at, TEAMS[user % len(TEAMS)], project, USERS[user], None, None, provider,
        "openai.chat", model, model, True, 200, "ok", None, f"req_{number:024}", n_in, n_in // 2, None, None, None,
        n_out, None, None, None, None, "reported", None, 1200 + n_out, 300, 150, 4 * n_in, 5 * n_out, None,
        "abcdef012345", "roofline", "closed_model", None, "USA", n_out * 1.1e11, joules / 4, joules,
        joules * 4, joules / 1.2, joules / 40_000, joules / 10_000, joules / 2500, joules / 80_000, None,
        joules / 900_000,
        Decimal(n_in * 2_500_000 + n_out * 10_000_000).scaleb(-12), f"{provider}/{model}@2026-08-31", "owid",
        f"{model}@{provider}", joules / 2, joules * 2, joules / 20_000, joules / 5000, None,
    )  # fmt: skip


def timed(name: str, did: float, what: str = "s") -> None:
    print(f"  {name:42} {did:14,.3f} {what}", flush=True)


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def sizes(engine: sa.Engine) -> dict[str, float]:
    """Give bytes by table and index."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            found = connection.exec_driver_sql("SELECT name, sum(pgsize - unused) FROM dbstat GROUP BY name").all()
            return {name: float(size) for name, size in found}
        found = connection.exec_driver_sql(
            "SELECT regexp_replace(relname, '_\\d{4}_\\d\\d.*?($|_pkey|_[a-z_]+_idx$)', '\\1'),"
            " sum(pg_relation_size(oid)) FROM pg_class"
            " WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace GROUP BY 1"
        ).all()
        return {name: float(size) for name, size in found}


def filled(engine: sa.Engine, count: int, zone: ZoneInfo | None = None) -> float:
    """Fill an empty database, which keeps days of ``zone``, with so many calls; gives what their commits took, in s."""
    ledger = Ledger(engine, zone)
    ledger.prepare()
    took = 0.0
    for batch in rows(count):
        began = time.perf_counter()
        ledger.commit(batch, journal="j", positions={}, at=BEGIN)
        took += time.perf_counter() - began
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    return took


def one(engine: sa.Engine, count: int) -> None:
    timed("rows written, sums included", count / filled(engine, count), "rows/s")
    for name, size in sorted(sizes(engine).items(), key=lambda each: -each[1])[:12]:
        timed(name, size / count, "bytes per call")
    for name, by, period in REPORTS:
        took_each = []
        for _ in range(3):
            began = time.perf_counter()
            with engine.connect() as connection:
                (groups, (total,)) = splits(connection, (by, ()), **period)
            took_each.append(time.perf_counter() - began)
        assert sum(group.calls for group in groups) == total.calls > 0
        timed(f"{name} ({len(groups):,} groups)", statistics.median(took_each))
    before = BEGIN + timedelta(days=DAYS - KEEP_DAYS)
    peak = megabytes()
    began = time.perf_counter()
    steps = list(delete(engine, before, now=BEGIN, rest=lambda _: None))
    took = time.perf_counter() - began
    timed(f"rows older than {KEEP_DAYS} days deleted, {len(steps):,} steps", sum(steps) / took, "rows/s")
    timed("peak memory before and after", peak, "MiB")
    timed("", megabytes(), "MiB")
    with engine.connect() as connection:
        ((groups), (total,)) = splits(connection, (("team", "model"), ()), **QUARTER)
    assert total.calls == count, "the sums of what was deleted stay"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=10_000_000)
    arguments.add_argument("--on", default="sqlite,postgresql", help="which databases, in turn")
    arguments.add_argument("--postgresql", metavar="URL", help="a server where databases may be made and dropped")
    arguments.add_argument("--directory", type=Path, help="where the SQLite file goes, which takes gigabytes")
    given = arguments.parse_args()
    for on in given.on.split(","):
        print(f"{on}, {given.rows:,} calls", flush=True)
        with contextlib.ExitStack() as stack:
            if on == "postgresql":
                url = stack.enter_context(postgresql(given.postgresql))("millions")
            else:
                url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory(dir=given.directory))}/ledger.db"
            engine = open_engine(url)
            try:
                one(engine, given.rows)
            finally:
                engine.dispose()


if __name__ == "__main__":
    main()
