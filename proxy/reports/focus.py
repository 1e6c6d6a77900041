"""FOCUS, the FinOps Open Cost and Usage Specification: one usage row per day, team, project, provider and model.

The columns of each version are data (``focus.toml``). The specification has no unknown cost: a call without a price
adds 0 to its row and is counted in ``x_UnpricedCalls``, in the description and under the report. What a provider in
the end billed is not known here, so the four costs are one: the ledger's price.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from importlib import resources
from operator import attrgetter, itemgetter
from typing import Any, Literal

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


_NAMES = tuple(name for name in Totals.__struct_fields__ if name != "key")
_of_all = attrgetter(*_NAMES)


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
    charged.sort(key=lambda group: [each or "" for each in group.key])
    left_out = sum(group.calls for group in split.groups) - sum(group.calls for group in charged)
    row = _rows(listed)
    return Report(
        name="focus",
        title=f"FOCUS {version}",
        period=split.period,
        by=BY,
        columns=tuple(
            Column(key=name, title=name, kind=column.kind, unit=column.unit, summed=column.summed)
            for name, column in listed.items()
        ),
        rows=tuple(row(_charge(split, group)) for group in charged),
        total=row(_figures(split.total) | {"cost": _dollars(split.total.cost_usd)}),
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
    return any(each is not None for each in (group.cost_usd, group.input_tokens, group.output_tokens, group.joules))


def _rows(listed: dict[str, _Column]) -> Callable[[dict[str, Cell]], tuple[Cell, ...]]:
    """Give a way to write figures as a row of these columns; what is not among the figures is empty."""
    fixed = {f"={name}": column.fixed for name, column in listed.items() if column.of is None}
    names = [f"={name}" if column.of is None else column.of for name, column in listed.items()]
    empty, in_order = dict.fromkeys(names) | fixed, itemgetter(*names)
    return lambda figures: in_order(empty | figures)


def _figures(group: Totals) -> dict[str, Cell]:
    return dict(zip(_NAMES, _of_all(group), strict=True))


def _charge(split: Split, group: Totals) -> dict[str, Cell]:
    day, team, project, provider, model = group.key
    tokens = (group.input_tokens or 0) + (group.output_tokens or 0)
    named = f"{model or _UNNAMED} at {provider or _UNNAMED}"
    lacking = f"; no price is known of {group.unpriced_calls}, which add 0" if group.unpriced_calls else ""
    texts: dict[str, Any] = {
        "team": team,
        "project": project,
        "provider": provider or _UNNAMED,
        "model": model,
        "service": f"{provider or _UNNAMED} LLM API",
        "sku": f"{provider or _UNNAMED}/{model or _UNNAMED}",
        "description": f"{named}, calls: {group.calls}{lacking}",
        "tags": msgspec.json.encode({} if project is None else {"project": project}).decode(),
        "quantity": float(tokens or group.calls),  # FOCUS wants a decimal, and its readers look for the point
        "unit": TOKENS if tokens else REQUESTS,
        "cost": _dollars(group.cost_usd),
        "tier": weakest(split.tiers.shares(group)) if split.tiers is not None else None,
    }
    return _figures(group) | texts | _times(str(day), split.period)


@lru_cache
def _times(day: str, period: Period) -> dict[str, Cell]:
    """Write from when to when charges of a local day are, and their month."""
    whole, month = day_of(day, period.zone), month_of(day[:7], period.zone)
    return {
        "start": _written(max(whole.start, period.start)),
        "end": _written(min(whole.end, period.end)),
        "month_start": _written(month.start),
        "month_end": _written(month.end),
    }


def _dollars(cost: Decimal | None) -> str:
    """Write all decimals: a column of whole dollars would be read as one of integers, which FOCUS does not have."""
    return f"{cost or 0:.{USD_DECIMALS}f}"


def _written(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
