"""How well the calls of a report were metered: said beside its figures, so that none looks better than it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proxy.reports.split import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Metering:
    """Counts of calls; the models are those of the calls with tokens, and None is a call that names no model."""

    calls: int
    usage_sources: Mapping[str, int]  # of calls that reached a provider, by where their token counts came from
    unpriced_calls: int
    energy_unknown_calls: int
    carbon_unknown_calls: int
    water_unknown_calls: int
    unpriced_models: tuple[str | None, ...]
    unknown_models: tuple[str | None, ...]  # without an estimate of energy
    service: str | None  # what the gate says of its ledger; None where none was asked or answered


def metering_of(split: Split, service: str | None = None) -> Metering:
    """Count what the figures of a split rest on; ``service`` is what a running gate said of itself."""
    total = split.total
    return Metering(
        calls=total.calls,
        usage_sources={
            "reported": total.reported_calls,
            "counted": total.counted_calls,
            "inferred": total.inferred_calls,
            "absent": total.absent_calls,
        },
        unpriced_calls=total.unpriced_calls,
        energy_unknown_calls=total.energy_unknown_calls,
        carbon_unknown_calls=total.carbon_unknown_calls,
        water_unknown_calls=total.water_unknown_calls,
        unpriced_models=_in_order(each.key[0] for each in split.models if each.unpriced_calls),
        unknown_models=_in_order(each.key[0] for each in split.models if each.energy_unknown_calls),
        service=service,
    )


def _in_order(names: Iterable[str | None]) -> tuple[str | None, ...]:
    """Put names in one order, each once, whatever order the database gave them in."""
    return tuple(sorted(set(names), key=lambda name: name or ""))
