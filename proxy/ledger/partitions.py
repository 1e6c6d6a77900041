"""The months that calls lie in on PostgreSQL: made before the first call of a month, dropped whole when it is old.

A partition is made as a table of its own and then attached: that waits for no reader and no writer of the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from proxy.ledger.tables import call_rows

_LOCK = 0x6D6F6E7468  # PostgreSQL's lock for making partitions: "month" in ASCII
_BOUNDS = sa.text(
    "SELECT child.relname, pg_get_expr(child.relpartbound, child.oid), inhdetachpending FROM pg_inherits"
    " JOIN pg_class child ON child.oid = inhrelid WHERE inhparent = 'call_rows'::regclass"
)
_LEFT = sa.text(
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND pg_table_is_visible(oid)"
    " AND relname ~ '^call_rows_[0-9]{4}_[0-9]{2}$' AND NOT relispartition"
)
_RANGE = re.compile(r"FROM \('([^']+)'\) TO \('([^']+)'\)")


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month of UTC."""

    year: int
    month: int

    @classmethod
    def of(cls, at: datetime) -> Month:
        """Give the month that a time falls into."""
        utc = at.astimezone(UTC)
        return cls(utc.year, utc.month)

    @property
    def start(self) -> datetime:
        """Its first moment."""
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def next(self) -> Month:
        """The month after it."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def table(self) -> str:
        """The name of its partition."""
        return f"call_rows_{self.year:04}_{self.month:02}"


@dataclass(frozen=True, slots=True)
class Partition:
    """A table that holds the calls started in [start, end)."""

    table: str
    start: datetime
    end: datetime
    leaving: bool = False  # its detaching was begun and not ended

    def holds(self, at: datetime) -> bool:
        """Whether a call of that time lies in it."""
        return self.start <= at < self.end


def partitions(connection: Connection) -> list[Partition]:
    """List what there is, the earliest first."""
    found = []
    for table, bound, leaving in connection.execute(_BOUNDS):
        ends = _RANGE.search(bound)
        if ends is not None:
            found.append(Partition(table, _time(ends[1]), _time(ends[2]), leaving))
    return sorted(found, key=lambda each: each.end)


def detached(connection: Connection) -> list[str]:
    """List the months that were taken out and not dropped: what did it was broken off."""
    return list(connection.scalars(_LEFT))


def _time(text: str) -> datetime:
    # PostgreSQL writes an offset of whole hours without its minutes.
    return datetime.fromisoformat(text).astimezone(UTC)


class Months:
    """Sees to it that there is a partition for every month that is written to, and for the one after it."""

    def __init__(self) -> None:
        self._there: set[Month] = set()

    def forget(self) -> None:
        """Look again next time: a partition may have been dropped, or the making of one undone."""
        self._there.clear()

    def ensure(self, connection: Connection, times: Iterable[datetime]) -> set[Month]:
        """Make what is missing, in the connection's transaction; gives the months to ``remember`` after its commit."""
        wanted = {Month.of(at) for at in times} - self._there
        if not wanted:
            return set()
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        present = partitions(connection)
        for month in sorted(wanted | {month.next for month in wanted}):
            if not any(each.holds(month.start) for each in present):
                _make(connection, month)
        return wanted

    def remember(self, months: set[Month]) -> None:
        """Take note of months whose partitions are committed."""
        self._there |= months


def _make(connection: Connection, month: Month) -> None:
    run = connection.exec_driver_sql
    run(f"CREATE TABLE {month.table} (LIKE {call_rows.name} INCLUDING DEFAULTS)")
    run(
        f"ALTER TABLE {call_rows.name} ATTACH PARTITION {month.table}"
        f" FOR VALUES FROM ('{month.start.isoformat()}') TO ('{month.next.start.isoformat()}')"
    )
