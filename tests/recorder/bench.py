"""A journal directory, a ledger and who listens, for tests of the recorder."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

import estimator
from proxy.journal import Journal
from proxy.ledger.tables import CallRow, call_columns, calls, journal_positions, rows_of
from proxy.ledger.write import Ledger
from proxy.recorder import Recorder
from tests.databases import open_ledger
from tests.records import AT_US


class Bench:
    """A journal directory, a ledger and what a listener heard."""

    def __init__(self, directory: Path, url: str | None = None) -> None:
        self.journals = directory / "journal"
        self.database = directory / "ledger.db"
        self.engine = open_ledger(url or f"sqlite:///{self.database}")
        self.heard: list[CallRow] = []
        self.now = AT_US / 1e6 + 60
        self.recorders: list[Recorder] = []

    def journal(self, worker: str = "gate-1", **options) -> Journal:
        return Journal.open(self.journals, worker=worker, fsync="never", **options)

    def recorder(self, **changes) -> Recorder:
        given = {"estimate": estimator.estimate, "on_rows": self.heard.extend, "clock": lambda: self.now}
        self.recorders.append(Recorder(self.journals, Ledger(self.engine), **(given | changes)))
        return self.recorders[-1]

    def rows(self) -> list[CallRow]:
        with self.engine.connect() as connection:
            return rows_of(connection.execute(sa.select(*call_columns).order_by(calls.c.id)))

    def outcomes(self) -> dict[str, str]:
        return {row.id: row.outcome for row in self.rows()}

    def positions(self) -> dict[str, tuple[int, int]]:
        with self.engine.connect() as connection:
            return {
                row.segment: (row.resolved_to, row.read_to) for row in connection.execute(sa.select(journal_positions))
            }

    def segments(self) -> list[str]:
        return sorted(path.name for path in self.journals.glob("*.journal"))


def catch_up(recorder: Recorder, limit: int = 200) -> None:
    for _ in range(3):  # that a writer is gone shows only at the look after the last record
        while recorder.run_once(limit):
            pass
