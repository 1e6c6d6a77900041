"""The usage of many answers that one reply shows together: a batch's results, added up by model."""

from __future__ import annotations

from estimator.usage import Usage, UsageLine

MODELS = 64  # different models in one batch; what is beyond is one line without a model


class Sums:
    """Adds up usage by kind and model."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str | None], tuple[Usage, int]] = {}

    def add(self, kind: str, model: str | None, usage: Usage) -> None:
        """Take one answer's usage."""
        key = (kind, model)
        if key not in self._sums and len(self._sums) >= MODELS:
            key = (kind, None)
        before = self._sums.get(key)
        self._sums[key] = (usage, 1) if before is None else (total(before[0], usage), before[1] + 1)

    def lines(self) -> tuple[UsageLine, ...]:
        """Give one line for each kind and model."""
        return tuple(
            UsageLine(kind=kind, model=model, usage=usage, calls=calls)
            for (kind, model), (usage, calls) in self._sums.items()
        )


def total(one: Usage, other: Usage) -> Usage:
    """Give two usages as one; what neither states stays unknown."""
    counts: dict[str, int | None] = {}
    for name in Usage.__dataclass_fields__:
        if name != "units":
            stated = [count for count in (getattr(one, name), getattr(other, name)) if count is not None]
            counts[name] = sum(stated) if stated else None
    units = dict(one.units)
    for unit, amount in other.units.items():
        units[unit] = units.get(unit, 0) + amount
    return Usage(**counts, units=units)
