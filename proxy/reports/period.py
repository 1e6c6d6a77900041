"""The stretch of time a report covers: half-open, in UTC, read from dates in the reader's time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from proxy.errors import JoulegateError

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


class QuestionError(JoulegateError):
    """A report was asked for in words it does not know; the message says which it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """``start`` is in, ``end`` is out; both UTC. ``zone`` decides where a day begins."""

    start: datetime
    end: datetime
    zone: ZoneInfo

    def ends(self) -> tuple[str, str]:
        """Say where it begins and where it ends as the reader would: days, the last one included, else moments."""
        first, last = (each.astimezone(self.zone) for each in (self.start, self.end - timedelta(microseconds=1)))
        after = self.end.astimezone(self.zone)
        if first.time() == after.time() == datetime.min.time():
            return f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}"
        return f"{first:%Y-%m-%d %H:%M}", f"{after:%Y-%m-%d %H:%M}"

    def title(self) -> str:
        """Say the period in a line."""
        first, last = self.ends()
        return f"{first if first == last else f'{first} to {last}'} ({self.zone.key})"

    def goes_on(self, now: datetime) -> str:
        """Say behind its title that it is not over, so that its sums will be others; nothing where it is."""
        return ", not over yet" if now < self.end else ""


def zone_named(name: str) -> ZoneInfo:
    """Find an IANA time zone; raises QuestionError."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise QuestionError(
            f"no time zone {name!r}: use an IANA name such as UTC, Europe/Berlin or Asia/Kolkata"
        ) from error


def day_of(text: str, zone: ZoneInfo) -> Period:
    """Give the local day written 2026-11-23, as the ledger's dimension ``day`` is."""
    day = date.fromisoformat(text)
    return Period(start=_midnight(day, zone), end=_midnight(day + timedelta(days=1), zone), zone=zone)


def month_of(text: str, zone: ZoneInfo) -> Period:
    """Give the local month written 2026-11; raises QuestionError."""
    found = _MONTH.fullmatch(text)
    if found is None or found[1] == "0000":
        raise QuestionError(f"{text!r} is not a month: write it as 2026-11")
    year, month = int(found[1]), int(found[2])
    if year == date.max.year:
        raise QuestionError(f"{text!r} is too far in the future")
    following = date(year + 1, 1, 1) if month == 12 else date(year, month + 1, 1)
    return Period(start=_midnight(date(year, month, 1), zone), end=_midnight(following, zone), zone=zone)


def today(now: datetime, zone: ZoneInfo) -> Period:
    """Give the local day that ``now`` falls into."""
    day = now.astimezone(zone).date()
    return Period(start=_midnight(day, zone), end=_midnight(day + timedelta(days=1), zone), zone=zone)


def parse(*, month: str | None, start: str | None, end: str | None, tz: str, now: datetime) -> Period:
    """Read ``--month``, or ``--from`` and ``--to``; nothing given means the current month. Raises QuestionError.

    A date given as ``end`` includes that day, by default today; a moment (2026-11-23T12:00) is where the period stops.
    """
    zone = zone_named(tz)
    if month is not None and (start is not None or end is not None):
        raise QuestionError("give either --month or --from and --to, not both")
    if start is None and end is None:
        return month_of(month if month is not None else f"{now.astimezone(zone):%Y-%m}", zone)
    if start is None:
        raise QuestionError("--to needs --from")
    begin = _moment(start, zone, "--from", included=False)
    last = f"{now.astimezone(zone):%Y-%m-%d}" if end is None else end
    stop = _moment(last, zone, "--to", included=True)
    if stop <= begin:
        raise QuestionError(f"the period is empty: it ends at {stop.isoformat()}, not after {begin.isoformat()}")
    return Period(start=begin, end=stop, zone=zone)


def _moment(text: str, zone: ZoneInfo, option: str, *, included: bool) -> datetime:
    try:
        if len(text) == len("2026-11-23"):
            return _midnight(date.fromisoformat(text) + timedelta(days=1 if included else 0), zone)
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise QuestionError(f"{option} {text!r} is not a date: write it as 2026-11-23 or 2026-11-23T14:30") from error


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    try:
        return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    except OverflowError as error:
        raise QuestionError(f"{day.isoformat()} is too far from the present") from error
