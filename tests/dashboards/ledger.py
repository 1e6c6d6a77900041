"""The ledger as the dashboards read it, and the reports to hold it against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from proxy.ledger.engine import open_engine
from proxy.reports.carbon import CARBON
from proxy.reports.cost import COST
from proxy.reports.energy import ENERGY
from proxy.reports.kind import lay_out
from proxy.reports.period import Period, month_of
from proxy.reports.split import dimensions, split
from proxy.reports.table import Report
from proxy.reports.water import WATER
from tests.dashboards import grafana
from tests.dashboards.boards import panels, variables

NOVEMBER = month_of("2026-11", ZoneInfo("UTC"))
MONTH = "joulegate-month"
KINDS = {kind.name: kind for kind in (COST, ENERGY, CARBON, WATER)}


@dataclass
class Ledger:
    """A ledger on PostgreSQL, and a connection to it as Grafana has one."""

    url: str
    reading: psycopg.Connection[dict[str, Any]]

    def values(self) -> dict[str, list[str]]:
        """Everything that can be chosen, as the variables' queries say."""
        return {each["name"]: self.column(each["query"]) for each in variables(MONTH)}

    def column(self, statement: str) -> list[Any]:
        return [next(iter(row.values())) for row in self.reading.execute(statement)]

    def rows(
        self, statement: str, period: Period = NOVEMBER, chosen: dict[str, list[str]] | None = None
    ) -> list[dict[str, Any]]:
        last = period.end - timedelta(milliseconds=1)
        filled = grafana.sql(statement, period.start, last, self.values() | (chosen or {}))
        return self.reading.execute(filled).fetchall()

    def report(self, name: str, by: str, period: Period = NOVEMBER) -> Report:
        engine = open_engine(self.url)
        try:
            with engine.connect() as connection:
                return lay_out(KINDS[name], split(connection, dimensions(by), period))
        finally:
            engine.dispose()


def of(title: str, board: str = MONTH) -> str:
    """The SQL of a panel."""
    (panel,) = [each for each in panels(board) if each["title"] == title]
    (target,) = panel["targets"]
    return str(target["rawSql"])


def named(report: Report) -> list[dict[str, Any]]:
    """The rows of a report as SQL has them."""
    keys = [column.key for column in report.columns]
    nameless = dict.fromkeys(report.by, "–")
    return [
        {key: nameless[key] if cell is None and key in nameless else cell for key, cell in zip(keys, row, strict=True)}
        for row in report.rows
    ]


def alike(found: Any, expected: Any) -> bool:
    """Whole numbers and dollars to the digit, the rest as far as sums of floats go."""
    if isinstance(expected, float):
        return bool(found == pytest.approx(expected, rel=1e-12))
    return bool(found == expected)


def check(found: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]], by: Sequence[str]) -> None:
    """Compare every column that both have; a group without a single figure may be missing of an SQL with bands."""
    there = {tuple(row[name] for name in by): row for row in found}
    wanted = {tuple(row[name] for name in by): row for row in expected}
    assert there.keys() <= wanted.keys()
    for key, row in wanted.items():
        mine = there.get(key, {})
        shared = (mine.keys() & row.keys()) if mine else row.keys() & {"joules", "grams_co2e"}
        assert len(shared) > len(by) or not mine
        wrong = {name: (mine.get(name), row[name]) for name in shared if not alike(mine.get(name), row[name])}
        assert wrong == {}, key
