"""What every report is made of, and its three plain forms: a table for people, CSV and JSON for programs.

CSV and JSON carry every figure unrounded in its base unit (dollars as exact decimals, in JSON as
strings); the table scales a column to its largest figure and rounds an estimate to what its band allows. None is
unknown: empty in CSV, null in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

import msgspec
from rich.console import Console
from rich.text import Text

from proxy import aligned
from proxy.collecting import paused
from proxy.ledger.read import Where
from proxy.reports import figures
from proxy.reports.evidence import legend, sign
from proxy.reports.metering import Metering
from proxy.reports.period import Period
from proxy.reports.split import said

_LIKE_FORMULAS = tuple("=+-@\t\r")
_QUOTE = '"'
_TO_BE_QUOTED = re.compile(r'[,\r\n"]')
_LONGEST_NAME = 48  # characters of a name before it goes on in the next line

Cell = str | int | float | Decimal | None
Band = tuple[float | None, float | None, float | None]  # low, centre and high


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """``key`` names it for programs, ``title`` for people; ``unit`` is the base unit of a quantity."""

    key: str
    title: str
    kind: Literal["text", "time", "count", "dollars", "quantity", "share"]
    unit: str = ""
    summed: bool = True  # the total has it
    like: str = ""  # of an estimate: key of the quantity whose band says how many digits people see of it


@dataclass(frozen=True, kw_only=True)
class Report:
    """Lines and their total; notes and ``metering`` say what the figures leave out.

    ``cells`` has a sequence for each column, a cell of each line: so they are made, and so most forms write them.
    What only people read of thousands of lines, their digits and marks, is reckoned when it is asked for.
    """

    name: str
    title: str
    period: Period | None  # None: nothing of the ledger is in it
    by: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: Sequence[Sequence[Cell]]
    total: tuple[Cell, ...]  # a cell for each column; none, where lines have no sum
    where: Where = field(default_factory=dict)  # only the calls that have these values are in it
    rank: str | None = None  # key of the column that the report is about
    bands: Mapping[str, Sequence[Band]] = field(default_factory=dict)  # of the rows and the total, by `like`
    evidence: Callable[[], Sequence[Mapping[str, float]]] = field(default=tuple, compare=False)  # gives the shares
    notes: tuple[str, ...] = field(default=())
    metering: Metering | None = None

    @cached_property
    def rows(self) -> Sequence[tuple[Cell, ...]]:
        """The lines, a cell of each for each column."""
        return list(zip(*self.cells, strict=True))

    @cached_property
    def carried(self) -> Mapping[str, Sequence[int]]:
        """How many digits the estimates of each row and of the total carry, by `like`."""
        return {key: [figures.carried(*band) for band in bands] for key, bands in self.bands.items()}

    @cached_property
    def scales(self) -> Mapping[str, tuple[float, str]]:
        """How people read quantities, by their unit: what to divide by, and the unit with its prefix."""
        peaks: dict[str, float] = {}
        for position, column in enumerate(self.columns):
            if column.kind == "quantity":
                known = [abs(cell) for cell in _with_total(self, position) if isinstance(cell, int | float)]
                peaks[column.unit] = max([*known, peaks.get(column.unit, 0.0)])
        return {unit: figures.scale(peak, unit) for unit, peak in peaks.items()}

    @cached_property
    def shares(self) -> Sequence[Mapping[str, float]]:
        """Of each row's energy, the total's last, by tier of evidence; nothing where that was not read."""
        return self.evidence()


def bands_of(columns: Sequence[Column], figured: Mapping[str, Sequence[Any]]) -> dict[str, list[Band]]:
    """Give the bands that the digits of estimates hang on, by the key of the quantity that has them.

    ``figured`` are figures by their keys, one of each row.
    """
    likes = dict.fromkeys(column.like for column in columns if column.like)
    unknown = [None] * len(next(iter(figured.values()), ()))
    ends = {key: [figured.get(f"{key}{end}", unknown) for end in ("_low", "", "_high")] for key in likes}
    return {key: list(zip(*found, strict=True)) for key, found in ends.items()}


@paused()
def print_table(report: Report, console: Console) -> None:
    """Print title, table and notes, in lines of any length: wrapped ones are ugly, lost digits are wrong."""
    columns, drawn = [], []
    for position, column in enumerate(report.columns):
        title, cells = written(report, position)
        if report.shares and column.key == report.rank:
            cells = [f"{sign(shares)} {cell}".lstrip() for shares, cell in zip(report.shares, cells, strict=True)]
        if report.total and (position == 0 or column.kind == "text"):
            cells[-1] = "" if position else "total"
        columns.append(aligned.Column(title=title, right=column.kind != "text", widest=_LONGEST_NAME))
        drawn.append(cells)
    lines = list(zip(*drawn, strict=True))
    rows, total = (lines[:-1], lines[-1:]) if report.total else (lines, [])
    covered = Text(aligned.plain(covers(report)))
    console.print(Text(report.title, style="bold"), "\n", covered, "\n", sep="", soft_wrap=True)
    if rows:
        aligned.print_aligned(console, columns, rows, total if report.by else ())
        if report.shares:
            console.print(Text(legend()), "\n", sep="", soft_wrap=True)
    for note in report.notes:
        console.print(Text(f"* {note}"), soft_wrap=True)


def covers(report: Report) -> str:
    """Say in a line which calls a report is about."""
    return ", ".join(filter(None, (report.period.title() if report.period else "assumed", said(report.where))))


def period_of(report: Report) -> dict[str, str | None]:
    """Give a report's period as programs read it, half-open."""
    period = report.period
    if period is None:
        return {"from": None, "to": None, "tz": None}
    return {"from": period.start.isoformat(), "to": period.end.isoformat(), "tz": period.zone.key}


@paused()
def as_csv(report: Report) -> str:
    """Write rows as RFC 4180 CSV with a header; the total is left to the reader's program.

    What Python's own module reads back, in a third of the time that it takes to write it: that looks at each character.
    """
    named = [(column.kind, id(cells)) for column, cells in zip(report.columns, report.cells, strict=True)]
    distinct = dict(zip(named, report.cells, strict=True))  # FOCUS shows some of its cells in four columns
    made = {name: _for_programs(name[0], cells) for name, cells in distinct.items()}
    lines = zip(*(made[name] for name in named), strict=True)
    keys = [_quoted(column.key) for column in report.columns]
    return "\r\n".join([*map(",".join, [keys, *lines]), ""])


def _for_programs(kind: str, cells: Sequence[Cell]) -> Sequence[str]:
    """Write a column's cells as CSV has them; each text and each amount is looked at once."""
    match kind:
        case "text" | "time":
            written = {cell: "" if cell is None else _quoted(str(_harmless(cell))) for cell in set(cells)}
        case "dollars":
            written = {cell: "" if cell is None else str(_exact(cell)) for cell in set(cells)}
        case _:  # numbers as JSON has them, which are the same to the last digit
            return msgspec.json.encode(cells).decode()[1:-1].replace("null", "").split(",") if cells else []
    return [written[cell] for cell in cells]


def _quoted(text: str) -> str:
    return f'"{text.replace(_QUOTE, _QUOTE * 2)}"' if _TO_BE_QUOTED.search(text) else text


def as_json(report: Report) -> bytes:
    """Write rows, total, period and notes as one JSON object."""
    keys = [column.key for column in report.columns]
    aggregated = [i for i, column in enumerate(report.columns) if column.kind != "text" and column.summed]
    document: dict[str, object] = {
        "report": report.name,
        **period_of(report),
        "by": report.by,
        "where": report.where,
        "units": {column.key: column.unit for column in report.columns if column.unit},
        "rows": [dict(zip(keys, map(_exact, row), strict=True)) for row in report.rows],
        "total": {keys[i]: _exact(report.total[i]) for i in aggregated} if report.total else None,
        "notes": report.notes,
    }
    if report.metering is not None:
        document["metering"] = report.metering
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def written(report: Report, position: int) -> tuple[str, list[str]]:
    """Write a column's title and cells for people, the total last; columns of one unit share a scale."""
    column = report.columns[position]
    cells = _with_total(report, position)
    match column.kind:
        case "text" | "time":
            return column.title, ["–" if cell is None else str(cell) for cell in cells]
        case "count":
            return column.title, [figures.count(cell) if isinstance(cell, int) else figures.UNKNOWN for cell in cells]
        case "dollars":
            added = [place for place, each in enumerate(report.columns) if each.kind == "dollars" and each.summed]
            beside = [_with_total(report, place) for place in added] if column.summed else [cells]  # one sum to read
            peak = max((abs(cell) for each in beside for cell in each if isinstance(cell, Decimal)), default=Decimal(0))
            return column.title, [
                figures.dollars(cell, peak) if isinstance(cell, Decimal) else figures.UNKNOWN for cell in cells
            ]
        case "share":
            return column.title, [figures.percent(cell) if isinstance(cell, float) else "–" for cell in cells]
        case "quantity":
            size, unit = report.scales[column.unit]
            return f"{column.title} [{unit}]", [
                figures.digits(cell / size, significant) if isinstance(cell, int | float) else figures.UNKNOWN
                for cell, significant in zip(cells, significant_of(report, column), strict=True)
            ]


def significant_of(report: Report, column: Column) -> Sequence[int]:
    """Say how many digits each of a column's cells has for people, the total's last."""
    if column.like:
        return report.carried[column.like]
    return (figures.MOST_DIGITS,) * (len(report.cells[0]) + bool(report.total))


def _with_total(report: Report, position: int) -> Sequence[Cell]:
    return [*report.cells[position], *report.total[position : position + 1]]


def _harmless(cell: Cell) -> Cell:
    """Keep a spreadsheet from running a text that starts like a formula: clients choose users' and projects' names."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_LIKE_FORMULAS) else cell


def _exact(cell: Cell) -> Cell:
    """Write a decimal with all its digits and no exponent."""
    return f"{cell.normalize():f}" if isinstance(cell, Decimal) else cell
