"""A million stored calls estimated anew: how fast, in how much memory, and whether exact, though killed on the way.

    python -m bench.recompute [--rows 1000000] [--on sqlite,postgresql] [--postgresql URL] [--directory DIR] [--kills 3]

The calls are written as the recorder writes them, over 30 days, under a configuration with other prices and zones; a
twentieth has a usage line. Then ``joulegate recompute`` runs under today's configuration in a process of its own, is
killed with SIGKILL at random moments and started again each time; a run after the last must find nothing to change.
Every row is compared with what is composed today from the call itself, and the sums that reports read with those of the
rows. Seconds are those of all runs together, the killed ones included; memory is the peak of the last.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa

from bench.ledger import postgresql
from estimator.usage import Usage, UsageLine
from proxy.call import Closed, Opened
from proxy.config import load
from proxy.estimating import ConfiguredEstimator
from proxy.identity import uuid7
from proxy.ledger.engine import open_engine
from proxy.ledger.read import Totals, splits
from proxy.ledger.revision import migrate
from proxy.ledger.row import Composed, composed
from proxy.ledger.tables import call_columns, calls, former_estimates, rows_of
from proxy.ledger.write import Beside, Ledger
from proxy.sections import Config

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
DAYS = 30
PERIOD = ("--from", "2026-11-01", "--to", "2026-11-30")
BATCH = 2000
TEAMS = [f"team-{number}" for number in range(10)]
MODELS = [
    *(("openai", name) for name in ("gpt-4o", "gpt-4o-mini", "o3", "gpt-5")),
    *(("anthropic", name) for name in ("claude-sonnet-4-5", "claude-haiku-4-5")),
    *(("groq", name) for name in ("llama-3.1-8b-instant", "llama-3.3-70b-versatile")),
    ("openai", "nobody-knows-this-model"),
]
ZONES_THEN = """
[[provider]]
name = "groq"
zone = "SWE"
"""
PRICES_THEN = """
name = "then"
[[price]]
provider = "*"
model = "*"
rates = { input = 3, cached_input = 1, output = 9 }
"""


def closings(count: int) -> Iterator[list[Closed]]:
    """Draw the ends of calls in the order of their time, some at once."""
    draw = random.Random(1)
    step = timedelta(days=DAYS) // count // timedelta(microseconds=1)
    begin = int(BEGIN.timestamp()) * 1_000_000
    for start in range(0, count, BATCH):
        yield [closing(draw, begin + number * step, number) for number in range(start, min(start + BATCH, count))]


def closing(draw: random.Random, at_us: int, number: int) -> Closed:
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
        stream=False,
        request_bytes=900,
    )
    tokens = draw.randrange(50, 8000)
    line = UsageLine(kind="compaction", usage=Usage(input_tokens=tokens // 2, output_tokens=20))
    return Closed(
        opened=opened,
        ended_at_us=at_us + 2_000_000,
        outcome="ok",
        status=200,
        model=model,
        provider_request_id=None,
        usage=Usage(input_tokens=tokens, cached_input_tokens=tokens // 2, output_tokens=tokens // 5),
        usage_source="reported",
        flags=(),
        reason=None,
        latency_us=1_500_000,
        time_to_first_token_us=None,
        overhead_us=200,
        response_bytes=4000,
        service_tier=None,
        lines=(line,) if number % 20 == 0 else (),
    )


def composer(config: Config) -> Callable[[Closed], Composed]:
    """Give what makes rows of calls as the recorder does under a configuration."""
    estimate = ConfiguredEstimator(config)
    zones = {row.name: row.zone for row in config.provider}

    def compose(closed: Closed) -> Composed:
        opened = msgspec.structs.replace(closed.opened, zone=zones[closed.opened.provider or ""])
        return composed(msgspec.structs.replace(closed, opened=opened), estimate, estimate.known)

    return compose


def filled(url: str, config: Config, count: int) -> None:
    """Make a ledger of calls as they were estimated under a configuration."""
    engine = open_engine(url)
    migrate(engine)
    ledger, compose = Ledger(engine), composer(config)
    for some in closings(count):
        made = list(map(compose, some))
        beside = {each.row.id: Beside(lines=each.lines) for each in made if each.lines}
        ledger.commit([each.row for each in made], journal="bench", positions={}, at=BEGIN, beside=beside)
    engine.dispose()


class Command:
    """``joulegate recompute`` in a process of its own."""

    def __init__(self, url: str, config: Path) -> None:
        words = ("recompute", *PERIOD, "--json", "--database", url, "--config", str(config))
        self.output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen([sys.executable, "-m", "proxy.cli", *words], stdout=self.output)

    def kill(self, after_s: float) -> bool:
        """Kill it after so many seconds; False where it had ended before."""
        time.sleep(after_s)
        ended = self.process.poll() is not None
        self.process.kill()
        self.process.wait()
        return not ended

    def result(self) -> tuple[dict[str, Any], float]:
        """Wait for its end; gives what it says, and MiB at its peak."""
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        assert self.process.returncode == 0, self.process.returncode
        self.output.seek(0)
        return json.load(self.output), used.ru_maxrss / 1024


def wrong(engine: sa.Engine, config: Config, count: int) -> int:
    """Count the rows that are not, to the digit, what is composed of the call under a configuration."""
    compose, differing = composer(config), 0
    with engine.connect().execution_options(stream_results=True) as connection:
        stored = connection.execute(sa.select(*call_columns).order_by(calls.c.started_at)).yield_per(BATCH)
        for some in closings(count):
            rows = rows_of(stored.fetchmany(len(some)))
            differing += sum(compose(closed).row != row for closed, row in zip(some, rows, strict=True))
    return differing


def sums_differ(engine: sa.Engine) -> float:
    """Give by how much the sums that reports read are off those of the rows, at most, relative; whole numbers not."""
    asked = {"start": BEGIN, "end": BEGIN + timedelta(days=DAYS), "zone": ZoneInfo("UTC")}
    found = []
    for from_rows in (False, True):
        with engine.connect() as connection:
            (groups,) = splits(connection, (("day", "team", "model"),), **asked, from_rows=from_rows)
            found.append({group.key: group for group in groups})
    read, expected = found
    assert read.keys() == expected.keys()
    most = 0.0
    for key, group in read.items():
        for each in fields(Totals)[1:]:
            one, other = getattr(group, each.name), getattr(expected[key], each.name)
            if isinstance(one, dict):
                assert one.keys() == other.keys(), (key, each.name, one, other)
                pairs = [(one[name], other[name]) for name in one]
            elif isinstance(one, float) and isinstance(other, float):
                pairs = [(one, other)]
            else:
                assert one == other, (key, each.name, one, other)
                continue
            most = max([most, *(abs(a - b) / abs(b) if b else abs(a) for a, b in pairs)])
    return most


def measure(on: str, directory: Path, url: str, count: int, kills: int) -> None:
    today_file, then_file = directory / "today.toml", directory / "then.toml"
    today, then = load(today_file).config, load(then_file).config
    began = time.perf_counter()
    filled(url, then, count)
    print(f"{on}: {count:,} calls written in {time.perf_counter() - began:.0f} s", flush=True)
    draw, killed = random.Random(2), 0
    began, before = time.perf_counter(), cpu_of_children()
    for _ in range(kills):
        killed += Command(url, today_file).kill(draw.uniform(2, 100 * count / 1_000_000))
    said, peak = Command(url, today_file).result()
    took, cpu = time.perf_counter() - began, cpu_of_children() - before
    print(
        f"  recomputed, killed {killed} times: {took:.0f} s in all, {count / took:,.0f} calls/s,"
        f" {cpu / count * 1e6:.0f} µs of CPU a call; the last run went on after {said['looked_at_before']:,} calls;"
        f" {said['changed']:,} changed; peak {peak:.0f} MiB",
        flush=True,
    )
    began, before = time.perf_counter(), cpu_of_children()
    again, _ = Command(url, today_file).result()
    took, cpu = time.perf_counter() - began, cpu_of_children() - before
    print(
        f"  again: {took:.0f} s, {count / took:,.0f} calls/s, {cpu / count * 1e6:.0f} µs of CPU a call;"
        f" {again['changed']:,} changed",
        flush=True,
    )
    engine = open_engine(url)
    with engine.connect() as connection:
        kept = sa.select(sa.func.count()).select_from(former_estimates).where(former_estimates.c.number == 0)
        former = connection.scalar(kept)
    print(
        f"  {wrong(engine, today, count):,} rows of {count:,} differ from what is composed today;"
        f" former values of {former:,}; sums off by {sums_differ(engine):.1g} at most",
        flush=True,
    )
    engine.dispose()


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--on", default="sqlite,postgresql", help="which databases, in turn")
    arguments.add_argument("--postgresql", metavar="URL", help="a server where databases may be made and dropped")
    arguments.add_argument("--directory", metavar="DIR", help="where the SQLite files lie meanwhile")
    arguments.add_argument("--kills", type=int, default=3)
    given = arguments.parse_args()
    for on in given.on.split(","):
        with contextlib.ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=given.directory)))
            prices = directory / "prices.toml"
            prices.write_text(PRICES_THEN)
            (directory / "then.toml").write_text(f'[estimate]\nprice_list = "{prices}"\n{ZONES_THEN}')
            (directory / "today.toml").write_text("")
            if on == "postgresql":
                server = stack.enter_context(postgresql(given.postgresql))
                url = server("recompute")
            else:
                url = f"sqlite:///{directory}/ledger.db"
            measure(on, directory, url, given.rows, given.kills)


if __name__ == "__main__":
    main()
