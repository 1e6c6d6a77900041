"""What the ledger needs now and then, beside the recorder: sums of what other releases wrote, and old rows deleted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Engine

from proxy.errors import LedgerError
from proxy.ledger.retention import cut, delete
from proxy.ledger.write import Ledger

_EVERY_S = 600.0
_FIRST_S = 5.0

_log = logging.getLogger("joulegate.housekeeping")


class Housekeeping:
    """Does its round every ten minutes, in a thread of its own, while ``working`` says that the ledger is there."""

    def __init__(
        self,
        engine: Engine,
        *,
        keep_days: int | None,
        working: Callable[[], bool],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Without ``keep_days`` all rows stay."""
        self._engine = engine
        self._keep_days = keep_days
        self._working = working
        self._now = now
        self._said: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop``; outlives what fails."""
        wait = _FIRST_S
        while not stop.wait(wait):
            if not self._working():
                continue
            wait = _EVERY_S
            try:
                self.round(stop)
                self._said = None
            except Exception as error:  # the next round tries again
                if str(error) != self._said:
                    level = logging.WARNING if isinstance(error, LedgerError) else logging.ERROR
                    _log.log(level, "the ledger's housekeeping failed: %s", error)
                self._said = str(error)

    def round(self, stop: threading.Event) -> int:
        """Make missing sums, delete old rows; gives how many rows went. Raises :class:`LedgerError`."""
        ledger = Ledger(self._engine)  # a fresh one: the file may be another since the last round
        while not stop.is_set() and ledger.roll_up():
            stop.wait(0.01)  # the recorder writes too
        if self._keep_days is None:
            return 0
        now = self._now()
        gone = 0
        for done in delete(self._engine, cut(now, self._keep_days), now=now, rest=stop.wait):
            gone += done
            if stop.is_set():
                break
        if gone:
            _log.info("%d rows older than %d days deleted; their sums stay", gone, self._keep_days)
        return gone
