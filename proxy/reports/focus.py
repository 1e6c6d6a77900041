"""FOCUS, the FinOps Open Cost and Usage Specification: one usage row per day, team, project, provider and model.

The columns of each version are data (``focus.toml``). The specification has no unknown cost: a call without a price
adds 0 to its row and is counted in ``x_UnpricedCalls``, in the description and under the report. What a provider in
the end billed is not known here, so the four costs are one: the ledger's price.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from importlib import resources
from operator import attrgetter
from typing import Literal

import msgspec

from proxy.ledger.read import SUMMED, Totals
from proxy.ledger.sqltypes import USD_DECIMALS
from proxy.reports import notes
from proxy.reports.evidence import weakest
from proxy.reports.metering import metering_of
from proxy.reports.period import Period, day_of, month_of
from proxy.reports.split import Split
from proxy.reports.table import Cell, Column, Report

BY = ("day", "team", "project", "provider", "model")
TOKENS, REQUESTS = "Tokens", "Requests"
_UNNAMED = "unknown"  # names that FOCUS wants of every charge
_NOTHING_KNOWN = (None, None, None, None)
# What makes a charge, its cost and its quantity, whatever columns show it.
_MAKING = ("cost_usd", "input_tokens", "output_tokens", "joules", "unpriced_calls")


class _Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    of: str | None = None
    fixed: str | None = msgspec.field(name="is", default=None)
    kind: Literal["text", "time", "count", "dollars", "quantity"] = "text"
    unit: str = ""
    summed: bool = True


class _Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    columns: list[str]


class Columns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``focus.toml`` says: the newest version is the last."""

    version: dict[str, _Version]
    column: dict[str, _Column]
    own: dict[str, _Column]

    def newest(self) -> str:
        """Name the version that is written."""
        return list(self.version)[-1]

    def listed(self, version: str) -> dict[str, _Column]:
        """Give a version's columns in their order, ours at the end."""
        return {name: self.column[name] for name in self.version[version].columns} | self.own


def read_columns(text: str) -> Columns:
    """Read the lists of columns; raises msgspec.ValidationError, KeyError on a column that is not described."""
    read = msgspec.convert(tomllib.loads(text), Columns)
    for version in read.version:
        read.listed(version)
    return read


@lru_cache(maxsize=1)
def shipped() -> Columns:
    """Read the lists that come with this release."""
    return read_columns(resources.files("proxy.reports").joinpath("focus.toml").read_text(encoding="utf-8"))


def figures_of(columns: Columns) -> set[str]:
    """Say what of the ledger's sums the newest version's charges are made of."""
    listed = columns.listed(columns.newest()).values()
    shown = {column.of.removesuffix("_low").removesuffix("_high") for column in listed if column.of is not None}
    return {*shown.intersection(SUMMED), *_MAKING}


def focus(split: Split, service: str | None = None, columns: Columns | None = None) -> Report:
    """Write a split by :data:`BY` as charges; ``service`` is what a running gate says of its ledger."""
    columns = columns or shipped()
    version = columns.newest()
    listed = columns.listed(version)
    charged = [group for group in split.groups if _is_charge(group)]
    charged.sort(key=lambda group: tuple([each or "" for each in group.key]))
    left_out = sum(group.calls for group in split.groups) - sum(group.calls for group in charged)
    return Report(
        name="focus",
        title=f"FOCUS {version}",
        period=split.period,
        by=BY,
        columns=tuple(
            Column(key=name, title=name, kind=column.kind, unit=column.unit, summed=column.summed)
            for name, column in listed.items()
        ),
        cells=_cells(listed, charged, _charges(split, charged)),
        total=tuple(cell for (cell,) in _cells(listed, [split.total], {"cost": [_dollars(split.total.cost_usd)]})),
        where=split.where,
        notes=(
            *notes.nothing(split),
            *notes.without(split, "unpriced_calls", "a price", "they are in the rows with cost 0"),
            *notes.prices(split),
            *notes.evidence(split),
            *([f"calls without tokens and without a price, in no row: {left_out:,}"] if left_out else []),
            *notes.health(split, "unpriced_calls", service),
        ),
        metering=metering_of(split, service),
    )


def _is_charge(group: Totals) -> bool:
    made_of = (group.cost_usd, group.input_tokens, group.output_tokens, group.joules)
    return made_of != _NOTHING_KNOWN


def _cells(
    listed: dict[str, _Column], groups: Sequence[Totals], made: Mapping[str, Sequence[Cell]]
) -> list[Sequence[Cell]]:
    """Give these columns, a cell of each for each group: what is ``made`` of them, else their sums."""

    def cells(column: _Column) -> Sequence[Cell]:
        name = column.of or ""
        if name in made:
            return made[name]
        if name in Totals.__struct_fields__:
            return list(map(attrgetter(name), groups))
        return [column.fixed] * len(groups)

    return [cells(column) for column in listed.values()]


def _charges(split: Split, groups: Sequence[Totals]) -> dict[str, Sequence[Cell]]:
    """Give what charges say beside the sums, column by column."""
    days, teams, projects, *named = zip(*(group.key for group in groups), strict=True) if groups else [()] * len(BY)
    providers, models = ([name or _UNNAMED for name in names] for names in named)
    tokens = [(group.input_tokens or 0) + (group.output_tokens or 0) for group in groups]
    times = {day: _times(str(day), split.period) for day in set(days)}
    tags = {name: msgspec.json.encode({} if name is None else {"project": name}).decode() for name in set(projects)}
    tiers = split.tiers
    return {
        "team": teams,
        "project": projects,
        "provider": providers,
        "model": named[1],
        "service": [f"{provider} LLM API" for provider in providers],
        "sku": [f"{provider}/{model}" for provider, model in zip(providers, models, strict=True)],
        "description": [
            f"{model} at {provider}, calls: {group.calls}{_lacking(group)}"
            for provider, model, group in zip(providers, models, groups, strict=True)
        ],
        "tags": [tags[name] for name in projects],
        # FOCUS wants a decimal, and its readers look for the point.
        "quantity": [float(number or group.calls) for number, group in zip(tokens, groups, strict=True)],
        "unit": [TOKENS if number else REQUESTS for number in tokens],
        "cost": [_dollars(group.cost_usd) for group in groups],
        "tier": [weakest(tiers.shares(group)) if tiers is not None else None for group in groups],
        **{name: [times[day][name] for day in days] for name in _TIMES},
    }


def _lacking(group: Totals) -> str:
    return f"; no price is known of {group.unpriced_calls}, which add 0" if group.unpriced_calls else ""


_TIMES = ("start", "end", "month_start", "month_end")


def _times(day: str, period: Period) -> dict[str, Cell]:
    """Write from when to when charges of a local day are, and their month."""
    whole, month = day_of(day, period.zone), month_of(day[:7], period.zone)
    moments = (max(whole.start, period.start), min(whole.end, period.end), month.start, month.end)
    return dict(zip(_TIMES, map(_written, moments), strict=True))


def _dollars(cost: Decimal | None) -> str:
    """Write all decimals: a column of whole dollars would be read as one of integers, which FOCUS does not have."""
    return f"{cost or 0:.{USD_DECIMALS}f}"


def _written(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
