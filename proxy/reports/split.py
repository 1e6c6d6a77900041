"""What a report is made from: the ledger's sums over a period, split by the dimensions asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection

from proxy.errors import NoSumsError
from proxy.ledger.evidence import Evidence
from proxy.ledger.read import BANDED, DIMENSIONS, SUMMED, TIME_DIMENSIONS, Totals, Where, splits
from proxy.reports.period import Period, QuestionError

NAMED = 20  # of the names that there are


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """``groups`` are split by ``by``; ``models`` are the same calls by model, for the notes; ``parts`` by more."""

    by: tuple[str, ...]
    period: Period
    groups: Sequence[Totals]
    total: Totals
    models: Sequence[Totals]
    where: Where = field(default_factory=dict)  # only the calls that have these values are in it
    part_names: tuple[str, ...] = ()  # what the parts are split by: ``by``, and then what else was asked for
    parts: Sequence[Totals] = ()
    beside: Mapping[tuple[str, ...], Sequence[Totals]] = field(default_factory=dict)  # the same calls, split otherwise
    evidence: Mapping[str, float] = field(default_factory=dict)  # shares of the joules by tier, where that was read
    tiers: Evidence | None = None  # the same of any group, where that was read
    prices: Mapping[str, Decimal] = field(default_factory=dict)  # dollars by whose prices they are, where that was read
    _by_group: dict[tuple[str | None, ...], list[Totals]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Sort the parts to their groups."""
        for part in self.parts:
            self._by_group.setdefault(part.key[: len(self.by)], []).append(part)

    def parts_of(self, group: Totals) -> Sequence[Totals]:
        """Give the parts of one of the groups, or of the total."""
        return self.parts if not group.key else self._by_group.get(group.key, ())


def dimensions(text: str) -> tuple[str, ...]:
    """Read ``team,model``; raises QuestionError that lists what there is."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in DIMENSIONS:
            raise QuestionError(f"cannot split by {name!r}: choose from {', '.join(DIMENSIONS)}")
    if len(set(names)) != len(names):
        raise QuestionError(f"{text!r} names a dimension twice")
    return names


def conditions(texts: Iterable[str]) -> Where:
    """Read ``team=search`` and its like, ``project=`` for calls without a project; raises QuestionError."""
    read: dict[str, str | None] = {}
    choice = [name for name in DIMENSIONS if name not in TIME_DIMENSIONS]
    for text in texts:
        name, equals, value = text.partition("=")
        if name not in choice or not equals:
            raise QuestionError(f"cannot look only at {text!r}: write NAME=VALUE, NAME one of {', '.join(choice)}")
        if read.setdefault(name, value or None) != (value or None):
            raise QuestionError(f"no call has two values of {name}: {read[name]!r} and {value!r}")
    return read


def said(where: Where) -> str:
    """Say which calls alone are looked at; nothing where it is all of them."""
    return ", ".join(f"no {name}" if value is None else f"{name} {value}" for name, value in where.items())


def few(names: Iterable[str | None]) -> str:
    """List names in their order, the first of very many, for who has asked for one that there is not; "" of none."""
    there = sorted(filter(None, names))
    more = f" and {len(there) - NAMED:,} more" if len(there) > NAMED else ""
    return f"{', '.join(there[:NAMED])}{more}"


def sums(
    connection: Connection, period: Period, by: Sequence[tuple[str, ...]], *, from_calls: bool = False, **more: Any
) -> list[list[Totals]]:
    """Read a period's sums by each set of dimensions, ``more`` as of :func:`splits`; QuestionError where none are kept.

    ``from_calls``: where there are no sums, the calls themselves are summed up, as far as they are kept.
    """
    start, end, zone = period.start, period.end, period.zone
    try:
        return splits(connection, by, start=start, end=end, zone=zone, sums_only=not from_calls, **more)
    except NoSumsError as error:
        raise QuestionError(str(error)) from error


def split(
    connection: Connection,
    by: tuple[str, ...],
    period: Period,
    within: tuple[str, ...] = (),
    where: Where = MappingProxyType({}),
    figures: Collection[str] = SUMMED,
    *,
    bands: Collection[str] = BANDED,
    part_bands: bool = True,
    beside: Collection[tuple[str, ...]] = (),
    from_calls: bool = False,
) -> Split:
    """Ask the ledger, in one transaction; raises QuestionError where it keeps no sums of that.

    ``within``: what the parts of the groups are split by as well; without it there are no parts. ``figures``: what
    groups and parts must have, ``bands``: of which of them bands; total and models have all. ``part_bands``: the parts'
    bands are reckoned. ``beside``: what else the same calls are split by, in the same reading. ``from_calls``: as of
    :func:`sums`.
    """
    finer = (*by, *(name for name in within if name not in by))
    read = partial(sums, connection, period, where=where, from_calls=from_calls)
    # Apart, since they are read from far fewer sums than a split by days or users.
    (total,), models = read(((), ("model",)))
    if within and finer != by:
        groups, parts, *others = read(
            (by, finer, *beside), figures=figures, bands=bands, bandless=() if part_bands else (finer,)
        )
    else:
        groups, *others = read((by, *beside), figures=figures, bands=bands)
        parts = groups if within else []
    return Split(
        by=by,
        period=period,
        groups=groups,
        total=total,
        models=models,
        where=where,
        part_names=finer,
        parts=parts,
        beside=dict(zip(beside, others, strict=True)),
    )
