"""Comparing what clients and the provider saw with what the ledger says."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from proxy.ledger.rollup_tables import (
    calls_by_day,
    calls_by_four_hours,
    calls_by_hour,
    calls_by_local_day,
    calls_by_quarter,
)
from proxy.ledger.tables import calls
from tests.crash.traffic import Call, output_tokens

_EXACT = ("calls", "input_tokens", "output_tokens", "cost_usd")
_SUMMED = (*_EXACT, "joules", "grams_co2e", "liters")


@dataclass(frozen=True, slots=True)
class Row:
    """What a row of the ledger says of a call of these tests."""

    id: str
    number: int
    outcome: str
    reason: str | None
    output_tokens: int | None
    usage_source: str


def rows(engine: sa.Engine, *, since_id: str = "") -> list[Row]:
    """Read the rows of calls made since; none where there is no ledger yet."""
    table = calls.c
    select = sa.select(
        table.id, table.tags, table.outcome, table.reason, table.output_tokens, table.usage_source
    ).where(table.id >= since_id)
    try:
        with engine.connect() as connection:
            found = connection.execute(select).all()
    except sa.exc.DBAPIError:  # it is not made yet, or away
        return []
    return [Row(row[0], int(row[1]["n"]), *row[2:]) for row in found if row[1]]


def differences(made: Iterable[Call], reached: Collection[int], recorded: Collection[Row]) -> list[str]:
    """Say where the ledger is wrong: lost, doubled, or not as the client saw it; empty where it is right."""
    by_number: dict[int, list[Row]] = {}
    for row in recorded:
        by_number.setdefault(row.number, []).append(row)
    wrong: list[str] = []
    for call in made:
        its = by_number.pop(call.number, [])
        if len(its) > 1:
            wrong.append(f"doubled: {call} has {its}")
        elif not its:
            if call.end == "finished" or call.number in reached:
                wrong.append(f"lost: {call}, {'reached' if call.number in reached else 'not seen by'} the provider")
        elif call.end == "finished":
            row = its[0]
            said = (row.id, row.outcome, row.output_tokens, row.usage_source)
            if said != (call.call_id, "ok", output_tokens(call.number), "reported"):
                wrong.append(f"wrong: {call} is {row}")
        elif call.end == "stuck":
            wrong.append(f"stuck: {call} is {its[0]}")
        elif its[0].outcome not in ("ok", "aborted", "interrupted", "error"):
            wrong.append(f"odd: {call} is {its[0]}")
    wrong += [f"invented: {its}" for its in by_number.values()]
    return wrong


def sums_that_differ(engine: sa.Engine) -> list[str]:
    """Say which sums that reports read are not those of the calls; empty where all are."""
    wrong: list[str] = []
    with engine.connect() as connection:
        for table in (calls_by_quarter, calls_by_hour, calls_by_four_hours, calls_by_day, calls_by_local_day):
            summed = connection.execute(sa.select(*(sa.func.sum(table.c[name]) for name in _SUMMED))).one()
            counted = connection.execute(
                sa.select(sa.func.count(), *(sa.func.sum(calls.c[name]) for name in _SUMMED[1:]))
            ).one()
            for name, here, there in zip(_SUMMED, summed, counted, strict=True):
                same = here == there if name in _EXACT else math.isclose(here or 0, there or 0, rel_tol=1e-9)
                if not same:
                    wrong.append(f"{table.name}.{name} adds up to {here}, calls to {there}")
    return wrong


def settle(look: Callable[[], list[str]], within_s: float) -> list[str]:
    """Wait until nothing is wrong any more; gives what still is when the time is over."""
    deadline = time.monotonic() + within_s
    while (wrong := look()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return wrong


def summary(made: Iterable[Call], recorded: Iterable[Row]) -> str:
    """Say in one line how many calls there were and what became of them."""
    ends, outcomes = Counter(call.end for call in made), Counter(row.outcome for row in recorded)
    return f"clients: {dict(sorted(ends.items()))}; ledger: {dict(sorted(outcomes.items()))}"
