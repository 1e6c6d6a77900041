"""Reading what a provider states: an invoice or an export of usage or cost, as CSV; its columns are data."""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib import resources

import msgspec

from proxy.errors import JoulegateError


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
    """Which columns of a file mean what; a list of them is added up."""

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
    currency: str | None = None


@cache
def shapes() -> tuple[Shape, ...]:
    """Give the shapes that are known, in the order in which they are tried."""
    text = resources.files("proxy.data").joinpath("statements.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text)["shape"], tuple[Shape, ...])


def read_statement(text: str, provider: str | None = None) -> tuple[Shape, list[Stated]]:
    """Read a statement, its columns separated by commas, semicolons or tabs; ``provider`` says whose it is instead.

    Lines that state nothing are left out. Raises :class:`StatementError`.
    """
    text = text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    rows = csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True)
    found: list[Stated] = []
    try:
        shape = _shape(rows.fieldnames or ())
        for row in rows:
            line = _stated(row, shape, provider, rows.line_num)
            if (line.usd, line.input_tokens, line.output_tokens) != (None, None, None):
                found.append(line)
    except csv.Error as error:
        raise StatementError(f"line {rows.line_num}: {error}") from None
    return shape, found


def _shape(columns: Sequence[str]) -> Shape:
    for shape in shapes():
        if set(shape.needs) <= set(columns):
            return shape
    known = "; ".join(f"{shape.name}: {', '.join(shape.needs)}" for shape in shapes())
    raise StatementError(f"no statement has the columns {', '.join(columns) or '(none)'}; needed are: {known}")


def _stated(row: Mapping[str, str | None], shape: Shape, provider: str | None, number: int) -> Stated:
    def text(column: str | None) -> str | None:
        return (row.get(column) or "").strip() or None if column is not None else None

    def count(columns: Sequence[str]) -> int | None:
        parts = [int(_number(found, number)) for column in columns if (found := text(column)) is not None]
        return sum(parts) if parts else None

    currency = text(shape.currency)
    if currency is not None and currency.lower() != "usd":
        raise StatementError(f"line {number}: the currency is {currency}: only dollars can be compared")
    whose = provider or shape.provider or text(shape.provider_in)
    if whose is None:
        raise StatementError(f"line {number}: no provider")
    model, dollars = text(shape.model), text(shape.dollars)
    if model is not None and shape.model_until is not None:
        model = model.partition(shape.model_until)[0].strip()
    return Stated(
        provider=whose,
        day=_day(text(shape.day), number),
        key=text(shape.key),
        project=text(shape.project),
        model=model,
        input_tokens=count(shape.input),
        cached_input_tokens=count(shape.cached),
        output_tokens=count(shape.output),
        usd=None if dollars is None else _number(dollars, number),
    )


def _number(text: str, line: int) -> Decimal:
    try:
        found = Decimal(text.replace("$", ""))
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise StatementError(f"line {line}: {text!r} is no number")
    return found


def _day(text: str | None, line: int) -> date:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        raise StatementError(f"line {line}: {text!r} is no day: write it as 2026-11-23") from None
    return moment.date() if moment.tzinfo is None else moment.astimezone(UTC).date()
