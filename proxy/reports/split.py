"""What a report is made from: the ledger's sums over a period, split by the dimensions asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from proxy.errors import RowsGoneError
from proxy.ledger.read import DIMENSIONS, Totals, splits
from proxy.reports.period import Period, QuestionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """``groups`` are split by ``by``; ``models`` are the same calls by model, for the notes; ``parts`` by more."""

    by: tuple[str, ...]
    period: Period
    groups: Sequence[Totals]
    total: Totals
    models: Sequence[Totals]
    part_names: tuple[str, ...] = ()  # what the parts are split by: ``by``, and then what else was asked for
    parts: Sequence[Totals] = ()
    _by_group: dict[tuple[str | None, ...], list[Totals]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Sort the parts to their groups."""
        for part in self.parts:
            self._by_group.setdefault(part.key[: len(self.by)], []).append(part)

    def parts_of(self, group: Totals) -> Sequence[Totals]:
        """Give the parts of one of the groups, or of the total."""
        return self.parts if not group.key else self._by_group.get(group.key, ())


def dimensions(text: str) -> tuple[str, ...]:
    """Read ``team,model``; raises QuestionError that lists what there is."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in DIMENSIONS:
            raise QuestionError(f"cannot split by {name!r}: choose from {', '.join(DIMENSIONS)}")
    if len(set(names)) != len(names):
        raise QuestionError(f"{text!r} names a dimension twice")
    return names


def split(connection: Connection, by: tuple[str, ...], period: Period, within: tuple[str, ...] = ()) -> Split:
    """Ask the ledger, in one reading of it; raises QuestionError where it does not keep so much of those calls.

    ``within``: what the parts of the groups are split by as well; without it there are no parts.
    """
    finer = (*by, *(name for name in within if name not in by))
    asked = (by, (), ("model",), *((finer,) if within else ()))
    try:
        groups, (total,), models, *parts = splits(
            connection, asked, start=period.start, end=period.end, zone=period.zone
        )
    except RowsGoneError as error:
        raise QuestionError(str(error)) from error
    return Split(
        by=by,
        period=period,
        groups=groups,
        total=total,
        models=models,
        part_names=finer,
        parts=parts[0] if parts else (),
    )
