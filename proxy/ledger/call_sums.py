"""Sums of the calls themselves, for what no kept sum can answer: by users and days of a zone off UTC, say.

They are added up by their kinds first, whose numbers are quick to compare, and only then by what these mean; and by the
local hours and days asked for, so that few sums leave the database, however many the calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.expression import ColumnElement

from proxy.ledger.sources import Bucket, QuarterHour, Wanted, conditions, dimensions_of, figures_of, grouped, sources_of
from proxy.ledger.sqltypes import UsdSum
from proxy.ledger.tables import call_kinds, call_rows

Span = tuple[datetime, datetime]  # [from, to)

_DIMENSIONS = dimensions_of(call_kinds.c)
_FIGURES = figures_of(call_rows.c)
_FIGURES["cost_usd"] = sa.type_coerce(_FIGURES["cost_usd"], UsdSum)  # a sum: its digits are no text any more
_SOURCES = sources_of(call_kinds.c)  # of a whole kind, so its calls are counted


def select_calls(
    wanted: Wanted, spans: Sequence[tuple[int, Span]], hours: Bucket | None, *only: ColumnElement[bool]
) -> sa.Select[Any]:
    """Ask for the dimensions (of times: the number of the bucket), what errs alike and the figures.

    ``spans`` are [from, to), each with the number of the bucket that it lies in, or cut to ``hours``; ``only`` is what
    else rows must be.
    """
    # Each span is added up by itself: of a day SQLite sorts faster than of thirty.
    each = [_by_kind(wanted, number, span, hours, only) for number, span in spans]
    summed = (sa.union_all(*each) if len(each) > 1 else each[0]).subquery()
    sums: dict[str, ColumnElement[Any]] = {
        name: sa.func.sum(sa.case((_SOURCES[name], summed.c.calls), else_=0) if name in _SOURCES else summed.c[name])
        for name in wanted.figures
    }
    select = grouped(wanted.names, _DIMENSIONS, summed.c.bucket, call_kinds.c.estimate_key, sums)
    return select.select_from(summed.outerjoin(call_kinds, summed.c.kind == call_kinds.c.kind))


def _by_kind(
    wanted: Wanted, number: int, span: Span, hours: Bucket | None, only: Sequence[ColumnElement[bool]]
) -> sa.Select[Any]:
    time, (start, end) = call_rows.c.started_at, span
    bucket = sa.literal(number, sa.BigInteger) if hours is None else hours.of(QuarterHour(time))
    labelled = [_FIGURES[name].label(name) for name in wanted.figures if name not in _SOURCES]
    select = sa.select(bucket.label("bucket"), call_rows.c.kind, *labelled).where(time >= start, time < end, *only)
    if wanted.where:
        theirs = sa.select(call_kinds.c.kind).where(*conditions(_DIMENSIONS, wanted.where))
        select = select.where(call_rows.c.kind.in_(theirs))
    return select.group_by(*([] if hours is None else [sa.column("bucket")]), call_rows.c.kind)
