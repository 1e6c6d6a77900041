"""Who pays for what a shared team spends: its dollars spread over the other teams, to the last of 12 decimals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from proxy.ledger.read import Totals
from proxy.ledger.sqltypes import USD_DECIMALS
from proxy.reports.cost import COST
from proxy.reports.kind import Kind
from proxy.reports.period import QuestionError
from proxy.reports.split import Split, few
from proxy.reports.table import Cell, Column

Measure = Literal["dollars", "tokens"]
_MEASURES: dict[str, Measure] = {"dollars": "dollars", "tokens": "tokens"}
_ALLOCATED = (
    Column(key="own_usd", title="own", kind="dollars", unit="USD"),
    Column(key="allocated_usd", title="allocated", kind="dollars", unit="USD"),
    Column(key="cost_usd", title="dollars", kind="dollars", unit="USD"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """A team whose costs the others bear, by their share of dollars or of tokens."""

    team: str
    by: Measure


def shared(text: str) -> Shared:
    """Read ``platform=tokens``; raises QuestionError."""
    team, _, measure = text.rpartition("=")
    if not team or measure not in _MEASURES:
        raise QuestionError(f"cannot allocate {text!r}: write TEAM=dollars or TEAM=tokens, such as platform=tokens")
    return Shared(team=team, by=_MEASURES[measure])


def spread(amount: int, weights: Sequence[int]) -> list[int]:
    """Share out whole units by weights, the largest remainders first; what is given out is what there was.

    Raises ZeroDivisionError where all weights are 0.
    """
    whole = sum(weights)
    shares = [amount * weight // whole for weight in weights]
    short = amount - sum(shares)
    # Of equal remainders the first: the same question has the same answer.
    last = sorted(range(len(weights)), key=lambda i: -(amount * weights[i] % whole))[:short]
    for position in last:
        shares[position] += 1
    return shares


def chargeback(split: Split, spreads: Sequence[Shared]) -> Kind:
    """Make the cost report of ``split``, by team, in which shared teams' dollars are borne by the others.

    Raises QuestionError for a team without calls in the period, or named twice.
    """
    groups = {group.key[0]: group for group in split.groups if group.calls}
    names = [each.team for each in spreads]
    if len(set(names)) != len(names):
        raise QuestionError("--allocate names a team twice")
    for name in names:
        if name not in groups:
            there = few(groups) or "none"
            raise QuestionError(
                f"cannot allocate the costs of team {name!r}: it has no calls in this period; teams: {there}"
            )
    bearing = [
        group for _, group in sorted(groups.items(), key=lambda each: each[0] or "") if group.key[0] not in names
    ]
    allocated = dict.fromkeys(groups, 0)
    unborne: list[str] = []
    for each in spreads:
        amount, weights = _units(groups[each.team]), [_WEIGHTS[each.by](group) for group in bearing]
        if not sum(weights):
            unborne.append(each.team)
            continue
        allocated[each.team] -= amount
        for group, share in zip(bearing, spread(amount, weights), strict=True):
            allocated[group.key[0]] += share

    def reckoned(_: Split, groups: Sequence[Totals]) -> Mapping[str, Sequence[Cell]]:
        given = [allocated[group.key[0]] if group.key else 0 for group in groups]
        borne = list(zip(groups, given, strict=True))
        return {
            "own_usd": [group.cost_usd for group in groups],
            "allocated_usd": [_dollars(units) for units in given],
            "cost_usd": [
                None if group.cost_usd is None and not units else _dollars(_units(group) + units)
                for group, units in borne
            ],
        }

    def says(_: Split) -> list[str]:
        return [
            f"nothing of {each.team}'s is allocated: no other team has a share of {each.by}"
            if each.team in unborne
            else f"what {each.team} spent is borne by the others by their share of {each.by}"
            for each in spreads
        ]

    columns = tuple(column for column in COST.columns if column.key != "cost_usd")
    return replace(
        COST,
        title="Chargeback at each day's price, list or your own",
        columns=(*columns, *_ALLOCATED),
        reckoned=reckoned,
        says=says,
    )


def _units(group: Totals) -> int:
    return int((group.cost_usd or Decimal(0)).scaleb(USD_DECIMALS))


def _dollars(units: int) -> Decimal:
    return Decimal(units).scaleb(-USD_DECIMALS)


def _tokens(group: Totals) -> int:
    return (group.input_tokens or 0) + (group.output_tokens or 0)


_WEIGHTS: dict[Measure, Callable[[Totals], int]] = {"dollars": _units, "tokens": _tokens}
