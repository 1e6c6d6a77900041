"""Questions to the ledger: sums over a period by any of its dimensions, and the last calls.

Sums of nothing but NULL are None. The band of a sum is the estimator's `Total`: errors that calls share
add up, a call's own even out. Times are grouped by quarters of an hour in SQL and put together to local
days here, since every time zone in use is off UTC by whole quarters and SQLite knows no zones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from estimator.uncertainty import Group, Total
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
    "grid_source": calls.c.grid_source,
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
    joules_low: float | None = None  # of the sum, not the sum of each call's
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


_BANDED = ("joules", "grams_co2e")  # the figures with a band that sums keep
_TOKENS_KNOWN = sa.or_(calls.c.input_tokens.is_not(None), calls.c.output_tokens.is_not(None))
_CONDITIONS: dict[str, ColumnElement[bool]] = {
    "unpriced_calls": sa.and_(_TOKENS_KNOWN, calls.c.cost_usd.is_(None)),
    "energy_unknown_calls": sa.and_(_TOKENS_KNOWN, calls.c.joules.is_(None)),
    "carbon_unknown_calls": sa.and_(_TOKENS_KNOWN, calls.c.grams_co2e.is_(None)),
    "water_unknown_calls": sa.and_(_TOKENS_KNOWN, calls.c.liters.is_(None)),
    "reported_calls": calls.c.usage_source == "reported",
    "counted_calls": calls.c.usage_source == "counted",
    "inferred_calls": calls.c.usage_source == "inferred",
    "absent_calls": sa.and_(calls.c.usage_source == "absent", calls.c.provider.is_not(None)),
}
_SUMMED = [each.name for each in fields(Totals) if each.name in calls.c and not each.name.endswith(("_low", "_high"))]
_FIGURES: dict[str, ColumnElement[Any]] = {
    "calls": sa.func.count(),
    **{name: sa.func.sum(calls.c[name]) for name in _SUMMED},
    **{name: sa.func.count(sa.case((condition, 1))) for name, condition in _CONDITIONS.items()},
}
_NAMES = tuple(_FIGURES)


def _deviations(name: str) -> list[ColumnElement[float]]:
    """Sum shared deviations, and own ones in squares, downwards and upwards: a Group of the estimator but its middle.

    A row of a release that did not tell them apart counts as sharing all of its error.
    """
    mid = calls.c[name]
    ways = (
        (mid - calls.c[f"{name}_low"], calls.c[f"{name}_shared_down"]),
        (calls.c[f"{name}_high"] - mid, calls.c[f"{name}_shared_up"]),
    )
    shared = [(whole, sa.func.coalesce(part, whole)) for whole, part in ways]
    return [
        *(sa.func.sum(part) for _, part in shared),
        *(sa.func.sum(whole * whole - part * part) for whole, part in shared),
    ]


def totals(
    connection: sa.Connection, *, by: Sequence[str] = (), start: datetime, end: datetime, zone: ZoneInfo
) -> list[Totals]:
    """Sum the calls started in [start, end) by the named dimensions; ``zone`` decides what a day is.

    One Totals without a key, also when there were no calls, if ``by`` is empty. Raises KeyError on an
    unknown dimension.
    """
    return splits(connection, (by,), start=start, end=end, zone=zone)[0]


def splits(
    connection: sa.Connection, by: Sequence[Sequence[str]], *, start: datetime, end: datetime, zone: ZoneInfo
) -> list[list[Totals]]:
    """Give what :func:`totals` gives for each set of dimensions, reading the calls once for all of them."""
    names = tuple(dict.fromkeys(name for each in by for name in each))
    columns = [DIMENSIONS[name].label(f"by_{name}") for name in names]
    key = calls.c.estimate_key
    select = (
        sa.select(*columns, key, *_FIGURES.values(), *(each for name in _BANDED for each in _deviations(name)))
        .where(calls.c.started_at >= start, calls.c.started_at < end)
        .group_by(*columns, key)
    )

    @cache
    def written(name: str, value: Any) -> str | None:
        write = TIME_DIMENSIONS.get(name)
        return value if write is None else write(datetime.fromtimestamp(value * _QUARTER_S, UTC).astimezone(zone))

    gathered: list[dict[tuple[str | None, ...], _Gathered]] = [{} if each else {(): _Gathered()} for each in by]
    for row in connection.execute(select):
        place = {name: written(name, value) for name, value in zip(names, row, strict=False)}
        for each, groups in zip(by, gathered, strict=True):
            groups.setdefault(tuple(place[name] for name in each), _Gathered()).take(row[len(names) :])
    return [[group.totals(key) for key, group in groups.items()] for groups in gathered]


class _Gathered:
    """One group while its rows come in: the sums, and by quantity and key what is known of their errors."""

    __slots__ = ("_errors", "_figures")

    def __init__(self) -> None:
        self._figures: list[Any] = [None] * len(_NAMES)
        self._errors: dict[str, dict[str, Group]] = {name: {} for name in _BANDED}

    def take(self, row: Sequence[Any]) -> None:
        """Add a row of the answer: the key, the figures, four deviations for each quantity with a band."""
        key, figures, deviations = row[0] or "", row[1 : 1 + len(_NAMES)], row[1 + len(_NAMES) :]
        # Unknown and unknown is unknown.
        self._figures = [
            b if a is None else a if b is None else a + b for a, b in zip(self._figures, figures, strict=True)
        ]
        for position, name in enumerate(_BANDED):
            mid = figures[_NAMES.index(name)]
            if mid is not None:
                down, up, own_down, own_up = deviations[4 * position : 4 * position + 4]
                # A difference of squares may fall below zero by a rounding.
                more = Group(mid, down, up, max(0.0, own_down), max(0.0, own_up))
                groups = self._errors[name]
                groups[key] = groups[key] + more if key in groups else more

    def totals(self, key: tuple[str | None, ...]) -> Totals:
        figures: dict[str, Any] = {
            # PostgreSQL sums whole numbers to a decimal.
            name: int(value) if isinstance(value, Decimal) and name.endswith("_tokens") else value
            for name, value in zip(_NAMES, self._figures, strict=True)
            if value is not None
        }
        for name, groups in self._errors.items():
            if groups:
                band = Total(groups).range
                figures |= {f"{name}_low": band.low, f"{name}_high": band.high}
        return Totals(key=key, **figures)


def recent(connection: sa.Connection, *, limit: int) -> list[CallRow]:
    """Give the last calls, the latest first."""
    select = sa.select(calls).order_by(calls.c.started_at.desc(), calls.c.id.desc()).limit(limit)
    names = CallRow.__struct_fields__
    return [msgspec.convert(dict(zip(names, row, strict=True)), CallRow) for row in connection.execute(select)]
