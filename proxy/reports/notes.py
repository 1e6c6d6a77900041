"""What is printed under a report: how much of the traffic its figures do not cover, and why."""

from __future__ import annotations

from proxy.ledger.read import Totals
from proxy.reports import figures
from proxy.reports.split import Split

_SHOWN = 5


def band(low: float | None) -> list[str]:
    """Say what the two ends of a sum are, where it has any."""
    if low is None:
        return []
    return [
        "low and high are the sum's own 90 % band: what errs alike for all calls of a model adds up, "
        "what errs call by call evens out"
    ]


def without(split: Split, unknown: str, lacking: str, figure: str) -> list[str]:
    """Say how many calls have tokens but lack the figure, ``unknown`` being the field that counts them."""
    number = getattr(split.total, unknown)
    if not number:
        return []
    models = [(int(getattr(each, unknown)), each.key[0] or "no model named") for each in split.models]
    ranked = sorted((each for each in models if each[0]), key=lambda each: (-each[0], each[1]))
    named = ", ".join(f"{model} ({calls:,})" for calls, model in ranked[:_SHOWN])
    more = f" and {len(ranked) - _SHOWN} more" if len(ranked) > _SHOWN else ""
    calls = "1 call" if number == 1 else f"{number:,} calls"
    return [f"{calls} of {split.total.calls:,} without {lacking}, so {figure} a lower bound: {named}{more}"]


def usage_sources(total: Totals) -> list[str]:
    """Say where the token counts came from."""
    sources = {
        "reported by the provider": total.reported_calls,
        "counted by the gate": total.counted_calls,
        "inferred": total.inferred_calls,
        "absent": total.absent_calls,
    }
    known = sum(sources.values())
    parts = [f"{figures.share(number, known)} {source}" for source, number in sources.items() if number]
    return [f"token counts: {', '.join(parts)}"] if parts else []


def nothing(split: Split) -> list[str]:
    """Say so, and what to do, when there are no calls at all."""
    if split.total.calls:
        return []
    first, last = split.period.ends()
    when = f"on {first}" if first == last else f"between {first} and {last}"
    return [f"no calls {when} ({split.period.zone.key}): choose another period with --from and --to, or --month"]
