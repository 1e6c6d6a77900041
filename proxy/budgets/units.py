"""What budgets are counted in: whole steps of a unit, so that sums are exact and shared memory can hold them."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Literal, Protocol, get_args

from estimator.units import JOULES_PER_KWH

Unit = Literal["usd", "kwh", "gco2e", "liters", "tokens", "requests", "concurrent_requests"]
UNITS: tuple[Unit, ...] = get_args(Unit)
COUNTED = frozenset(("tokens", "requests", "concurrent_requests"))  # by the piece
ESTIMATED = frozenset(("kwh", "gco2e", "liters"))  # what is used of these is no exact sum

_FINE = 10**12  # as the ledger keeps dollars
# A call with one of these reasons took nothing that a figure could be missing for.
_TOOK_NOTHING = frozenset((
    "usage.none_on_error", "usage.surface_without_usage", "usage.pending", "usage.counted_before", "usage.on_turns",
    "usage.no_reply", "upstream_connect_timeout", "upstream_tls_failed", "upstream_unreachable",
    "client_gone_before_sending",
))  # fmt: skip


def steps_per(unit: Unit) -> int:
    """Say into how many steps one of a unit is cut: 10¹² of what is not counted by the piece."""
    return 1 if unit in COUNTED else _FINE


def steps_of(amount: float | Decimal, unit: Unit) -> int:
    """Give an amount as it is written (0.1 is a tenth) in steps."""
    exact = Decimal(repr(amount)) if isinstance(amount, float) else amount
    return int(exact * steps_per(unit))


def shown(steps: int, unit: Unit) -> Decimal:
    """Give steps as an amount of the unit, exactly."""
    return plain(Decimal(steps) / steps_per(unit))


def plain(amount: Decimal) -> Decimal:
    """Give an amount without zeros behind its last digit, and a whole one without an exponent."""
    whole = amount.to_integral_value()
    return whole.quantize(Decimal(1)) if whole == amount else amount.normalize()


class Used(Protocol):
    """The figures of one call, as its row in the ledger has them; ``None`` is unknown."""

    @property
    def input_tokens(self) -> int | None:
        """Tokens of the prompt, cached ones included."""

    @property
    def output_tokens(self) -> int | None:
        """Tokens of the reply, reasoning included."""

    @property
    def joules(self) -> float | None:
        """At the facility's meter."""

    @property
    def grams_co2e(self) -> float | None:
        """Operational, location-based."""

    @property
    def liters(self) -> float | None:
        """On site and in generating the electricity."""

    @property
    def cost_usd(self) -> Decimal | None:
        """At the price that is known."""


class Recorded(Used, Protocol):
    """A row of the ledger, as far as budgets look at it."""

    @property
    def id(self) -> str:
        """The call's own."""

    @property
    def operation_id(self) -> str:
        """Of the request: the first attempt's id."""

    @property
    def outcome(self) -> str:
        """How it ended."""

    @property
    def reason(self) -> str | None:
        """Why it is not ok, or why its usage is absent."""


def used(figures: Used, unit: Unit) -> int | None:
    """Give what a call used of a unit, in steps; ``None`` where that is unknown."""
    match unit:
        case "usd":
            cost = figures.cost_usd
            return None if cost is None or cost < 0 else steps_of(cost, unit)
        case "kwh":
            return _steps(figures.joules, 1 / JOULES_PER_KWH)
        case "gco2e":
            return _steps(figures.grams_co2e)
        case "liters":
            return _steps(figures.liters)
        case "tokens":
            counts = [count for count in (figures.input_tokens, figures.output_tokens) if count is not None]
            return max(0, sum(counts)) if counts else None
        case _:
            raise AssertionError(f"no figure of a call says {unit}")


def recorded(row: Recorded, unit: Unit) -> tuple[int, bool]:
    """Give what a row adds to a budget, in steps, and whether something is unknown that should be there."""
    if unit == "requests":  # attempts after the first and turns on a connection belong to a request that is counted
        return int(row.outcome != "rejected" and row.id == row.operation_id), False
    steps = used(row, unit)
    if steps is not None:
        return steps, False
    return 0, row.outcome != "rejected" and row.reason not in _TOOK_NOTHING


def _steps(figure: float | None, per: float = 1.0) -> int | None:
    if figure is None or not 0 <= figure < math.inf:
        return None
    return round(figure * per * _FINE)
