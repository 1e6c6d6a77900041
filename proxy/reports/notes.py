"""What is printed under a report: how much of the traffic its figures do not cover, and why."""

from __future__ import annotations

from proxy.ledger.read import Totals
from proxy.reports import figures
from proxy.reports.evidence import said as resting_on
from proxy.reports.prices import said as by_list
from proxy.reports.split import Split, said

_SHOWN = 5


def band(low: float | None) -> list[str]:
    """Say what the two ends of a sum are, where it has any."""
    if low is None:
        return []
    return [
        "low and high are the sum's own 90 % band: what errs alike for all calls of a model adds up, "
        "what errs call by call evens out"
    ]


def evidence(split: Split) -> list[str]:
    """Say what the estimates rest on, where that was asked of the ledger."""
    return [f"evidence, by energy: {resting_on(split.evidence)}"] if split.evidence else []


def prices(split: Split) -> list[str]:
    """Say whose prices the dollars are, where that was asked of the ledger."""
    if not split.prices:
        return []
    return [
        f"prices, by dollars: {by_list(split.prices)}; each call at the price of its day, without discounts, credits "
        "and taxes other than those in a list of your own"
    ]


def without(split: Split, unknown: str, lacking: str, so: str) -> list[str]:
    """Say how many calls have tokens but lack the figure, ``unknown`` being the field that counts them."""
    told = _lacking(split, unknown, lacking)
    return [f"{told[0]}, so {so}: {told[1]}"] if told else []


def health(split: Split, told: str, service: str | None) -> list[str]:
    """Say how well the calls were metered; ``told`` is the field that :func:`without` has told of already."""
    asked = [("unpriced_calls", "a price")]
    if told in ("unpriced_calls", ""):
        asked = [*(asked if told == "" else []), ("energy_unknown_calls", "an energy estimate")]
    found = [_lacking(split, unknown, lacking) for unknown, lacking in asked]
    return [
        *(f"{calls}: {models}" for calls, models in filter(None, found)),
        *token_counts(split.total),
        *([] if service is None else [f"ledger: {service}"]),
    ]


def _lacking(split: Split, unknown: str, lacking: str) -> tuple[str, str] | None:
    """Say how many calls lack something, and of which models."""
    number = getattr(split.total, unknown)
    if not number:
        return None
    models = [(int(getattr(each, unknown)), each.key[0] or "no model named") for each in split.models]
    ranked = sorted((each for each in models if each[0]), key=lambda each: (-each[0], each[1]))
    named = ", ".join(f"{model} ({calls:,})" for calls, model in ranked[:_SHOWN])
    more = f" and {len(ranked) - _SHOWN} more" if len(ranked) > _SHOWN else ""
    return f"{_calls(number)} of {split.total.calls:,} without {lacking}", f"{named}{more}"


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number:,} calls"


def token_counts(total: Totals) -> list[str]:
    """Say where the token counts came from, and of how many calls there are none."""
    sources = {
        "reported by the provider": total.reported_calls,
        "counted by the gate": total.counted_calls,
        "inferred": total.inferred_calls,
        "absent": total.absent_calls,
    }
    known = sum(sources.values())
    parts = [f"{figures.share(number, known)} {source}" for source, number in sources.items() if number]
    absent = _calls(total.absent_calls)
    out = f" ({absent}, such as refused ones: their tokens are in no sum)" if total.absent_calls else ""
    return [f"token counts: {', '.join(parts)}{out}"] if parts else []


def nothing(split: Split) -> list[str]:
    """Say so, and what to do, when there are no calls at all."""
    if split.total.calls:
        return []
    first, last = split.period.ends()
    when = f"on {first}" if first == last else f"between {first} and {last}"
    which, more = (f"calls with {only}", ", or leave out --where") if (only := said(split.where)) else ("calls", "")
    return [
        f"no {which} {when} ({split.period.zone.key}): choose another period with --from and --to, or --month{more}"
    ]
