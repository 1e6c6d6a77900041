"""Which local days the ledger keeps sums of beside those of UTC: of one time zone at a time, which may be changed.

All machines that share a ledger must write the same sums. So the ledger itself says whose days they are and from when
on, and a change begins with a day that no call is of yet.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from proxy.errors import LedgerError
from proxy.ledger.rollup_tables import EPOCH, QUARTER, calls_by_day, local_days, moment, quarter_of
from proxy.ledger.tables import call_rows

AHEAD = timedelta(days=1)  # a change begins later than this: by then every recorder has seen it
_LAST = quarter_of(datetime(9999, 1, 1, tzinfo=UTC))  # from then on none is kept: a calendar ends with that year
_ENDLESS = 2**62  # quarters; behind every time


class Unit(NamedTuple):
    """What one row of sums spans: [start, end), in quarters since the epoch; not ``kept``: there are no such rows."""

    start: int
    end: int
    kept: bool = True


@dataclass(frozen=True, slots=True)
class LocalDays:
    """The time zones whose days are kept, each from a quarter on, in order; UTC stands for none."""

    zones: Sequence[tuple[int, ZoneInfo]] = ()

    @property
    def last(self) -> ZoneInfo | None:
        """The zone whose days are kept at last."""
        return self.zones[-1][1] if self.zones and self.zones[-1][1].key != "UTC" else None

    def begins(self, at: datetime) -> bool:
        """Say whether one of the days begins then."""
        unit = self.of(quarter_of(at))
        return unit.kept and moment(unit.start) == at

    def kept_of(self, zone: ZoneInfo, start: datetime, end: datetime) -> bool:
        """Say whether a period is made of whole days that are kept of this zone."""
        last = self.last
        return (
            last is not None
            and last.key == zone.key
            and start >= moment(self.zones[-1][0])
            and self.begins(start)
            and self.begins(end)
        )

    def whole(self, start: datetime, end: datetime) -> tuple[datetime, datetime]:
        """Widen a period so that it cuts none of the days."""
        first, last = self.of(quarter_of(start)), self.of(quarter_of(end - timedelta(microseconds=1)))
        return moment(first.start) if first.kept else start, moment(last.end) if last.kept else end

    def of(self, quarter: int) -> Unit:
        """Give the local day that a quarter lies in; the first and the last of a zone may be cut short."""
        if quarter >= _LAST:
            return Unit(_LAST, _ENDLESS, kept=False)
        place = bisect_right(self.zones, quarter, key=lambda each: each[0])
        following = self.zones[place][0] if place < len(self.zones) else _LAST
        if not place or self.zones[place - 1][1].key == "UTC":
            return Unit(self.zones[place - 1][0] if place else -1, following, kept=False)
        begins, zone = self.zones[place - 1]
        day = moment(quarter).astimezone(zone).date()
        return Unit(max(begins, _midnight(day, zone)), min(following, _midnight(day + timedelta(days=1), zone)))


def _midnight(day: date, zone: ZoneInfo) -> int:
    """Give the first quarter that begins in a local day; where clocks skip midnight, the one to which they skip."""
    return -((EPOCH - datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)) // QUARTER)


def days_kept(connection: Connection) -> LocalDays:
    """Read whose days the ledger keeps; raises :class:`LedgerError` where this machine does not know such a zone."""
    rows = connection.execute(sa.select(local_days.c.quarter, local_days.c.tz).order_by(local_days.c.quarter)).all()
    try:
        return LocalDays([(quarter, ZoneInfo(tz)) for quarter, tz in rows])
    except ZoneInfoNotFoundError as error:
        raise LedgerError(
            f"the ledger keeps days of a time zone that is not known here ({error}): renew tzdata"
        ) from error


def keep_days(connection: Connection, zone: ZoneInfo, now: datetime) -> datetime | None:
    """Keep the days of this zone from now on, in the connection's transaction; gives from when on, None: as before.

    In an empty ledger that is always; else it is the first local midnight that is further than :data:`AHEAD` of now and
    of every call. UTC: keep none.
    """
    if _kept_at_last(connection) == zone.key:
        return None
    if connection.dialect.name == "postgresql":  # a writer on SQLite is alone
        connection.exec_driver_sql("LOCK TABLE local_days, call_rows IN SHARE ROW EXCLUSIVE MODE")
        if _kept_at_last(connection) == zone.key:  # another machine was first
            return None
    day, latest = (
        connection.scalar(sa.select(sa.func.max(each))) for each in (calls_by_day.c.day, call_rows.c.started_at)
    )
    known = [] if latest is None else [latest]
    known += [] if day is None else [EPOCH + timedelta(days=day + 1)]
    begins = 0
    if known:
        after = max(now, *known) + AHEAD
        begins = _midnight(after.astimezone(zone).date() + timedelta(days=1), zone)
    connection.execute(sa.delete(local_days).where(local_days.c.quarter >= begins))  # a change that has not begun
    connection.execute(sa.insert(local_days).values(quarter=begins, tz=zone.key))
    return moment(begins)


def _kept_at_last(connection: Connection) -> str:
    last = days_kept(connection).last
    return "UTC" if last is None else last.key
