"""Questions to the ledger: sums over a period by any of its dimensions, and the last calls.

Sums of nothing but NULL are None. Times are grouped by quarters of an hour in SQL and put together to
local days here, since every time zone in use is off UTC by whole quarters and SQLite knows no zones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from proxy.ledger.tables import CallRow, calls

_QUARTER_S = 900


class _QuarterHour(FunctionElement[int]):
    """Which quarter of an hour since the Unix epoch a time falls into."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(_QuarterHour, "sqlite")
def _quarter_on_sqlite(element: _QuarterHour, compiler: SQLCompiler, **options: Any) -> str:
    return f"(CAST(strftime('%s', {compiler.process(element.clauses, **options)}) AS INTEGER) / {_QUARTER_S})"


@compiles(_QuarterHour, "postgresql")
def _quarter_on_postgresql(element: _QuarterHour, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(floor(extract(epoch FROM {compiler.process(element.clauses, **options)}) / {_QUARTER_S}) AS BIGINT)"


TIME_DIMENSIONS: dict[str, Callable[[datetime], str]] = {
    "hour": lambda local: f"{local:%Y-%m-%d %H:00%z}",
    "day": lambda local: f"{local:%Y-%m-%d}",
    "month": lambda local: f"{local:%Y-%m}",
}
DIMENSIONS: dict[str, ColumnElement[Any]] = {
    "team": calls.c.team,
    "project": calls.c.project,
    "user": calls.c.user,
    "key": calls.c.key_id,
    "provider": calls.c.provider,
    "model": sa.func.coalesce(calls.c.model, calls.c.model_requested),  # as served, else as asked for
    "model_requested": calls.c.model_requested,
    "surface": calls.c.surface,
    "outcome": calls.c.outcome,
    "usage_source": calls.c.usage_source,
    "service_tier": calls.c.service_tier,
    "tier": calls.c.tier,
    "zone": calls.c.zone,
    **{name: _QuarterHour(calls.c.started_at) for name in TIME_DIMENSIONS},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over the calls of one group; ``key`` has one value per dimension asked for.

    ``*_unknown_calls`` and ``unpriced_calls`` have tokens but not the figure; the sums leave them out.
    """

    key: tuple[str | None, ...] = ()
    calls: int = 0
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    flops: float | None = None
    joules_low: float | None = None
    joules: float | None = None
    joules_high: float | None = None
    grams_co2e_low: float | None = None
    grams_co2e: float | None = None
    grams_co2e_high: float | None = None
    embodied_grams_co2e: float | None = None
    market_grams_co2e: float | None = None
    liters: float | None = None
    cost_usd: Decimal | None = None
    unpriced_calls: int = 0
    energy_unknown_calls: int = 0
    carbon_unknown_calls: int = 0
    water_unknown_calls: int = 0
    reported_calls: int = 0  # these four: calls by where their token counts came from
    counted_calls: int = 0
    inferred_calls: int = 0
    absent_calls: int = 0  # of calls that reached a provider


_SUMMED = [each.name for each in fields(Totals) if each.name in calls.c]
_TOKENS_KNOWN = sa.or_(calls.c.input_tokens.is_not(None), calls.c.output_tokens.is_not(None))
_COUNTED: dict[str, ColumnElement[bool]] = {
    "unpriced_calls": sa.and_(_TOKENS_KNOWN, calls.c.cost_usd.is_(None)),
    "energy_unknown_calls": sa.and_(_TOKENS_KNOWN, calls.c.joules.is_(None)),
    "carbon_unknown_calls": sa.and_(_TOKENS_KNOWN, calls.c.grams_co2e.is_(None)),
    "water_unknown_calls": sa.and_(_TOKENS_KNOWN, calls.c.liters.is_(None)),
    "reported_calls": calls.c.usage_source == "reported",
    "counted_calls": calls.c.usage_source == "counted",
    "inferred_calls": calls.c.usage_source == "inferred",
    "absent_calls": sa.and_(calls.c.usage_source == "absent", calls.c.provider.is_not(None)),
}


def totals(
    connection: sa.Connection, *, by: Sequence[str] = (), start: datetime, end: datetime, zone: ZoneInfo
) -> list[Totals]:
    """Sum the calls started in [start, end) by the named dimensions; ``zone`` decides what a day is.

    One Totals without a key, also when there were no calls, if ``by`` is empty. Raises KeyError on an
    unknown dimension.
    """
    columns = {name: DIMENSIONS[name].label(f"by_{position}") for position, name in enumerate(by)}
    select = (
        sa.select(
            *columns.values(),
            sa.func.count().label("calls"),
            *(sa.func.sum(calls.c[name]).label(name) for name in _SUMMED),
            *(sa.func.count(sa.case((condition, 1))).label(name) for name, condition in _COUNTED.items()),
        )
        .where(calls.c.started_at >= start, calls.c.started_at < end)
        .group_by(*columns.values())
    )
    groups: dict[tuple[str | None, ...], Totals] = {} if by else {(): Totals()}
    for row in connection.execute(select):
        one = _read(by, row._mapping, zone)
        groups[one.key] = add(groups[one.key], one) if one.key in groups else one
    return list(groups.values())


def add(one: Totals, other: Totals) -> Totals:
    """Add two groups; the first one's key stays. Unknown and unknown is unknown."""

    def both(name: str) -> Any:
        a, b = getattr(one, name), getattr(other, name)
        return b if a is None else a if b is None else a + b

    return Totals(key=one.key, **{each.name: both(each.name) for each in fields(Totals) if each.name != "key"})


def recent(connection: sa.Connection, *, limit: int) -> list[CallRow]:
    """Give the last calls, the latest first."""
    select = sa.select(calls).order_by(calls.c.started_at.desc(), calls.c.id.desc()).limit(limit)
    names = CallRow.__struct_fields__
    return [msgspec.convert(dict(zip(names, row, strict=True)), CallRow) for row in connection.execute(select)]


def _read(by: Sequence[str], row: sa.RowMapping, zone: ZoneInfo) -> Totals:
    def values() -> Iterator[str | None]:
        for position, name in enumerate(by):
            value = row[f"by_{position}"]
            written = TIME_DIMENSIONS.get(name)
            yield (
                value if written is None else written(datetime.fromtimestamp(value * _QUARTER_S, UTC).astimezone(zone))
            )

    def summed(name: str) -> Any:
        value = row[name]
        # PostgreSQL sums whole numbers to a decimal.
        return int(value) if isinstance(value, Decimal) and name.endswith("_tokens") else value

    return Totals(
        key=tuple(values()),
        calls=row["calls"],
        **{name: summed(name) for name in _SUMMED},
        **{name: row[name] for name in _COUNTED},
    )
