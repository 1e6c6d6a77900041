"""What Grafana does to a query before it sends it, as far as the dashboards use it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

# Everything chosen, and short windows for a scrape every second.
CHOSEN = {"team": ".*", "provider": ".*", "model": ".*", "__rate_interval": "10s", "__range": "30s"}


def promql(expr: str, **chosen: str) -> str:
    """Put values in the place of variables, named as ``$team``."""
    values = {**CHOSEN, **chosen}
    filled = re.sub(r"\$(\w+)", lambda found: values[found[1]], expr)
    assert "$" not in filled
    return filled


def sql(statement: str, start: datetime, end: datetime, chosen: Mapping[str, Sequence[str]]) -> str:
    """Put the ends of the time range and the values chosen in the place of macros and variables."""

    def quoted(found: re.Match[str]) -> str:
        return ",".join("'" + value.replace("'", "''") + "'" for value in chosen[found[1]])

    filled = re.sub(r"\$\{(\w+):sqlstring\}", quoted, statement)
    # Grafana's time range ends with its last millisecond; the macros cut to seconds.
    for macro, moment in (("From", start), ("To", end)):
        filled = filled.replace(f"$__unixEpoch{macro}()", str(int(moment.timestamp())))
    assert "$" not in re.sub(r"'[^']*'", "", filled)
    return filled


def label_values(query: str) -> tuple[str, str]:
    """Take a variable's query apart: of which series, and which label."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
    assert found, query
    return found[1], found[2]
