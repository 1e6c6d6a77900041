"""Rows per second from journal to committed SQLite row, estimates included, against a bare executemany.

    python -m bench.ledger [--rows 40000] [--rounds 5]

Both write the same rows into a database of the same layout in the same round; the ratio per round is
the evidence, the absolute figures move with the machine. Also prints bytes per row and per append.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import estimator
from proxy.call import Closed, Opened, Record
from proxy.config import Config
from proxy.estimating import ConfiguredEstimator
from proxy.identity import uuid7
from proxy.journal import Journal
from proxy.ledger.engine import open_engine
from proxy.ledger.revision import migrate
from proxy.ledger.tables import calls
from proxy.ledger.write import Ledger
from proxy.recorder import BATCH, Recorder

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
            team=draw.choice(["search", "support", "research"]),
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


def one_round(directory: Path, count: int, seed: int) -> dict[str, float]:
    made = records(count, seed)
    journal = Journal.open(directory / "journal", worker="gate-0")
    began = time.perf_counter()
    for each in made:
        assert journal.append(each), journal.problem
    appended = time.perf_counter() - began
    journal.close()

    url = directory / "ours.db"
    engine = open_engine(f"sqlite:///{url}")
    migrate(engine)
    recorder = Recorder(directory / "journal", Ledger(engine), estimate=ConfiguredEstimator(Config()))
    began, began_cpu = time.perf_counter(), time.process_time()
    while recorder.run_once():
        pass
    recorded, recorded_cpu = time.perf_counter() - began, time.process_time() - began_cpu
    recorder.close()
    engine.dispose()

    with sqlite3.connect(url) as ours:
        rows = ours.execute("SELECT * FROM calls").fetchall()
        ours.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        bytes_per_row = (
            ours.execute("SELECT sum(pgsize - unused) FROM dbstat WHERE name = 'calls'").fetchone()[0] / count
        )
    ours.close()
    assert len(rows) == count, f"{len(rows)} rows of {count} calls"

    bare_url = directory / "bare.db"
    engine = open_engine(f"sqlite:///{bare_url}")
    migrate(engine)
    engine.dispose()
    bare = sqlite3.connect(bare_url, isolation_level=None)
    bare.execute("PRAGMA synchronous=NORMAL")
    insert = f"INSERT INTO calls VALUES ({','.join('?' * len(calls.columns))})"
    began = time.perf_counter()
    for start in range(0, count, BATCH):
        bare.execute("BEGIN IMMEDIATE")
        bare.executemany(insert, rows[start : start + BATCH])
        bare.execute("COMMIT")
    bared = time.perf_counter() - began
    bare.close()
    return {
        "append µs": appended / len(made) * 1e6,
        "recorder rows/s": count / recorded,
        "recorder CPU µs/row": recorded_cpu / count * 1e6,
        "bare rows/s": count / bared,
        "bare / recorder": recorded / bared,
        "bytes/row without indexes": bytes_per_row,
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=40_000)
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    rounds = []
    for number in range(given.rounds):
        with tempfile.TemporaryDirectory() as directory:
            rounds.append(one_round(Path(directory), given.rows, seed=number))
    for name in rounds[0]:
        values = [each[name] for each in rounds]
        print(f"{name:28} {statistics.median(values):12,.1f}   ({min(values):,.1f} to {max(values):,.1f})")


if __name__ == "__main__":
    main()
