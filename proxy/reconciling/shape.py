"""One line of what a provider states, and which of its columns mean what; the columns are data."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib import resources
from typing import Literal

import msgspec

from proxy.errors import JoulegateError

_CENTS = -2  # as a power of ten, of a dollar


class StatementError(JoulegateError):
    """A statement cannot be read; the message names the line and what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """One line of a statement; None is what it does not say. ``day`` is of UTC, ``usd`` exact."""

    provider: str
    day: date
    key: str | None = None
    project: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    output_tokens: int | None = None
    usd: Decimal | None = None


class Shape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which columns mean what; a list of them is added up."""

    name: str
    needs: tuple[str, ...]
    day: str
    provider: str | None = None
    provider_in: str | None = None
    key: str | None = None
    project: str | None = None
    model: str | None = None
    model_until: str | None = None  # the model's name ends there
    input: tuple[str, ...] = ()
    cached: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    dollars: str | None = None
    unit: Literal["dollar", "cent"] = "dollar"  # of the column `dollars`
    currency: str | None = None

    def stated(self, row: Mapping[str, str | None], provider: str | None, where: str) -> Stated:
        """Read one row; ``provider`` says whose it is instead, ``where`` names the row in errors."""
        currency = _text(row, self.currency)
        if currency is not None and currency.lower() != "usd":
            raise StatementError(f"{where}: the currency is {currency}: only dollars can be compared")
        whose = provider or self.provider or _text(row, self.provider_in)
        if whose is None:
            raise StatementError(f"{where}: no provider")
        model, dollars = _text(row, self.model), _text(row, self.dollars)
        if model is not None and self.model_until is not None:
            model = model.partition(self.model_until)[0].strip()
        usd = None if dollars is None else _number(dollars, where)
        if usd is not None and self.unit == "cent":
            usd = usd.scaleb(_CENTS)
        return Stated(
            provider=whose,
            day=moment_of(_text(row, self.day), where).date(),
            key=_text(row, self.key),
            project=_text(row, self.project),
            model=model,
            input_tokens=_count(row, self.input, where),
            cached_input_tokens=_count(row, self.cached, where),
            output_tokens=_count(row, self.output, where),
            usd=usd,
        )


@cache
def shapes() -> tuple[Shape, ...]:
    """Give the shapes that are known, in the order in which they are tried."""
    text = resources.files("proxy.data").joinpath("statements.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text)["shape"], tuple[Shape, ...])


def shape_of(columns: Iterable[str]) -> Shape:
    """Find the shape whose columns are all there; raises :class:`StatementError`."""
    there = dict.fromkeys(columns)
    for shape in shapes():
        if set(shape.needs) <= there.keys():
            return shape
    known = "; ".join(f"{shape.name}: {', '.join(shape.needs)}" for shape in shapes())
    raise StatementError(f"no statement has the columns {', '.join(there) or '(none)'}; needed are: {known}")


def moment_of(text: str | None, where: str) -> datetime:
    """Give the moment (UTC) that a day, a moment or seconds since the Unix epoch name; without an offset it is UTC."""
    try:
        if text is not None and text.isdecimal() and len(text) > len("20261123"):
            return datetime.fromtimestamp(int(text), UTC)
        moment = datetime.fromisoformat(text or "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise StatementError(f"{where}: {text!r} is no day: write it as 2026-11-23") from None


def _text(row: Mapping[str, str | None], column: str | None) -> str | None:
    return (row.get(column) or "").strip() or None if column is not None else None


def _count(row: Mapping[str, str | None], columns: Sequence[str], where: str) -> int | None:
    parts = [int(_number(found, where)) for column in columns if (found := _text(row, column)) is not None]
    return sum(parts) if parts else None


def _number(text: str, where: str) -> Decimal:
    try:
        found = Decimal(text.replace("$", ""))
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise StatementError(f"{where}: {text!r} is no number")
    return found
