"""`joulegate recompute` killed at random moments while calls are recorded: never half a step, and exact in the end.

``CRASH_ROUNDS`` and ``CRASH_SEED`` change how often and which moments.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
import sqlalchemy as sa

from proxy.ledger.recomputing import Stretch
from proxy.ledger.tables import ESTIMATE, calls, estimate_generations, former_estimates
from proxy.ledger.write import Beside, Ledger
from proxy.reports import period
from tests.ledger.recomputing import NOW, by_id, configured, of_old, put, some_calls, stored
from tests.ledger.test_rollups import same

pytestmark = pytest.mark.heavy

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "6"))
SEED = int(os.environ.get("CRASH_SEED", "20261128"))
CALLS = 3000
PERIOD = ("2026-11-17", "2026-11-22")
ELSEWHERE = '[[provider]]\nname = "groq"\nzone = "SWE"\n[[provider]]\nname = "openai"\nzone = "FRA"\n'


def start(directory: Path, url: str) -> subprocess.Popen[bytes]:
    first, last = PERIOD
    words = ("recompute", "--from", first, "--to", last, "--database", url, "--config", "joulegate.toml")
    return subprocess.Popen([sys.executable, "-m", "proxy.cli", *words], cwd=directory, stdout=subprocess.DEVNULL)


def looked_at(engine: sa.Engine) -> tuple[int, int] | None:
    table = estimate_generations.c
    with engine.connect() as connection:
        found = connection.execute(sa.select(table.generation, table.looked_at).where(table.ended_at.is_(None)))
        return found.one_or_none()


def sums_are_right(engine: sa.Engine, stretch: Stretch) -> None:
    for by in (("team", "model"), ("zone", "tier", "grid_source")):
        same(engine, by, stretch.start, stretch.end, ZoneInfo("UTC"))


def test_killed_at_random_moments_it_goes_on_and_ends_exact(tmp_path, ledger_url, engine):
    draw = random.Random(SEED)
    configurations = ["", ELSEWHERE]
    now, other = (some_calls(configured(tmp_path, text), CALLS, SEED) for text in configurations)
    assert [each.row.started_at for each in now] == [each.row.started_at for each in other]  # the same calls
    possible = {}
    for each, its in zip(now, other, strict=True):
        elsewhere = {name: getattr(its.row, name) for name in ESTIMATE}
        possible[each.row.id] = [of_old(each).row, each.row, msgspec.structs.replace(each.row, **elsewhere)]
    put(engine, [of_old(each) for each in now[: CALLS // 2]])
    stop = threading.Event()
    problems: list[BaseException] = []

    def record() -> None:
        ledger = Ledger(engine)
        try:
            for begin in range(CALLS // 2, CALLS, 5):
                some = now[begin : begin + 5]
                beside = {each.row.id: Beside(lines=each.lines) for each in some if each.lines}
                ledger.commit([each.row for each in some], journal="k", positions={}, at=NOW, beside=beside)
                stop.wait(0.01)
        except BaseException as error:
            problems.append(error)

    recording = threading.Thread(target=record)
    recording.start()
    killed = finished = 0
    asked = period.parse(month=None, start=PERIOD[0], end=PERIOD[1], tz="UTC", now=NOW)
    stretch = Stretch(start=asked.start, end=asked.end, facts_version="", settings="")
    try:
        for number in range(ROUNDS):
            configured(tmp_path, configurations[finished % 2])
            before = looked_at(engine)
            process = start(tmp_path, ledger_url)
            while process.poll() is None and looked_at(engine) == before:
                time.sleep(0.01)
            time.sleep(draw.choice((0, draw.uniform(0, 0.2), draw.uniform(0, 2))))
            process.kill()
            ended = process.wait()
            assert ended in (0, -9), ended
            finished += ended == 0
            killed += ended != 0
            if recording.is_alive() and number < ROUNDS - 1:
                continue
            sums_are_right(engine, stretch)
            assert all(row in possible[row.id] for row in stored(engine))
    finally:
        stop.set()
        recording.join()
    assert problems == []
    sys.stdout.write(f"\nseed {SEED}: killed {killed} times, ended {finished} times\n")
    assert killed > 0
    configured(tmp_path, "")
    assert start(tmp_path, ledger_url).wait() == 0
    assert stored(engine) == by_id(now)
    sums_are_right(engine, stretch)
    with engine.connect() as connection:
        before = connection.scalar(sa.select(sa.func.count()).select_from(former_estimates))
    assert start(tmp_path, ledger_url).wait() == 0
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(former_estimates)) == before > 0
        changed = sa.select(sa.func.count()).select_from(calls).where(calls.c.generation.is_not(None))
        own = sa.select(sa.func.count(former_estimates.c.call_id.distinct())).where(former_estimates.c.number == 0)
        assert connection.scalar(changed) == connection.scalar(own)
