"""The time a budget is for: a calendar's minute, hour, day, week or month in a zone, or the last so many days.

What is used is kept by buckets: a calendar's window is one, a rolling one is put together from many and so may count
up to one bucket more than it is long. Times are whole seconds since the Unix epoch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

CALENDAR = ("minute", "hour", "day", "week", "month")
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
FINE_S = 2 * HOUR_S  # rolling windows up to here are kept by minutes, longer ones by hours
LONGEST_S = 366 * DAY_S
_ROLLING = re.compile(r"([1-9]\d{0,4})([mhd])")
_SECONDS = {"m": MINUTE_S, "h": HOUR_S, "d": DAY_S}


class WindowError(ValueError):
    """A window is written in words that are none; the message says which are, ``field`` which of its two words."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Window:
    """``length_s`` is that of a rolling window; a calendar's have none."""

    text: str
    zone: tzinfo
    length_s: int | None = None

    @classmethod
    def named(cls, text: str, zone: str = "UTC") -> Window:
        """Read ``month`` or ``30d``, and the zone that decides when a day begins; raises :class:`WindowError`."""
        try:
            place = UTC if zone == "UTC" else ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise WindowError("tz", f'tz = "{zone}" is no IANA time zone such as UTC or Europe/Berlin') from None
        if text in CALENDAR:
            return cls(text, place)
        rolling = _ROLLING.fullmatch(text)
        length_s = int(rolling[1]) * _SECONDS[rolling[2]] if rolling is not None else 0
        if not 0 < length_s <= LONGEST_S:
            known = ", ".join(CALENDAR)
            message = f'window = "{text}": say {known}, or a length up to 366d such as 90m, 24h or 30d'
            raise WindowError("window", message)
        return cls(text, place, length_s)

    @property
    def bucket_s(self) -> int:
        """How long a rolling window's bucket is."""
        return MINUTE_S if (self.length_s or 0) <= FINE_S else HOUR_S

    def bucket(self, at: float) -> int:
        """Give the bucket of a moment, by its first second."""
        return self.period(at)[0]

    def period(self, at: float) -> tuple[int, int]:
        """Give where the bucket of a moment begins and where it ends: the first is in, the second is out."""
        second = int(at // 1)
        if self.length_s is not None:
            start = second - second % self.bucket_s
            return start, start + self.bucket_s
        if self.text == "minute":
            start = second - second % MINUTE_S
            return start, start + MINUTE_S
        if self.text == "hour":
            return self._hour(second)
        day = datetime.fromtimestamp(second, self.zone).date()
        if self.text == "week":  # from Monday, as in ISO 8601
            day -= timedelta(days=day.weekday())
            return self._midnight(day), self._midnight(day + timedelta(days=7))
        if self.text == "month":
            following = (day.replace(day=1) + timedelta(days=31)).replace(day=1)
            return self._midnight(day.replace(day=1)), self._midnight(following)
        return self._midnight(day), self._midnight(day + timedelta(days=1))

    def first(self, now: float) -> int:
        """Give the oldest bucket that counts now."""
        return self.bucket(now if self.length_s is None else now - self.length_s)

    def ends(self, now: float) -> int:
        """Say when the calendar's window is over, or when a rolling window's oldest bucket no longer counts."""
        if self.length_s is None:
            return self.period(now)[1]
        return self.first(now) + self.bucket_s + self.length_s

    def _hour(self, second: int) -> tuple[int, int]:
        """Give the hour on the zone's clock, which half-hour zones begin elsewhere and a change of clocks may cut."""
        offset = self._offset(second)
        start = second - (second + offset) % HOUR_S
        end = start + HOUR_S
        while self._offset(start) != offset:
            start += MINUTE_S
        while self._offset(end - 1) != offset:
            end -= MINUTE_S
        return start, end

    def _offset(self, second: int) -> int:
        return int((datetime.fromtimestamp(second, self.zone).utcoffset() or timedelta()).total_seconds())

    def _midnight(self, day: date) -> int:
        return int(datetime(day.year, day.month, day.day, tzinfo=self.zone).timestamp())
