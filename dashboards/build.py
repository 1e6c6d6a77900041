"""Writes the dashboards; run it after changing a panel: ``python -m dashboards.build``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from dashboards.cost import cost
from dashboards.energy import energy
from dashboards.health import health
from dashboards.month import month
from dashboards.overview import overview
from dashboards.sdk import JSONEncoder, model
from dashboards.team import team

FOLDER = Path(__file__).parent / "grafana"
BOARDS: tuple[Callable[[], model.Dashboard], ...] = (overview, energy, cost, team, month, health)


def rendered() -> dict[Path, str]:
    """Give each dashboard's JSON as it stands in the repository, by its file."""
    encoder = JSONEncoder(sort_keys=True, indent=2)
    boards = [board() for board in BOARDS]
    return {FOLDER / f"{board.uid}.json": encoder.encode(board) + "\n" for board in boards}


def main() -> int:
    """Write the dashboards."""
    for path, text in rendered().items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
