"""An estimate as the calculator shows it: every text and every bar of the page by its key.

``static/words.js`` makes the same from the browser's figures; a test holds one against the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from estimator import Estimate, Range, sources
from estimator.audit import parameters
from estimator.carbon import operational_grams
from estimator.equivalences import count, equivalences
from estimator.fits import constants
from estimator.grid import WORLD, grid
from estimator.overheads import overheads
from estimator.profiles import Profile
from estimator.ranges import Band
from estimator.uncertainty import Total, uncertain
from estimator.units import JOULES_PER_WH
from proxy.calculator.asked import Asked
from proxy.reports.figures import UNKNOWN, carried, digits, dollars, scale

if TYPE_CHECKING:
    from proxy.calculator.own import Own

DAYS: Final = 365
QUANTITIES: Final = {
    "flops": ("compute", "FLOP"),
    "joules": ("energy", "J"),
    "grams_co2e": ("CO₂e of operation", "g"),
    "liters": ("water", "L"),
    "embodied_grams_co2e": ("CO₂e of the hardware", "g"),
    "market_grams_co2e": ("CO₂e by contract", "g"),
}
NAMES: Final = {name: words for name, (words, _) in QUANTITIES.items()} | {
    "gpu_joules": "energy of the accelerators",
    "it_joules": "energy of the servers",
    "prefill_joules": "energy of the prompt",
    "cost_usd": "dollars",
}
TIERS: Final = {
    "measured": ("●", "measured, as your configuration states"),
    "disclosed": ("●", "disclosed by the provider, as your configuration states"),
    "deployment": ("◐", "modelled: open weights on the machine you state"),
    "open_model": ("◐", "modelled: open weights, machine unknown"),
    "closed_model": ("○", "modelled: neither size nor machine is public"),
    "widest": ("○", "modelled: nothing is known of the model"),
    "unknown": ("–", "nothing to reckon with"),
}
SCOPES: Final = {"gpu": "at the accelerators", "it": "at the servers", "facility": "at the facility"}
FITTED: Final = (
    "Constants fitted on rows that ML.ENERGY measured on A100, H100 and B200; a closed model's machine is drawn from "
    "priors, 600 times."
)
YEAR: Final = (
    ", location-based, over the life cycle, in the mean of a year: Our World in Data, from Ember and the Energy "
    "Institute. An hour may be × 0.6 to × 1.4 of it."
)
STATED: Final = (
    ", as you state it: of an hour that you know, or of electricity of your own. No band for the hour is in it."
)
FOLLOWED: Final = "What is not stated follows from it, by the roofline's shares where there is one."
_CUBIC_METER: Final = 1e3  # liters
PARTS: Final = 7  # of a forward pass
SMALL: Final = "llama-3.1-8b-instruct"  # the small model that others are held against, as on the audit page
DRAFT: Final = 4  # tokens drafted a step, where the calculator shows what that would change
CLEAN: Final = "SWE"  # a grid of water, wind and nuclear power


@dataclass(frozen=True, slots=True)
class Words:
    """Texts by key, bars by key as (start, length) in hundredths of their rail, lists of sentences by key."""

    texts: dict[str, str] = field(default_factory=dict)
    bars: dict[str, tuple[float, float]] = field(default_factory=dict)
    lists: dict[str, Sequence[str]] = field(default_factory=dict)


def words(asked: Asked, own: Own | None = None) -> Words:
    """Estimate what is asked, under a configuration where there is one, and put it into words."""
    made, said = asked.estimate(own), Words()
    _call(made, said)
    _parts(made, said)
    _grids(made, said)
    _at_scale(made, asked.calls, said)
    _likes(made, asked.calls, said)
    for name, lever in levers(asked).items():
        _lever(name, *lever, said, own)
    _audited(made, asked, said, own)
    _method(made, asked, said)
    _configured(made, asked, said, own)
    return said


def scaled(peak: float, unit: str) -> tuple[float, str]:
    """Choose a unit for figures up to ``peak``: as reports do, but cubic meters of water where they are usual."""
    if unit == "L" and peak >= _CUBIC_METER:
        return _CUBIC_METER, "m³"
    return scale(peak, unit)


def rounded(value: Range, unit: str) -> str:
    """Write a middle with as many digits as its band leaves it: 3.4 kJ, 188 TFLOP."""
    size, prefixed = scaled(value.mid, unit)
    return f"{middle(value, size)} {prefixed}"


def banded(value: Range, unit: str) -> str:
    """Write the ends of a band in one unit; nothing where there is none."""
    if value.low == value.high:
        return "no band"
    size, prefixed = scaled(value.high, unit)
    return f"{ends(value, size)} {prefixed}"


def middle(value: Range, size: float = 1.0) -> str:
    """Write a middle in ``size``, with the digits that its band leaves it."""
    return digits(value.mid / size, carried(value.low, value.mid, value.high))


def ends(value: Range, size: float = 1.0) -> str:
    """Write the ends of a band in ``size``, with as many digits as its middle has."""
    significant = carried(value.low, value.mid, value.high)
    return f"{digits(value.low / size, significant)} to {digits(value.high / size, significant)}"


def tenths(shares: Sequence[float]) -> list[int]:
    """Round shares to tenths of a per cent that sum to 1,000: what is left goes to the largest remainders."""
    exact = [1000 * share for share in shares]
    found = [int(each) for each in exact]
    order = sorted(range(len(exact)), key=lambda i: (found[i] - exact[i], i))
    for i in order[: 1000 - sum(found)]:
        found[i] += 1
    return found


def levers(asked: Asked) -> dict[str, tuple[Asked, Asked]]:
    """Return what would change a call's figures: by its key, what is asked before and after."""
    half, cached = asked.output // 2, max(asked.cached, asked.input * 9 // 10)
    return {
        "output": (asked, replace(asked, output=half)),
        "cache": (asked, replace(asked, cached=cached)),
        "batch": (replace(asked, batch=1.0), replace(asked, batch=32.0)),
        "fp8": (replace(asked, precision="bfloat16"), replace(asked, precision="fp8")),
        "int4": (replace(asked, precision="bfloat16"), replace(asked, precision="int4")),
        "draft": (replace(asked, draft=None), replace(asked, draft=DRAFT)),
        "grid": (replace(asked, zone=WORLD, grams=None), replace(asked, zone=CLEAN, grams=None)),
        "model": (asked, replace(asked, model=SMALL)),
    }


def _call(made: Estimate, said: Words) -> None:
    mark, tier = TIERS["widest" if made.tier == "unknown" and made.joules is not None else made.tier]
    said.texts.update(tier=tier, mark=mark)
    for name, (_, unit) in QUANTITIES.items():
        _quantity(f"call.{name}", getattr(made, name), unit, made.reasons.get(name, ""), said)
    wh = None if made.joules is None else made.joules / JOULES_PER_WH
    said.texts["call.wh"] = "" if wh is None else f"{rounded(wh, 'Wh')}, "
    said.texts["call.cost_usd"] = dollars(made.cost_usd)
    said.texts["call.cost_usd.band"] = (
        f"list price {made.price_id}" if made.cost_usd is not None else made.reasons.get("cost_usd", "")
    )


def _quantity(key: str, value: Range | None, unit: str, why: str, said: Words) -> None:
    said.texts[key] = UNKNOWN if value is None else rounded(value, unit)
    said.texts[f"{key}.band"] = why if value is None else banded(value, unit)
    known = value is not None and value.high > 0
    low, mid = (100 * value.low / value.high, 100 * value.mid / value.high) if value is not None and known else (0, 0)
    said.bars[key] = (low, 100 - low if known else 0)
    said.bars[f"{key}.mid"] = (min(mid, 99), 1 if known else 0)


def _parts(made: Estimate, said: Words) -> None:
    parts = made.flops_parts
    known = sum(part.share for part in parts) > 0
    shares = [part.share for part in parts] if known else [0.0] * PARTS
    written = tenths(shares) if known else []
    said.texts["parts.sum"] = f"{sum(written) / 10:.1f} %" if known else UNKNOWN
    for number, (share, end) in enumerate(zip(shares, accumulate(shares), strict=True)):
        said.texts[f"part.{number}"] = f"{written[number] / 10:.1f} %" if known else UNKNOWN
        said.bars[f"part.{number}"] = (100 * (end - share), 100 * share)


def _grids(made: Estimate, said: Words) -> None:
    place = None if made.zone is None or made.joules is None else grid(made.zone)
    said.texts["grid.place"] = UNKNOWN if place is None else place.name
    said.texts["grid.place.factor"] = UNKNOWN if place is None else f"{digits(place.grams_per_kwh)} g/kWh"
    factors = {"world": grid(WORLD).grams_per_kwh} | parameters()["static"]["grids"]
    if place is not None:
        factors["place.grams"] = place.grams_per_kwh
    for name in ("place.grams", "world", *parameters()["static"]["grids"]):
        grams = None
        if made.joules is not None:
            grams = (made.joules * operational_grams(1.0, factors[name])).widened(*constants()["bands"]["grid_hourly"])
        _quantity(f"grid.{name}", grams, "g", made.reasons.get("joules", ""), said)


def _at_scale(made: Estimate, calls: int, said: Words) -> None:
    for span, times in (("day", calls), ("year", calls * DAYS), ("user", DAYS)):
        for name in ("joules", "grams_co2e", "liters"):
            value: Range | None = getattr(made, name)
            total = None if value is None else many(value, times, made.per_call)
            unit = QUANTITIES[name][1]
            if name == "joules" and total is not None:
                total, unit = total / JOULES_PER_WH, "Wh"
            _quantity(f"{span}.{name}", total, unit, made.reasons.get(name, ""), said)
        cost = None if made.cost_usd is None else made.cost_usd * times
        said.texts[f"{span}.cost_usd"] = dollars(cost)


def many(value: Range, times: int, per_call: Band | None = None) -> Range:
    """Return the band of so many calls: what they share adds up, what is each one's own evens out."""
    return Total().plus(uncertain(value, "one", per_call), times).range


def _likes(made: Estimate, calls: int, said: Words) -> None:
    for like in equivalences():
        one = count(like, joules=made.joules, grams=made.grams_co2e)
        said.texts[f"like.{like.id}"] = UNKNOWN if one is None else middle(one)
        said.texts[f"like.{like.id}.band"] = "" if one is None else ends(one)
        day = None if one is None else many(one, calls, made.per_call)
        said.texts[f"like.{like.id}.day"] = UNKNOWN if day is None else middle(day)
        said.texts[f"like.{like.id}.day.band"] = "" if day is None else ends(day)


def _lever(name: str, before: Asked, after: Asked, said: Words, own: Own | None) -> None:
    one, other = before.estimate(own), after.estimate(own)
    if (one.evidence is None) != (other.evidence is None):  # like is held against like
        one, other = before.estimate(own, modelled=True), after.estimate(own, modelled=True)
    for what in ("joules", "grams_co2e"):
        first: Range | None = getattr(one, what)
        second: Range | None = getattr(other, what)
        known = first is not None and second is not None and first.mid > 0
        said.texts[f"lever.{name}.{what}"] = f"× {digits(second.mid / first.mid, 2)}" if known else UNKNOWN  # type: ignore[union-attr]
    paid = one.cost_usd is not None and other.cost_usd is not None and one.cost_usd > 0
    said.texts[f"lever.{name}.cost_usd"] = _ratio(other.cost_usd, one.cost_usd) if paid else UNKNOWN


def _ratio(after: Decimal | None, before: Decimal | None) -> str:
    return f"× {digits(float(after or 0) / float(before or 1), 2)}"


def _audited(made: Estimate, asked: Asked, said: Words, own: Own | None) -> None:
    """Say what the audit page's method makes of the same call, and how far apart both are."""
    from estimator import Usage, estimate

    usage = Usage(input_tokens=asked.input, output_tokens=asked.output)
    model = asked.model if own is None else own.terms(asked.model, asked.provider).model
    page = estimate(usage, model, provider=asked.provider, method="audit")
    for name in ("flops", "joules", "grams_co2e"):
        theirs: Range | None = getattr(page, name)
        ours: Range | None = getattr(made, name)
        said.texts[f"page.{name}"] = UNKNOWN if theirs is None else _prefixed(theirs.mid, QUANTITIES[name][1])
        apart = theirs is not None and ours is not None and theirs.mid > 0
        said.texts[f"page.{name}.apart"] = f"× {digits(ours.mid / theirs.mid, 2)}" if apart else UNKNOWN  # type: ignore[union-attr]


def _prefixed(value: float, unit: str) -> str:
    size, prefixed = scale(value, unit)
    return f"{digits(value / size, 4)} {prefixed}"


def _method(made: Estimate, asked: Asked, said: Words) -> None:
    """Say with which numbers the figures were made, what was taken for granted, and what is not known and why."""
    texts, profile = said.texts, made.profile
    keys = ("basis", "gpu", "servers", "pue", "per_kwh", "off_site", "on_site", "embodied")
    texts |= {f"how.{key}": UNKNOWN for key in keys}
    texts["how.grid"] = YEAR if asked.grams is None else STATED
    texts["how.rest"] = FITTED if made.evidence is None else FOLLOWED
    if made.zone is not None and made.joules is not None and made.gpu_joules is not None and made.it_joules is not None:
        operator = overheads(asked.provider) if profile is None else profile.overheads
        place = grid(made.zone)
        texts |= {
            "how.gpu": rounded(made.gpu_joules, "J"),
            "how.servers": rounded(made.it_joules, "J"),
            "how.per_kwh": f"{digits(place.grams_per_kwh if asked.grams is None else asked.grams)} g",
            "how.on_site": f"{digits(operator.site_liters_per_kwh.mid)} L",
        }
        if place.liters_per_kwh is not None:
            texts["how.off_site"] = f"{digits(place.liters_per_kwh)} L"
        if profile is not None:
            texts |= _rooflined(made, profile)
        elif made.it_joules.mid > 0:
            texts["how.pue"] = digits(made.joules.mid / made.it_joules.mid)
    if made.evidence is not None:
        kind, scope = made.evidence.kind.capitalize(), SCOPES[made.evidence.scope]
        texts["how.basis"] = f"{kind} {scope} ({made.evidence.source})"
    said.lists["assumptions"] = made.assumptions
    said.lists["unknown"] = [
        f"{', '.join(NAMES.get(name, name) for name, each in made.reasons.items() if each == why)}: {why}"
        for why in dict.fromkeys(made.reasons.values())
    ]
    named = sources()
    said.lists["sources"] = [named[each].name for each in dict.fromkeys(made.sources) if each in named]


def _rooflined(made: Estimate, profile: Profile) -> dict[str, str]:
    """Say of which machine a roofline is, and how long it works."""
    point = profile.points[len(profile.points) // 2]
    usage, line = made.usage, point.roofline
    stages = point.stages(usage.input_tokens or 0, usage.cached_input_tokens or 0, usage.output_tokens or 0)
    like = "like " if len(profile.points) > 1 else ""
    machine = f"{like}{line.n_gpus} × {line.gpu.name}, {line.precision.name}, batch {digits(stages.batch)}"
    return {
        "how.basis": f"A roofline of {machine}, at work for {_prefixed(stages.gpu_seconds, 's')}",
        "how.pue": digits(profile.pue),
        "how.embodied": f"{digits(point.embodied_g_per_s)} g",
    }


def _configured(made: Estimate, asked: Asked, said: Words, own: Own | None) -> None:
    """Say what of the configuration is in the figures, and that a price is not the list's."""
    ours = own is not None and own.price_list is not None and own.price_list.name in made.sources
    if ours and own is not None and own.price_list is not None:
        said.texts["call.cost_usd.band"] = f"price of your own {made.price_id}"
        said.lists["sources"] = [*said.lists["sources"], f"{own.price_list.name}, prices of your own"]
    if made.evidence is not None:
        said.lists["sources"] = [made.evidence.source, *said.lists["sources"]]
    said.texts["own"] = "" if own is None else own.said(made, asked.model, asked.provider, asked.zone, priced=ours)
