"""Whose prices calls have: of each model at each provider the ids that the ledger knows, read from kinds of calls."""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import datetime

import sqlalchemy as sa

from proxy.ledger.tables import call_kinds, calls

KINDS_READ = 10_000  # of how many kinds; their numbers are digests, so the first of them are as good as any

Sold = tuple[str | None, str | None]  # provider and model, as sums name them


def price_ids(connection: sa.Connection, start: datetime, end: datetime) -> Mapping[Sold, Set[str]]:
    """Give the ids of prices by provider and model; a ledger's kinds know no time, of a mirror those of the period."""
    if connection.dialect.name == "clickhousedb":  # a mirror has no kinds
        select = sa.select(calls.c.provider, _model(calls), calls.c.price_id).distinct()
        select = select.where(calls.c.started_at >= start, calls.c.started_at < end)
        select = select.where(calls.c.price_id.is_not(None)).limit(KINDS_READ)
    else:
        kinds = sa.select(call_kinds.c.provider, _model(call_kinds).label("model"), call_kinds.c.price_id)
        some = kinds.limit(KINDS_READ).subquery()
        select = sa.select(some).where(some.c.price_id.is_not(None)).distinct()
    found: dict[Sold, set[str]] = {}
    for provider, model, price_id in connection.execute(select):
        found.setdefault((provider, model), set()).add(price_id)
    return found


def _model(table: sa.Table) -> sa.ColumnElement[str | None]:
    return sa.func.coalesce(table.c.model, table.c.model_requested)
