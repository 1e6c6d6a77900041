"""What a page is asked for: the whole of it stands in its address, so an address can be kept and passed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from html import escape
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from proxy.console.marks import name
from proxy.ledger.local_days import LocalDays
from proxy.ledger.read import DIMENSIONS, TIME_DIMENSIONS, Where
from proxy.ledger.sources import FEW
from proxy.reports.period import Period, QuestionError, parse, zone_named
from proxy.reports.split import conditions, dimensions

PERIOD = ("month", "from", "to", "tz", "from_calls")  # what an address may say of the calls that are meant
_SHOWN = 64  # characters of what somebody else wrote
CHOICE = tuple(each for each in DIMENSIONS if each not in TIME_DIMENSIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which calls, and how they are split; the times as they were written, so that "this month" moves on."""

    by: tuple[str, ...] = ()
    where: Where
    month: str | None = None
    start: str | None = None
    end: str | None = None
    tz: str = "UTC"
    usual_tz: str = "UTC"  # which an address need not say
    measure: str = ""

    @property
    def bounded(self) -> bool:
        """Whether a period was given."""
        return not (self.month is None and self.start is None and self.end is None)

    def period(self, now: datetime) -> Period:
        """Give the period, the current month by default; raises QuestionError."""
        return parse(month=self.month, start=self.start, end=self.end, tz=self.tz, now=now)

    def only(self, more: Mapping[str, str | None]) -> Asked:
        """Look at fewer calls."""
        return replace(self, where={**self.where, **more})

    def without(self, dimension: str) -> Asked:
        """Look at more calls."""
        return replace(self, where={key: value for key, value in self.where.items() if key != dimension})

    def within(self, dimension: str, value: str) -> Asked:
        """Look at one hour, day or month, as :data:`TIME_DIMENSIONS` write them."""
        if dimension == "month":
            return replace(self, month=value, start=None, end=None)
        if dimension == "day":
            return replace(self, month=None, start=value, end=value)
        begins = datetime.strptime(value, "%Y-%m-%d %H:%M%z")
        ends = begins + timedelta(hours=1)
        return replace(self, month=None, start=begins.isoformat(), end=ends.isoformat())

    def link(self, path: str, **more: str) -> str:
        """Write the address of a page that is asked for this; escaped, for an attribute."""
        return escape(self.address(path, **more))

    def address(self, path: str, **more: str) -> str:
        """Write the address of a page that is asked for this."""
        said: list[tuple[str, str]] = [] if not self.by else [("by", ",".join(self.by))]
        said += [("where", f"{key}={value or ''}") for key, value in self.where.items()]
        times = (("month", self.month), ("from", self.start), ("to", self.end))
        said += [(key, value) for key, value in times if value is not None]
        if self.tz != self.usual_tz:
            said.append(("tz", self.tz))
        if self.measure:
            said.append(("measure", self.measure))
        query = urlencode([*said, *more.items()])
        return f"{path}?{query}" if query else path


def asked_of(query: QueryParams, usual_tz: str, *, by: tuple[str, ...] = (), measure: str = "") -> Asked:
    """Read an address; raises QuestionError. A form writes ``only`` and ``is`` where it looks at fewer calls.

    ``usual_tz`` is whose days are meant where none is said.
    """
    split = [each for each in ",".join(query.getlist("by")).split(",") if each]
    where = dict(conditions(query.getlist("where")))
    if query.get("only") and "is" in query:
        where |= conditions([f"{query['only']}={query['is']}"])
    return Asked(
        by=dimensions(",".join(dict.fromkeys(split))) or by,
        where=where,
        month=query.get("month") or None,
        start=query.get("from") or None,
        end=query.get("to") or None,
        tz=query.get("tz") or usual_tz,
        usual_tz=usual_tz,
        measure=query.get("measure") or measure,
    )


def require_known(query: QueryParams, *known: str, several: Sequence[str] = ()) -> None:
    """Raise QuestionError for what nobody here understands, or is said twice and not of the ``several``.

    Figures of more calls than were meant, or of others, would be wrong.
    """
    strange = next((key for key in query if key not in known), None)
    if strange is not None:
        raise QuestionError(f"there is no {strange[:_SHOWN]!r} to ask for: choose from {', '.join(known)}")
    again = next((key for key in query if key not in several and len(query.getlist(key)) > 1), None)
    if again is not None:
        raise QuestionError(f"{again} is said twice, {' and '.join(map(repr, query.getlist(again)[:2]))}: say it once")


def whole(text: str, most: int) -> int | None:
    """Read a whole number from 0 to ``most``; None where it is none."""
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    return int(text) if digits and int(text) <= most else None


def flag(query: QueryParams, key: str) -> bool:
    """Read a yes or no, no by default; raises QuestionError."""
    said = query.get(key, "false")
    if said not in ("true", "false"):
        raise QuestionError(f"{key}={said!r}: write true or false")
    return said == "true"


def of_sums(asked: Asked, now: datetime, days: LocalDays) -> tuple[Asked, Period]:
    """Give the question so that sums alone can answer it, and its period; raises QuestionError where none can.

    Sums over all dimensions are kept by days of UTC and the local ``days``: what is finer than the few of hours and
    quarters gets those of UTC, where it does not ask for the local ones that are kept of all of its period.
    """
    period = asked.period(now)
    if {*asked.by, *asked.where} - set(TIME_DIMENSIONS) <= FEW.keys():
        return asked, period
    if "hour" in asked.by:
        raise QuestionError(f"by hour there are sums of {', '.join(FEW)} alone: choose days")
    if days.kept_of(period.zone, period.start, period.end):
        return asked, period
    asked = replace(asked, tz="UTC")
    period = asked.period(now)
    if period.start.time() != time.min or period.end.time() != time.min:
        raise QuestionError(f"of parts of a day there are sums of {', '.join(FEW)} alone: choose whole days")
    return asked, period


def hidden(asked: Asked, *, but: Sequence[str] = ()) -> str:
    """Write what a form keeps without showing it."""
    kept = [("where", f"{key}={value or ''}") for key, value in asked.where.items()]
    return "".join(
        f'<input type="hidden" name="{key}" value="{escape(value)}">' for key, value in kept if key not in but
    )


def chosen(asked: Asked, path: str) -> str:
    """Say which calls alone are looked at, each condition with a link that takes it away."""
    chips = "".join(
        f"<li>{escape(key)} <b>{name(value)}</b>"
        f'<a href="{asked.without(key).link(path)}" aria-label="no longer only this {escape(key)}">×</a></li>'
        for key, value in asked.where.items()
    )
    return f'<ul class="chips" aria-label="Only calls with">{chips}</ul>' if chips else ""


def select(label: str, field: str, choices: Sequence[tuple[str, str]], selected: str) -> str:
    """Write a choice with its label."""
    options = "".join(
        f'<option value="{escape(value)}"{" selected" if value == selected else ""}>{escape(words)}</option>'
        for value, words in choices
    )
    return f'<label>{escape(label)}<select name="{field}">{options}</select></label>'


def field(label: str, key: str, value: str, *, kind: str = "text", hint: str = "") -> str:
    """Write a field with its label."""
    return (
        f'<label>{escape(label)}<input name="{key}" type="{kind}" value="{escape(value)}"'
        f' placeholder="{escape(hint)}"></label>'
    )


def period_fields(asked: Asked, period: Period) -> str:
    """Write the fields of a period, with what is in force."""
    first, last = (each[:10] for each in period.ends())
    return (
        field("From", "from", first, kind="date")
        + field("To", "to", last, kind="date")
        + field("Time zone", "tz", asked.tz, hint="Europe/Berlin")
    )


def period_links(asked: Asked, path: str, now: datetime) -> str:
    """Give the periods that are asked for most."""
    today = now.astimezone(zone_named(asked.tz)).date()
    this, last = f"{today:%Y-%m}", f"{today.replace(day=1) - timedelta(days=1):%Y-%m}"
    plain = replace(asked, month=None, start=None, end=None)
    choices = (
        ("today", replace(plain, start=f"{today}", end=f"{today}")),
        ("7 days", replace(plain, start=f"{today - timedelta(days=6)}", end=f"{today}")),
        ("this month", replace(plain, month=this)),
        ("last month", replace(plain, month=last)),
    )
    links = " ".join(f'<a href="{each.link(path)}">{words}</a>' for words, each in choices)
    return f'<p class="periods">{links}</p>'
