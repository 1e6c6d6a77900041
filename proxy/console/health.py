"""How the metering itself is doing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

LATE_SECONDS = 60.0  # a ledger further behind than this is late; the shipped alert uses the same bound


class Recording(Protocol):
    """What the console asks of the recorder."""

    @property
    def problem(self) -> str | None:
        """Why it stands still; None while it works."""

    @property
    def active(self) -> bool:
        """Whether this recorder is the one that works."""

    @property
    def calls_in_flight(self) -> int:
        """Calls opened and not yet closed."""

    @property
    def streams_open(self) -> int:
        """Streamed calls opened and not yet closed."""

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest call that ended and is not in the ledger; 0 when none waits."""

    @property
    def record_counts(self) -> Mapping[str, int]:
        """Journal records since the start by what became of them."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """``missing_calls`` were lost or refused: they are not in the ledger and will not be."""

    status: Literal["ok", "late", "standing_still", "standing_by"]
    problem: str | None
    ledger_lag_seconds: float
    calls_in_flight: int
    streams_open: int
    missing_calls: int
    journal_records: dict[str, int]


def health(recorder: Recording) -> Health:
    """Judge the recorder."""
    counts = dict(recorder.record_counts)
    lag = recorder.lag_seconds
    status: Literal["ok", "late", "standing_still", "standing_by"] = "ok"
    if recorder.problem is not None:
        status = "standing_still"
    elif not recorder.active:
        status = "standing_by"
    elif lag > LATE_SECONDS:
        status = "late"
    return Health(
        status=status,
        problem=recorder.problem,
        ledger_lag_seconds=lag,
        calls_in_flight=recorder.calls_in_flight,
        streams_open=recorder.streams_open,
        missing_calls=counts.get("lost", 0) + counts.get("poison", 0),
        journal_records=counts,
    )
