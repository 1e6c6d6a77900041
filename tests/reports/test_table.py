from __future__ import annotations

import csv
import io
import random
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
from rich.console import Console

from proxy.reports import table
from proxy.reports.period import Period, zone_named
from proxy.reports.table import Column, Report

PERIOD = Period(start=datetime(2026, 11, 1, tzinfo=UTC), end=datetime(2026, 12, 1, tzinfo=UTC), zone=zone_named("UTC"))
COLUMNS = (
    Column(key="team", title="team", kind="text"),
    Column(key="calls", title="calls", kind="count"),
    Column(key="joules_low", title="low", kind="quantity", unit="J"),
    Column(key="joules", title="energy", kind="quantity", unit="J"),
    Column(key="cost_usd", title="dollars", kind="dollars", unit="USD"),
)


def report_of(columns, rows, total=(), notes=()) -> Report:
    by, cells = (columns[0].key,), list(zip(*rows, strict=True))
    return Report(
        name="cost", title="Title", period=PERIOD, by=by, columns=columns, cells=cells, total=total, notes=notes
    )


def made(*rows, total=(None, 3, 1.0, 2000.0, Decimal("1E-7")), notes=()) -> Report:
    return report_of(COLUMNS, rows, total, notes)


def printed(report: Report, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    table.print_table(report, console)
    return console.file.getvalue()


def test_columns_of_one_unit_share_one_scale():
    text = printed(made(("search", 3, 1.0, 2000.0, Decimal("1E-7"))))
    head, row, total = text.splitlines()[3:6]
    assert head.split() == ["team", "calls", "low", "[kJ]", "energy", "[kJ]", "dollars"]
    assert row.split() == ["search", "3", "0.00100", "2.00", "<$0.000001"]
    assert total.split() == ["total", "3", "0.00100", "2.00", "<$0.000001"]


def test_a_share_is_written_in_per_cent_and_is_exact_for_programs():
    columns = (Column(key="team", title="team", kind="text"), Column(key="share", title="share", kind="share"))
    rows = (("a", 0.754), ("b", 0.0004), ("c", None))
    report = report_of(columns, rows, total=(None, 1.0))
    assert [line.split()[-2:] for line in printed(report).splitlines()[4:6]] == [["75", "%"], ["<1", "%"]]
    assert printed(report).splitlines()[6].split() == ["c", "–"]
    assert table.as_csv(report).splitlines()[1:] == ["a,0.754", "b,0.0004", "c,"]


def test_dollars_that_add_up_are_written_to_one_place_and_others_each_to_its_own():
    columns = (
        Column(key="team", title="team", kind="text"),
        *(Column(key=key, title=key, kind="dollars") for key in ("own", "allocated")),
        Column(key="mean", title="mean", kind="dollars", summed=False),
    )
    rows = [("a", Decimal("1234.5"), Decimal("-0.25"), Decimal("0.0012346"))]
    line = printed(report_of(columns, rows)).splitlines()[4]
    assert line.split() == ["a", "$1,234.50", "-$0.25", "$0.001235"]


def test_unknown_is_written_out():
    text = printed(made((None, 0, None, None, None)))
    assert text.splitlines()[4].split() == ["–", "0", "unknown", "unknown", "unknown"]


def test_names_are_taken_literally():
    text = printed(made(("[red]x[/red]\x1b[2J\n", 1, 1.0, 1.0, None)))
    assert "[red]x[/red]\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}" in text
    assert "\x1b" not in text


def test_a_narrow_terminal_loses_no_digit():
    report = made(("a-team-with-a-long-name", 123456789, 1.0, 2000.0, Decimal("12345.67")), notes=("n" * 200,))
    assert printed(report, width=20).splitlines()[4:] == printed(report, width=200).splitlines()[4:]
    assert "123,456,789" in printed(report, width=20)


def test_a_long_name_goes_on_in_the_next_line():
    name = "x" * 100
    lines = printed(made((name, 1, 1.0, 1.0, None))).splitlines()[4:7]
    assert "".join(line.split()[0] for line in lines) == name


def test_csv_is_exact_and_opens_safely_in_a_spreadsheet():
    rows = [("=1+1", 1, None, 0.1, Decimal("1.23E-7")), ('a,"b"\n', 2, -1.0, 2e-05, Decimal("5.00"))]
    read = list(csv.DictReader(io.StringIO(table.as_csv(made(*rows)), newline="")))
    assert read[0] == {"team": "'=1+1", "calls": "1", "joules_low": "", "joules": "0.1", "cost_usd": "0.000000123"}
    assert read[1] == {"team": 'a,"b"\n', "calls": "2", "joules_low": "-1.0", "joules": "0.00002", "cost_usd": "5"}


def test_json_is_exact_and_complete():
    document = msgspec.json.decode(table.as_json(made(("s", 1, None, 0.1, Decimal("1.23E-7")), notes=("n",))))
    assert document == {
        "report": "cost",
        "from": "2026-11-01T00:00:00+00:00",
        "to": "2026-12-01T00:00:00+00:00",
        "tz": "UTC",
        "by": ["team"],
        "where": {},
        "units": {"joules_low": "J", "joules": "J", "cost_usd": "USD"},
        "rows": [{"team": "s", "calls": 1, "joules_low": None, "joules": 0.1, "cost_usd": "0.000000123"}],
        "total": {"calls": 3, "joules_low": 1.0, "joules": 2000.0, "cost_usd": "0.0000001"},
        "notes": ["n"],
    }


def test_csv_is_read_back_to_the_last_digit_by_the_module_of_that_name():
    draw = random.Random(3)
    numbers = [
        0.0,
        -0.0,
        1e-4,
        9.9e-5,
        1e16,
        9_999_999_999_999_998.0,
        5e-324,
        1.7e308,
        -1e-7,
        1.0000000001,
        12345.0,
        0.1 + 0.2,
    ]
    numbers += [draw.random() * 10 ** draw.randrange(-12, 22) for _ in range(500)]
    texts = ["plain", "with, comma", 'with "quotes"', "two\nlines", "carriage\rreturn", " blank ", "", None, "ünï"]
    columns = (
        Column(key="name", title="name", kind="text"),
        Column(key="n", title="n", kind="count"),
        *(Column(key=f"x{power}", title="x", kind="quantity") for power in ("all", "common", "some")),
    )
    rows = tuple(
        (
            draw.choice(texts),
            draw.choice([None, draw.randrange(10**15)]),
            number,
            draw.uniform(1, 1e6),
            draw.choice([None, number]),
        )
        for number in numbers
    )
    report = report_of(columns, rows)
    header, *lines = csv.reader(io.StringIO(table.as_csv(report), newline=""))
    assert header == [column.key for column in columns]
    for line, (name, *figures) in zip(lines, rows, strict=True):
        assert line[0] == (name or "")
        assert [None if cell == "" else float(cell) for cell in line[1:]] == figures
    plain = [row for row in rows if all(cell is None or 1e-4 < cell < 1e15 for cell in row[1:])]
    assert len(plain) > 100
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([header, *plain])
    assert table.as_csv(report_of(columns, plain)) == out.getvalue()  # as a rule it is also what it writes


def test_a_report_without_lines_is_a_header_in_csv():
    empty = replace(made(), cells=[()] * len(COLUMNS))
    assert table.as_csv(empty) == "team,calls,joules_low,joules,cost_usd\r\n"
    assert empty.rows == []
