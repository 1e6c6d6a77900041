"""How the metering itself is doing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from proxy.metrics import RecorderState

Status = Literal[
    "ok", "incomplete", "budgets_unkept", "keys_outdated", "late", "standing_by", "standing_still", "unwritable"
]

LATE_SECONDS = 60.0  # a ledger further behind than this is late; the shipped alert uses the same bound


class Recording(RecorderState, Protocol):
    """What the console asks of the recorder, beside what the metrics do."""

    @property
    def problem(self) -> str | None:
        """Why it stands still; None while it works."""

    @property
    def gate_problems(self) -> Sequence[str]:
        """Why gates cannot write their journals now, one text for each such gate."""

    @property
    def notice(self) -> str | None:
        """When the ledger was last found deleted or replaced; None: never since the start."""

    @property
    def leads(self) -> bool:
        """Whether no other recorder works on these journals, though this one may still be opening its ledger."""

    @property
    def calls_in_flight(self) -> int:
        """Calls opened and not yet closed."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the metering is doing; ``ok`` only where nothing is wrong now and nothing is missing since the start.

    The worst holds: ``unwritable``, a gate cannot write its journal, so calls wait in its memory and are
    lost when that is full; ``standing_still``, calls wait in the journals; ``standing_by``, another
    recorder works; ``late``, the ledger is far behind; ``keys_outdated``, keys are not in force as they are in the
    directory; ``budgets_unkept``, no call is held to some budget here; ``incomplete``, all works, but
    calls are missing.
    ``missing_calls`` were lost or refused: not in the ledger, or there without their tokens.
    """

    status: Status
    problem: str | None  # what is wrong, in words
    ledger_lag_seconds: float
    calls_in_flight: int
    streams_open: int
    missing_calls: int
    journal_records: dict[str, int]


def health(recorder: Recording, key_problems: Sequence[str] = (), budget_problems: Sequence[str] = ()) -> Health:
    """Judge the recorder, and whether keys and budgets are in force as they should be."""
    counts = dict(recorder.record_counts)
    missing = counts["lost"] + counts["poison"]
    problems = [*recorder.gate_problems, recorder.problem, *key_problems, *budget_problems, recorder.notice]
    return Health(
        status=_status(recorder, missing, keys_outdated=bool(key_problems), budgets_unkept=bool(budget_problems)),
        problem="; ".join(filter(None, problems)) or None,
        ledger_lag_seconds=recorder.lag_seconds,
        calls_in_flight=recorder.calls_in_flight,
        streams_open=recorder.streams_open,
        missing_calls=missing,
        journal_records=counts,
    )


def said(found: Health) -> str:
    """Say it in a line, as it stands beside a report."""
    missing = f"; {found.missing_calls:,} calls are missing" if found.missing_calls else ""
    problem = f": {found.problem}" if found.problem else ""
    return f"{found.status.replace('_', ' ')}{problem}, {found.ledger_lag_seconds:.0f} s behind{missing}"


def _status(recorder: Recording, missing: int, *, keys_outdated: bool, budgets_unkept: bool) -> Status:
    if recorder.gate_problems:
        return "unwritable"
    if recorder.problem is not None:
        return "standing_still"
    if not recorder.leads:
        return "standing_by"
    if recorder.lag_seconds > LATE_SECONDS:
        return "late"
    if keys_outdated:
        return "keys_outdated"
    if budgets_unkept:
        return "budgets_unkept"
    return "incomplete" if missing or recorder.notice is not None else "ok"
