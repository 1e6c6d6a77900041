"""Several gates at once, some of them killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from proxy.call import Opened
from proxy.journal import Journal
from tests.recorder.bench import catch_up
from tests.records import closed, opened


def test_several_gates_at_once(bench):
    journals = [bench.journal(f"gate-{number}", segment_bytes=5000) for number in range(4)]
    recorder = bench.recorder()
    expected: dict[str, str] = {}
    draw = random.Random(5)
    in_flight: dict[str, tuple[Opened, Journal]] = {}
    for _ in range(1500):
        if in_flight and draw.random() < 0.5:
            begun, journal = in_flight.pop(draw.choice(list(in_flight)))
            outcome = draw.choice(["ok", "error", "aborted"])
            assert journal.append(closed(begun, outcome=outcome))
            expected[begun.id] = outcome
        else:
            begun, journal = opened(), draw.choice(journals)
            assert journal.append(begun)
            in_flight[begun.id] = (begun, journal)
        if draw.random() < 0.05:
            recorder.run_once(draw.randrange(1, 60))
        if draw.random() < 0.01:
            recorder.close()  # as a crash would: what it knew is gone
            recorder = bench.recorder()
    catch_up(recorder)
    assert recorder.calls_in_flight == len(in_flight)
    for journal in journals:
        journal.close()
    catch_up(recorder)
    assert bench.outcomes() == expected | dict.fromkeys(in_flight, "interrupted")
    assert sorted(row.id for row in bench.heard) == sorted(bench.outcomes())
    assert bench.segments() == []


GATE = """
    import os, sys
    from pathlib import Path
    from proxy.journal import Journal
    from tests.records import closed, opened
    journal = Journal.open(Path(sys.argv[1]), worker=sys.argv[2], segment_bytes=50_000)
    start = int(sys.argv[3])
    for number in range(start, start + 1000):
        begun = opened(id=f"{sys.argv[2]}-{number}")
        assert journal.append(begun)
        if number % 10:
            assert journal.append(closed(begun))
            os.write(1, f"{begun.id}\\n".encode())
        else:
            os.write(1, f"{begun.id} open\\n".encode())
"""


RECORDER = """
    import sys, threading
    from pathlib import Path
    import estimator
    from proxy.ledger.engine import open_engine
    from proxy.ledger.write import Ledger
    from proxy.recorder import Recorder
    engine = open_engine(sys.argv[2])
    Recorder(Path(sys.argv[1]), Ledger(engine), estimate=estimator.estimate).run(threading.Event())
"""


def start(program: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.heavy
def test_gates_and_recorders_killed_again_and_again_lose_and_double_nothing(bench):
    """Every call whose append returned is a row, once; those without an end are interrupted."""
    draw = random.Random(11)
    told: dict[str, str] = {}
    for number in range(6):
        gates = [start(GATE, bench.journals, f"gate{worker}", number * 1000) for worker in (1, 2)]
        recorders = [start(RECORDER, bench.journals, bench.engine.url.render_as_string(False)) for _ in range(2)]
        time.sleep(draw.uniform(0.8, 2.4))
        for child in (*recorders, *gates):
            os.kill(child.pid, signal.SIGKILL)
        for child in (*gates, *recorders):
            assert child.stdout is not None
            for line in child.stdout.read().decode().splitlines():
                name, *still_open = line.split()
                told[name] = "interrupted" if still_open else "ok"
            child.wait()
            child.stdout.close()
    catch_up(bench.recorder())
    outcomes = bench.outcomes()
    assert told
    assert {name: outcomes.get(name) for name in told} == told
    # Beside what was told only what was written but killed before it could say so: one per gate and round.
    assert len(outcomes) - len(told) <= 12
    assert bench.segments() == []
