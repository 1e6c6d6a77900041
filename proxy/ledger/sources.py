"""Where sums can be read from: by quarter of an hour, by day over few dimensions or all, and the calls themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement, FromClause
from sqlalchemy.sql.functions import FunctionElement

from proxy.ledger.rollup_tables import (
    BANDED,
    FIGURES,
    SUMS,
    calls_by_day,
    calls_by_quarter,
    detail_keys,
    details_by_day,
    model_keys,
)
from proxy.ledger.tables import calls

QUARTER_S = 900


class _QuarterHour(FunctionElement[int]):
    """Which quarter of an hour since the Unix epoch a time falls into."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(_QuarterHour, "sqlite")
def _quarter_on_sqlite(element: _QuarterHour, compiler: SQLCompiler, **options: Any) -> str:
    return f"(CAST(strftime('%s', {compiler.process(element.clauses, **options)}) AS INTEGER) / {QUARTER_S})"


@compiles(_QuarterHour, "postgresql")
def _quarter_on_postgresql(element: _QuarterHour, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(floor(extract(epoch FROM {compiler.process(element.clauses, **options)}) / {QUARTER_S}) AS BIGINT)"


@compiles(_QuarterHour, "clickhousedb")
def _quarter_on_clickhouse(element: _QuarterHour, compiler: SQLCompiler, **options: Any) -> str:
    return f"intDiv(toUnixTimestamp({compiler.process(element.clauses, **options)}), {QUARTER_S})"


TIME_DIMENSIONS: dict[str, Callable[[datetime], str]] = {
    "hour": lambda local: f"{local:%Y-%m-%d %H:00%z}",
    "day": lambda local: f"{local:%Y-%m-%d}",
    "month": lambda local: f"{local:%Y-%m}",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """A table, or two joined; ``time`` is a number of quarters or of days, ``figures`` are in the order of FIGURES."""

    table: FromClause
    time: ColumnElement[int]
    dimensions: Mapping[str, ColumnElement[Any]]
    key: ColumnElement[Any]  # what errs alike
    figures: tuple[ColumnElement[Any], ...]


def _named(columns: Any) -> dict[str, ColumnElement[Any]]:
    names = {"key": "key_id"} | {
        name: name
        for name in (
            *("team", "project", "user", "provider", "model_requested", "surface", "outcome"),
            *("usage_source", "service_tier", "tier", "zone", "grid_source"),
        )
    }
    return {name: columns[column] for name, column in names.items()} | {
        "model": sa.func.coalesce(columns.model, columns.model_requested)  # as served, else as asked for
    }


def _figures_of_rows() -> tuple[ColumnElement[Any], ...]:
    metered = sa.or_(calls.c.input_tokens.is_not(None), calls.c.output_tokens.is_not(None))
    conditions: dict[str, ColumnElement[bool]] = {
        "unpriced_calls": sa.and_(metered, calls.c.cost_usd.is_(None)),
        "energy_unknown_calls": sa.and_(metered, calls.c.joules.is_(None)),
        "carbon_unknown_calls": sa.and_(metered, calls.c.grams_co2e.is_(None)),
        "water_unknown_calls": sa.and_(metered, calls.c.liters.is_(None)),
        "reported_calls": calls.c.usage_source == "reported",
        "counted_calls": calls.c.usage_source == "counted",
        "inferred_calls": calls.c.usage_source == "inferred",
        "absent_calls": sa.and_(calls.c.usage_source == "absent", calls.c.provider.is_not(None)),
    }
    found: dict[str, ColumnElement[Any]] = {"calls": sa.func.count()}
    found |= {name: sa.func.sum(calls.c[name]) for name in SUMS}
    found |= {name: sa.func.count(sa.case((condition, 1))) for name, condition in conditions.items()}
    for name in BANDED:
        mid = calls.c[name]
        for way, whole in (("down", mid - calls.c[f"{name}_low"]), ("up", calls.c[f"{name}_high"] - mid)):
            # A row of a release that did not tell them apart counts as sharing all of its error.
            shared = sa.func.coalesce(calls.c[f"{name}_shared_{way}"], whole)
            found[f"{name}_shared_{way}"] = sa.func.sum(shared)
            found[f"{name}_own_{way}"] = sa.func.sum(whole * whole - shared * shared)
    return tuple(found[name] for name in FIGURES)


ROWS = Source(
    table=calls,
    time=_QuarterHour(calls.c.started_at),
    dimensions=_named(calls.c),
    key=calls.c.estimate_key,
    figures=_figures_of_rows(),
)
FEW: dict[str, ColumnElement[Any]] = {name: model_keys.c[name] for name in ("team", "provider", "model")}
QUARTERS = Source(
    table=calls_by_quarter.join(model_keys, calls_by_quarter.c.key == model_keys.c.key),
    time=calls_by_quarter.c.quarter,
    dimensions=FEW,
    key=model_keys.c.estimate_key,
    figures=tuple(sa.func.sum(calls_by_quarter.c[name]) for name in FIGURES),
)
DAYS = Source(
    table=calls_by_day.join(model_keys, calls_by_day.c.key == model_keys.c.key),
    time=calls_by_day.c.day,
    dimensions=FEW,
    key=model_keys.c.estimate_key,
    figures=tuple(sa.func.sum(calls_by_day.c[name]) for name in FIGURES),
)
DETAILS = Source(
    table=details_by_day.join(detail_keys, details_by_day.c.key == detail_keys.c.key),
    time=details_by_day.c.day,
    dimensions=_named(detail_keys.c),
    key=detail_keys.c.estimate_key,
    figures=tuple(sa.func.sum(details_by_day.c[name]) for name in FIGURES),
)

# What can be asked for, in the order in which it is listed.
DIMENSIONS = (
    *("team", "project", "user", "key", "provider", "model", "model_requested", "surface", "outcome", "usage_source"),
    *("service_tier", "tier", "zone", "grid_source"),
    *TIME_DIMENSIONS,
)
