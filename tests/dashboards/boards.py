"""The dashboards and rules as they lie in the repository, taken apart."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dashboards import build

ROOT = build.FOLDER.parent
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(build.FOLDER.glob("*.json"))
}
RULES = yaml.safe_load((ROOT / "prometheus" / "joulegate.rules.yml").read_text())
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
RECORDS = {rule["record"]: rule["expr"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule}
LEDGER = {"type": "grafana-postgresql-datasource", "uid": "${ledger}"}
PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One query of a panel: PromQL in ``expr``, or SQL in ``sql``."""

    board: str
    panel: dict[str, Any]
    expr: str = ""
    sql: str = ""
    series: bool  # over time, not of one moment

    @property
    def where(self) -> str:
        return f"{self.board}: {self.panel['title']}"


def panels(board: str) -> list[dict[str, Any]]:
    """What is on a dashboard beside the headings of rows."""
    return [panel for panel in BOARDS[board]["panels"] if panel["type"] != "row"]


def variables(board: str) -> list[dict[str, Any]]:
    """The variables of a dashboard that are asked of a data source."""
    return [each for each in BOARDS[board]["templating"]["list"] if each["type"] == "query"]


ASKED = [
    Asked(
        board=board,
        panel=panel,
        expr=target.get("expr", ""),
        sql=target.get("rawSql", ""),
        series=target.get("range", False) or target.get("format") == "time_series",
    )
    for board in BOARDS
    for panel in panels(board)
    for target in panel["targets"]
]


def names(expr: str) -> set[str]:
    """The series that an expression names: ours, and those that rules record."""
    return set(re.findall(r"(?:\w+:)?joulegate_\w+(?::\w+)?", expr))


def folder(name: str) -> Path:
    """A folder of what the containers are given."""
    return ROOT / name
