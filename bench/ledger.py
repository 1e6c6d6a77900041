"""Rows per second from journal to committed row, estimates and metrics included, against a bare bulk load.

    python -m bench.ledger [--rows 40000] [--rounds 5] [--on sqlite,postgresql] [--postgresql URL] [--tz ZONE]

Bare is what the database takes with nothing around it: executemany into SQLite, COPY into PostgreSQL, of the
same calls into one table with the columns of ``calls``, keyed by id and indexed by start, in transactions of the same
size. Both run in every round: the
ratio per round is the evidence, the absolute figures move with the machine. That of the CPU times (of this process, not
of the server) holds also where others use the machine. Without a URL a server is started from the
wheel that the tests use (Unix socket, settings as initdb leaves them). Also prints bytes per row and per append.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

import estimator
from proxy.call import Closed, Opened, Record
from proxy.estimating import ConfiguredEstimator
from proxy.identity import uuid7
from proxy.journal import Journal
from proxy.ledger.engine import open_engine
from proxy.ledger.revision import migrate
from proxy.ledger.tables import calls
from proxy.ledger.write import Ledger
from proxy.metrics import Metrics
from proxy.metrics_file import MetricsFile
from proxy.recorder import BATCH, Recorder
from proxy.sections import Config

Server = Callable[[str], str]  # makes an empty database of a name, gives its URL
SIZE = "SELECT sum(pg_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'call_rows'::regclass"
TEAMS = ["search", "support", "research"]

MODELS = [("openai", "gpt-4o"), ("anthropic", "claude-sonnet-4-5"), ("groq", "llama-3.1-8b-instant")]


def records(count: int, seed: int) -> list[Record]:
    """Give an opening and an end for each of ``count`` calls of a few teams and models."""
    draw = random.Random(seed)
    made: list[Record] = []
    for number in range(count):
        at_us = 1_795_000_000_000_000 + number * 1000
        provider, model = draw.choice(MODELS)
        name = uuid7(at_us // 1000, draw.getrandbits(74))
        opened = Opened(
            id=name,
            operation_id=name,
            attempt=1,
            started_at_us=at_us,
            team=draw.choice(TEAMS),
            project=None,
            user=None,
            key_id=None,
            tags={},
            provider=provider,
            surface="openai.chat",
            model_requested=model,
            stream=bool(draw.getrandbits(1)),
            request_bytes=draw.randrange(500, 20_000),
        )
        tokens = draw.randrange(50, 8000)
        closed = Closed(
            opened=opened,
            ended_at_us=at_us + 2_000_000,
            outcome="ok",
            status=200,
            model=model,
            provider_request_id=f"req_{number:024d}",
            usage=estimator.Usage(input_tokens=tokens, cached_input_tokens=tokens // 2, output_tokens=tokens // 5),
            usage_source="reported",
            flags=(),
            reason=None,
            latency_us=draw.randrange(200_000, 20_000_000),
            time_to_first_token_us=draw.randrange(100_000, 900_000),
            overhead_us=draw.randrange(80, 400),
            response_bytes=draw.randrange(500, 40_000),
            service_tier=None,
        )
        made += [opened, closed]
    return made


def recorded(directory: Path, engine: sa.Engine, count: int, zone: ZoneInfo | None) -> tuple[float, float]:
    """Record what the journal holds; gives seconds and CPU seconds of this process."""
    estimate = ConfiguredEstimator(Config())
    metrics = Metrics(teams=TEAMS, providers=[provider for provider, _ in MODELS], model_name=lambda row: row.model)
    recorder = Recorder(
        directory / "journal",
        Ledger(engine, zone),
        estimate=estimate,
        familiar=estimate.known,
        on_rows=metrics.record,
        keeper=MetricsFile(directory / "journal/metrics.json", metrics),
    )
    began, began_cpu = time.perf_counter(), time.process_time()
    while recorder.run_once():
        pass
    took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    recorder.close()
    with engine.connect() as connection:
        found = connection.scalar(sa.select(sa.func.count()).select_from(calls))
    assert found == count, f"{found} rows of {count} calls"
    return took, cpu


def bare_sqlite(ours: Path, bare: Path) -> tuple[float, float, float]:
    """Load the calls in ``ours`` into ``bare``; gives seconds, CPU seconds and the bytes per row of ``ours``."""
    with sqlite3.connect(ours) as source:
        rows = source.execute("SELECT * FROM calls").fetchall()
        source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = source.execute("SELECT sum(pgsize - unused) FROM dbstat WHERE name = 'call_rows'").fetchone()[0]
    source.close()
    target = sqlite3.connect(bare, isolation_level=None)
    target.execute("PRAGMA journal_mode=WAL")
    target.execute("PRAGMA synchronous=NORMAL")
    _make_bare(target.execute, sqlite.dialect())
    insert = f"INSERT INTO calls VALUES ({','.join('?' * len(rows[0]))})"
    began, began_cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(rows), BATCH // 2):
        target.execute("BEGIN IMMEDIATE")
        target.executemany(insert, rows[start : start + BATCH // 2])
        target.execute("COMMIT")
    took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    target.close()
    return took, cpu, size / len(rows)


def bare_postgresql(engine: sa.Engine, other: sa.Engine) -> tuple[float, float, float]:
    """Load the calls in ``engine`` into ``other``; gives seconds, CPU seconds here, bytes per row of ``engine``."""
    with psycopg.connect(_dsn(engine.url)) as source:
        rows = source.execute("SELECT * FROM calls").fetchall()
        size = source.execute(SIZE).fetchone()
    assert size is not None
    load = [tuple(_plain(each) for each in row) for row in rows]
    with psycopg.connect(_dsn(other.url)) as target:
        _make_bare(target.execute, other.dialect)
        target.commit()
        began, began_cpu = time.perf_counter(), time.process_time()
        for start in range(0, len(load), BATCH // 2):
            with target.cursor() as cursor, cursor.copy("COPY calls FROM STDIN") as copy:
                for row in load[start : start + BATCH // 2]:
                    copy.write_row(row)
            target.commit()
        took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return took, cpu, float(size[0]) / len(rows)


def _make_bare(execute: Callable[[str], object], dialect: sa.Dialect) -> None:
    """Make a table with the columns of ``calls``, its key and an index of its start."""
    bare = calls.to_metadata(sa.MetaData())
    execute(str(CreateTable(bare).compile(dialect=dialect)))
    execute("CREATE INDEX bare_started_at ON calls (started_at)")


def _dsn(url: sa.URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _plain(value: object) -> object:
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value


def one_round(directory: Path, count: int, seed: int, server: Server | None, zone: ZoneInfo | None) -> dict[str, float]:
    made = records(count, seed)
    journal = Journal.open(directory / "journal", worker="gate-0")
    began = time.perf_counter()
    for each in made:
        assert journal.append(each), journal.problem
    appended = time.perf_counter() - began
    journal.close()
    names = [f"{name}_{seed}" for name in ("ours", "bare")]
    urls = [f"sqlite:///{directory}/{name}.db" for name in names] if server is None else list(map(server, names))
    ours, bare = map(open_engine, urls)
    migrate(ours)
    took, cpu = recorded(directory, ours, count, zone)
    if server is None:
        ours.dispose()
        bared, bare_cpu, size = bare_sqlite(directory / f"{names[0]}.db", directory / f"{names[1]}.db")
    else:
        bared, bare_cpu, size = bare_postgresql(ours, bare)
    ours.dispose()
    bare.dispose()
    return {
        "append µs": appended / len(made) * 1e6,
        "recorder rows/s": count / took,
        "recorder CPU µs/row": cpu / count * 1e6,
        "bare rows/s": count / bared,
        "bare CPU µs/row": bare_cpu / count * 1e6,
        "bare / recorder": took / bared,
        "bare / recorder, CPU here": cpu / bare_cpu,
        "bytes/row without indexes": size,
    }


@contextlib.contextmanager
def postgresql(url: str | None) -> Iterator[Server]:
    """Give a way to databases of one's own on a server: the one of ``url``, else one from the tests' wheel."""
    with contextlib.ExitStack() as stack:
        if url is None:
            from tests.databases import wheel_server  # what the tests install, and only where it is asked for

            url = stack.enter_context(wheel_server())
        made = sa.make_url(url)

        def database(name: str) -> str:
            with psycopg.connect(_dsn(made), autocommit=True) as connection:
                connection.execute(f"DROP DATABASE IF EXISTS joulegate_bench_{name}")
                connection.execute(f"CREATE DATABASE joulegate_bench_{name}")
            return made.set(database=f"joulegate_bench_{name}").render_as_string(hide_password=False)

        yield database


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=40_000)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--on", default="sqlite,postgresql", help="which databases, in turn")
    arguments.add_argument("--postgresql", metavar="URL", help="a server where databases may be made and dropped")
    arguments.add_argument("--tz", type=ZoneInfo, metavar="ZONE", help="whose days the recorder keeps sums of too")
    given = arguments.parse_args()
    wanted = given.on.split(",")
    rounds: dict[str, list[dict[str, float]]] = {on: [] for on in wanted}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgresql(given.postgresql)) if "postgresql" in wanted else None
        for number in range(given.rounds):
            for on in wanted:
                with tempfile.TemporaryDirectory() as directory:
                    used = server if on == "postgresql" else None
                    rounds[on].append(one_round(Path(directory), given.rows, number, used, given.tz))
    for on, found in rounds.items():
        print(on)
        for name in found[0]:
            values = [each[name] for each in found]
            print(f"  {name:28} {statistics.median(values):12,.1f}   ({min(values):,.1f} to {max(values):,.1f})")


if __name__ == "__main__":
    main()
