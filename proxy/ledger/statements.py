"""Statements of providers in the ledger: kept as they were read, and what the ledger has of the same days."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from proxy.ledger.read import Totals, splits
from proxy.ledger.tables import statements
from proxy.reconciling.comparison import Key, Recorded, Side
from proxy.reconciling.shape import Stated
from proxy.reconciling.statement import Days

# The names that a statement's line may have, and the ledger's dimension for each.
NAMES: Mapping[str, str] = {"model": "model", "key": "key", "project": "project"}


def keep(connection: Connection, source: str, lines: Sequence[Stated], at: datetime) -> bool:
    """Store a statement under a digest of its file; False where it is there already, and nothing is changed."""
    there = sa.select(statements.c.number).where(statements.c.source == source).limit(1)
    if connection.execute(there).first() is not None or not lines:
        return False
    rows = [
        {"source": source, "number": number, "read_at": at, **dataclasses.asdict(line)}
        for number, line in enumerate(lines, 1)
    ]
    connection.execute(sa.insert(statements), rows)
    return True


def recorded(
    connection: Connection,
    covers: Mapping[str, Days],
    by: Sequence[str],
    named: Callable[[str, str, str | None], str | None],
) -> dict[Key, Recorded]:
    """Give what the ledger has of the statement's providers, from the first to the last day (UTC) that it covers.

    ``named`` gives the name under which a value of a dimension is compared: of a provider, a dimension, a value.
    """
    if not covers:
        return {}
    start = _midnight(min(first for first, _ in covers.values()))
    end = _midnight(max(last for _, last in covers.values()) + timedelta(days=1))
    asked = ("provider", "day", *(NAMES[name] for name in by))
    (groups,) = splits(connection, (asked,), start=start, end=end, zone=ZoneInfo("UTC"))
    found: dict[Key, Recorded] = {}
    for group in groups:
        provider, day = group.key[0], date.fromisoformat(group.key[1] or "")
        if provider is None or provider not in covers or not covers[provider][0] <= day <= covers[provider][1]:
            continue
        names = tuple(named(provider, name, value) for name, value in zip(by, group.key[2:], strict=True))
        one = _recorded(group)
        key = (provider, day, names)
        found[key] = found[key].plus(one) if key in found else one
    return found


def _recorded(group: Totals) -> Recorded:
    return Recorded(
        side=Side(input_tokens=group.input_tokens, output_tokens=group.output_tokens, usd=group.cost_usd),
        calls=group.calls,
        unpriced_calls=group.unpriced_calls,
        absent_calls=group.absent_calls,
        inferred_calls=group.counted_calls + group.inferred_calls,
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
