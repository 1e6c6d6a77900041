"""The grid's intensity in one hour, as somebody outside states it; the library itself asks nobody."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Boundary = Literal["life_cycle", "direct"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """Mean grams of CO2e per kWh of a zone from ``start`` to ``end``.

    ``life_cycle`` has fuel supply and building of the plants in it and compares with the shipped annual figures;
    ``direct`` is what leaves the stacks. The two never go into one sum.
    """

    zone: str
    grams_per_kwh: float
    boundary: Boundary
    start: datetime
    end: datetime
    source: str
    estimated: bool = False  # modelled or forecast, not settled

    @property
    def sentence(self) -> str:
        """What an estimate says of it among its assumptions."""
        boundary = "life cycle" if self.boundary == "life_cycle" else "direct emissions alone"
        return (
            f"grid at {self.grams_per_kwh:g} g/kWh from {self.start:%Y-%m-%dT%H:%M} UTC ({self.source},"
            f" {boundary}{', estimated there' if self.estimated else ''})"
        )
