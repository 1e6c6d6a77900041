"""The inference cost audit's own arithmetic: two FLOPs per parameter, one energy per FLOP, one grid.

Kept so that its figures can be reproduced to the printed digit and held against the roofline; it has
no batch, no memory, no host, and treats an input token like an output token.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Any

from estimator.carbon import operational_grams
from estimator.facts import read_toml
from estimator.flops import Part
from estimator.units import JOULES_PER_KWH, JOULES_PER_WH


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditModel:
    """A model with the audit's parameters: active parameters, dollars per million tokens."""

    name: str
    active_params: float
    input_usd: Decimal | None
    output_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One conversation by the static tables: every token alike, PUE in the energy constant."""

    flops: float
    joules: float
    it_joules: float
    grams_co2e: float
    cost_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calculation:
    """One query by the interactive calculator: attention added, another energy constant, input tokens only."""

    attention_flops_per_position: float
    parameter_flops_per_token: float
    attention_share: float
    flops: float
    joules: float
    grams_co2e: float
    cost_usd: Decimal
    phone_charges: float
    led_hours: float
    car_km: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A million conversations a day for a year, and one conversation held against household things."""

    annual_mwh: float
    homes: float
    annual_tonnes_co2e: float
    annual_usd: float | None
    user_usd: float | None  # one conversation a day for a year
    per_phone_charge: float  # conversations
    per_kettle: float


@cache
def parameters() -> dict[str, Any]:
    """Return the audit's constants as the page states them."""
    return read_toml("audit.toml")


@cache
def audit_models() -> dict[str, AuditModel]:
    """Return the page's models by the id of our card."""
    return {
        key: AuditModel(
            name=row["name"],
            active_params=row["active_b"] * 1e9,
            input_usd=Decimal(row["input"]) if "input" in row else None,
            output_usd=Decimal(row["output"]) if "output" in row else None,
        )
        for key, row in parameters()["models"].items()
    }


def conversation(
    active_params: float, n_in: int, n_out: int, grams_per_kwh: float, model: AuditModel | None = None
) -> Conversation:
    """Return ``2·P·(n_in + n_out)`` FLOPs at 0.21 pJ each, and grams on the grid given."""
    static = parameters()["static"]
    flops = 2 * active_params * (n_in + n_out)
    joules = flops * static["joules_per_flop"]
    dollars = None
    if model is not None and model.input_usd is not None and model.output_usd is not None:
        dollars = (n_in * model.input_usd + n_out * model.output_usd).scaleb(-6)
    return Conversation(
        flops=flops,
        joules=joules,
        it_joules=joules / static["pue"],
        grams_co2e=operational_grams(joules, grams_per_kwh),
        cost_usd=dollars,
    )


def calculator(active_params: float, tokens: int, usd_per_million_input: Decimal) -> Calculation:
    """Return what the page's calculator shows for ``tokens``: ``n·(2·P + 4·n·d·L)`` FLOPs at 0.7 nJ each."""
    k = parameters()["calculator"]
    attention = 4.0 * tokens * k["hidden"] * k["layers"]
    per_token = 2 * active_params
    flops = tokens * (per_token + attention)
    joules = flops * k["joules_per_flop"]
    grams = operational_grams(joules, k["grams_per_kwh"])
    return Calculation(
        attention_flops_per_position=attention,
        parameter_flops_per_token=per_token,
        attention_share=attention / (per_token + attention),
        flops=flops,
        joules=joules,
        grams_co2e=grams,
        cost_usd=(tokens * usd_per_million_input).scaleb(-6),
        phone_charges=joules / k["phone_charge_joules"],
        led_hours=joules / k["led_watts"] / 3600,
        car_km=grams / k["car_grams_per_km"],
    )


def parts(flops: float, n_in: int, n_out: int) -> tuple[Part, ...]:
    """Split a conversation's FLOPs as the calculator does: ``2·P`` a token, and ``4·n·d·L`` at its n tokens.

    The static tables leave attention out, so it comes on top of ``flops``; shares are of both together.
    """
    k = parameters()["calculator"]
    tokens = n_in + n_out
    attention = 4.0 * tokens * k["hidden"] * k["layers"]
    split = {"FFN and projections": (flops / tokens if tokens else 0.0, "2·P"), "attention": (attention, "4·n·d·L")}
    whole = sum(per_token for per_token, _ in split.values())
    return tuple(
        Part(
            name=name,
            formula=formula,
            prefill=per_token * n_in,
            decode=per_token * n_out,
            avoided=0.0,
            share=per_token / whole if whole else 0.0,
        )
        for name, (per_token, formula) in split.items()
    )


def at_scale(one: Conversation) -> Scale:
    """Return the page's yearly figures and comparisons for a conversation on its global grid."""
    k = parameters()["scale"]
    year = k["conversations_per_day"] * k["days_per_year"]
    mwh = one.joules / JOULES_PER_KWH / 1000 * year
    dollars = float(one.cost_usd) if one.cost_usd is not None else None
    return Scale(
        annual_mwh=mwh,
        homes=mwh / k["home_mwh_per_year"],
        annual_tonnes_co2e=one.grams_co2e / 1e6 * year,
        annual_usd=None if dollars is None else dollars * year,
        user_usd=None if dollars is None else dollars * k["days_per_year"],
        per_phone_charge=k["phone_charge_wh"] * JOULES_PER_WH / one.joules,
        per_kettle=k["kettle_wh"] * JOULES_PER_WH / one.joules,
    )


def printed(value: float, digits: int) -> str:
    """Round as the page prints: half up, after binary noise below 1e-9 is gone."""
    cleaned = Decimal(repr(round(value, 9)))
    return str(cleaned.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP))


def printed_by_script(value: float, digits: int) -> str:
    """Round as the page's script does, from the binary value itself: 38.3249… is $38.32."""
    return str(Decimal(value).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP))


def printed_short(value: float) -> str:
    """Round as its milligram columns do: one decimal from 1 upwards, two below."""
    return printed(value, 1 if value >= 1 else 2)
