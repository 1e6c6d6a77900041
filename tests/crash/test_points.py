"""A recorder killed at every single step of its work, one after another: the next one makes the same ledger of it.

A step is a statement or a commit that it sends, and a file that it opens, renames or deletes. So the moments between a
commit and the trimming of the journal are among them, and those between deleting a segment and forgetting its position.
The metrics of the next one have counted every row once, whoever wrote it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

import estimator
from proxy.journal import Journal
from proxy.ledger.engine import open_engine
from proxy.ledger.tables import calls, journal_positions
from proxy.ledger.write import Ledger
from proxy.metrics import Metrics
from proxy.metrics_file import MetricsFile
from proxy.recorder import Recorder
from tests.crash.accounts import sums_that_differ
from tests.databases import PostgresServer, open_ledger
from tests.records import AT_US, closed, opened
from tests.rows import known

pytestmark = pytest.mark.heavy

FILE_STEPS = ("open", "os.rename", "os.remove", "os.link")
KATHMANDU = ZoneInfo("Asia/Kathmandu")
STEPS_AT_MOST = 400


def write_journals(folder: Path) -> dict[str, str]:
    """Two gates that have ended, one of which rotated; gives what has to become of each call."""
    outcomes: dict[str, str] = {}
    for worker in ("gate-1", "gate-2"):
        journal = Journal.open(folder, worker=worker, fsync="never", segment_bytes=3000)
        for number in range(8):
            begun = opened()
            assert journal.append(begun)
            outcomes[begun.id] = "interrupted"
            if number % 4:
                assert journal.append(closed(begun))
                outcomes[begun.id] = "ok"
        journal.close()
    return outcomes


def record_all(folder: Path, url: str) -> Metrics:
    """Gives the metrics, which go on where those of the recorder before were."""
    engine = open_engine(url)
    metrics = Metrics(teams={"search"}, providers={"openai"}, model_name=known({"gpt-4o-2024-08-06"}))
    recorder = Recorder(
        folder,
        Ledger(engine, KATHMANDU),
        estimate=estimator.estimate,
        on_rows=metrics.record,
        clock=lambda: AT_US / 1e6 + 60,
        keeper=MetricsFile(folder / "metrics.json", metrics, names_at_most=4),
    )
    for _ in range(3):  # that a writer is gone shows only at the look after its last record
        while recorder.run_once(5):
            pass
    recorder.close()
    engine.dispose()
    return metrics


def counted(metrics: Metrics, name: str) -> float:
    families = text_string_to_metric_families(metrics.render(max_age_seconds=0).decode())
    return sum(each.value for family in families for each in family.samples if each.name == name)


def killed_at(step: int, work: Callable[[], None]) -> bool:
    """Do the work in a process that dies at one of its steps; False where it has not so many."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            left = [step]

            def pass_by(*_: object) -> None:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            sa.event.listen(sa.Engine, "before_cursor_execute", pass_by)
            sa.event.listen(sa.Engine, "commit", pass_by)
            sys.addaudithook(lambda name, _: pass_by() if name in FILE_STEPS else None)
            work()
            status = 0
        finally:
            os._exit(status)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_a_recorder_killed_at_any_step_leaves_what_the_next_one_completes(
    tmp_path: Path, backend: str, request: pytest.FixtureRequest
) -> None:
    written = tmp_path / "written"
    outcomes = write_journals(written)
    migrated = tmp_path / "migrated.db"
    open_ledger(f"sqlite:///{migrated}").dispose()
    server: PostgresServer | None = request.getfixturevalue("postgres") if backend == "postgresql" else None
    for step in range(1, STEPS_AT_MOST):
        folder = tmp_path / str(step)
        shutil.copytree(written, folder)
        if server is None:
            shutil.copy(migrated, tmp_path / f"{step}.db")
            url = f"sqlite:///{tmp_path}/{step}.db"
        else:
            url = server.migrated()
        killed = killed_at(step, lambda: record_all(folder, url))  # noqa: B023
        metrics = record_all(folder, url)
        engine = open_engine(url)
        with engine.connect() as connection:
            assert counted(metrics, "joulegate_calls_total") == len(outcomes), step
            joules = connection.execute(sa.select(sa.func.sum(calls.c.joules))).scalar_one()
            assert counted(metrics, "joulegate_energy_joules_total") == pytest.approx(joules, rel=1e-12), step
            assert dict(connection.execute(sa.select(calls.c.id, calls.c.outcome)).all()) == outcomes, step
            assert connection.execute(sa.select(journal_positions)).all() == [], step
        assert sums_that_differ(engine) == [], step
        engine.dispose()
        assert list(folder.glob("*.journal")) == []
        assert not (folder / "set-aside").exists()
        shutil.rmtree(folder)
        if server is not None:
            server.drop(url)
        if not killed:
            break
    assert 40 < step < STEPS_AT_MOST - 1
    sys.stdout.write(f"\nkilled at each of {step - 1} steps on {backend}\n")
