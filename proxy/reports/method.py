"""How the figures of a report are made, in sentences: for pages and paper that must stand by themselves."""

from __future__ import annotations

from collections.abc import Iterable

METHOD = {
    "tokens": "Tokens are those that the provider states in each reply, unless it says otherwise under how it was"
    " metered.",
    "dollars": "Dollars are exact sums of list prices of the day of each call, or of the prices that the operator"
    " configured.",
    "compute": "Compute is the floating-point operations of prefill and decode, from tokens and the model's shape.",
    "energy": "Energy is modelled from the model's shape, the hardware and the tokens, at the facility's meter:"
    " servers, their idle share and the facility's overhead (PUE) are in it. Networks, end devices and training are"
    " not.",
    "carbon": "Carbon is that energy times the grid's grams per kWh (location-based). Market-based grams take the"
    " operator's published contracts instead; embodied grams are the hardware's making, by the seconds it worked.",
    "water": "Water is what is evaporated on site and in generating the electricity.",
    "range": "The range of a figure holds the truth with 90 % probability. What errs alike for all calls of a model"
    " adds up in a sum, what errs call by call evens out: a month's range is narrower than a call's, and not nothing."
    " No figure has more digits than its range allows. Compute, water, market-based and embodied grams have no range of"
    " their own here: they are no surer than the energy.",
}

_OF_UNIT = {
    "tokens": "tokens", "USD": "dollars", "FLOP": "compute", "J": "energy", "Wh": "energy", "g": "carbon",
    "gCO2e": "carbon", "g/kWh": "carbon", "g/token": "carbon", "L": "water",
}  # fmt: skip


def how(unit: str) -> str | None:
    """Say how figures of this unit are made; nothing of counts and names."""
    return METHOD.get(_OF_UNIT.get(unit, ""))


def sentences(units: Iterable[str], *, ranges: bool) -> list[str]:
    """Give those that figures of these units need, and their ``ranges``, in their order."""
    wanted = {_OF_UNIT.get(unit) for unit in units} | ({"range"} if ranges else set())
    if wanted & {"carbon", "water"}:
        wanted.add("energy")
    return [text for name, text in METHOD.items() if name in wanted]
