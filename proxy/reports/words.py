"""What can be said of a report: apart from the reports themselves, whose imports take half a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What somebody says beside a report's name, as the options of ``joulegate report`` are written."""

    by: str | None = None
    where: Sequence[str] = ()
    allocate: Sequence[str] = ()
    assume: Sequence[str] = ()
    per_day: int | None = None
    grids: str | None = None
    from_calls: bool = False
