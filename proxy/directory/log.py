"""The log of changes, read; and when keys were used last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from proxy.ledger.directory_tables import changes
from proxy.ledger.rollup_tables import detail_keys, details_by_day

USED_WITHIN_DAYS = 90  # further back nobody looks for the last use of a key
_EPOCH = date(1970, 1, 1)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``changes``; of ``before`` and ``after`` a change of a key has only what differs."""

    number: int
    at: datetime
    actor: str
    action: str
    kind: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


_COLUMNS = tuple(changes.c[name] for name in Change.__struct_fields__)


def page(
    connection: Connection, *, subject: str | None = None, before: int | None = None, limit: int
) -> tuple[Sequence[Change], int | None]:
    """List changes, the latest first, and the number before which the next page begins."""
    select = sa.select(*_COLUMNS).order_by(changes.c.number.desc()).limit(limit + 1)
    if subject is not None:
        select = select.where(changes.c.subject == subject)
    if before is not None:
        select = select.where(changes.c.number < before)
    rows = [dict(zip(Change.__struct_fields__, row, strict=True)) for row in connection.execute(select)]
    found = msgspec.convert(rows, list[Change])
    return found[:limit], found[limit - 1].number if len(found) > limit else None


def last_used(connection: Connection, key_ids: Sequence[str] | None, now: datetime) -> dict[str, date]:
    """Give the last day (UTC) on which there were calls with a key, where that is not long ago; from the daily sums.

    ``None`` asks for all keys at once: each question goes through the sums of all those days.
    """
    since = (now.astimezone(UTC).date() - timedelta(days=USED_WITHIN_DAYS) - _EPOCH).days
    select = (
        sa.select(detail_keys.c.key_id, sa.func.max(details_by_day.c.day))
        .join(details_by_day, details_by_day.c.key == detail_keys.c.key)
        .where(details_by_day.c.day >= since, detail_keys.c.key_id.is_not(None))
        .group_by(detail_keys.c.key_id)
    )
    if key_ids is not None:
        select = select.where(detail_keys.c.key_id.in_(key_ids))
    return {key_id: _EPOCH + timedelta(days=day) for key_id, day in connection.execute(select)}
