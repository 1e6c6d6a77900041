from __future__ import annotations

import io
import random

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxy.aligned import Column, print_aligned

COLUMNS = (
    Column(title="team", widest=48),
    Column(title="calls", right=True),
    Column(title="energy [kJ]", right=True, widest=48),
    Column(title="because"),
)
ALPHABET = ("a", "search", "-", ".", " ", "東京", "é", "🌊", "1,234", "[bold]x[/bold]", "●")


def drawn(columns, rows, foot=(), *, within=None, **console) -> str:
    out = io.StringIO()
    print_aligned(Console(file=out, width=80, **console), columns, rows, foot, within=within)
    return out.getvalue()


def drawn_by_rich(columns, rows, foot) -> str:
    """Draw the same with rich's own table, which measures every cell again and again: the picture to hold ours to."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, *cells in zip(columns, *rows, *foot, strict=True):
        natural = max(map(cell_len, (column.title, *cells)))
        table.add_column(
            Text(column.title),
            justify="right" if column.right else "left",
            min_width=min(natural, column.widest or natural),
            max_width=column.widest,
            overflow="fold",
        )
    for row in (*rows, *foot):
        table.add_row(*map(Text, row))
    out = io.StringIO()
    Console(file=out, width=10_000).print(table)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


@pytest.mark.parametrize("seed", range(60))
def test_a_table_looks_as_rich_draws_it(seed):
    draw = random.Random(seed)

    def cell() -> str:
        return "".join(draw.choices(ALPHABET, k=draw.choice((0, 1, 3, 40)))).strip()

    rows = [[cell() for _ in COLUMNS] for _ in range(draw.randrange(6))]
    foot = [[cell() for _ in COLUMNS] for _ in range(draw.randrange(3))]
    assert drawn(COLUMNS, rows, foot) == drawn_by_rich(COLUMNS, rows, foot)


def test_columns_stand_under_their_titles():
    rows = [("search", "12", "0.5", "x"), ("a", "1,234", "12", "")]
    assert drawn(COLUMNS, rows, [("total", "1,246", "12.5", "")]).splitlines() == [
        "team    calls  energy [kJ]  because",
        "search     12          0.5  x",
        "a       1,234           12",
        "total   1,246         12.5",
    ]


def test_titles_and_sums_are_bold_in_a_terminal_and_nothing_is_elsewhere():
    rows, foot = [("search", "1", "2", "")], [("total", "1", "2", "")]
    head, row, total = drawn(COLUMNS, rows, foot, force_terminal=True, color_system="truecolor").splitlines()
    assert (head[:4], row[:6], total[:4]) == ("\x1b[1m", "search", "\x1b[1m")
    assert head.endswith("\x1b[0m")
    assert total.endswith("\x1b[0m")
    assert "\x1b" not in drawn(COLUMNS, rows, foot)


def test_what_a_terminal_would_obey_is_shown_and_not_sent():
    text = drawn(COLUMNS, [("[red]x[/red]\x1b[2J\n", "1", "\t", "\u202e")])
    assert text.splitlines()[1].split() == ["[red]x[/red]�[2J�", "1", "�", "�"]
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize("within", [30, 40, 52, 80])
def test_a_narrow_terminal_shows_all_of_every_cell(within):
    columns = (Column(title="key", whole=True), *(Column(title=title) for title in ("of", "who")))
    rows = [("search-prod", "x" * 30, "y" * 61), ("k", "short", "東京" * 12)]
    text = drawn(columns, rows, within=within)
    assert all(cell_len(line) <= within for line in text.splitlines())
    for each in ("x" * 30, "y" * 61, "東京" * 12):
        assert sum(text.count(letter) for letter in set(each)) == len(each) + (each[0] in "xy") * ("key".count(each[0]))


def test_who_is_to_stay_whole_gives_way_last():
    columns = (Column(title="key", whole=True), Column(title="of"))
    assert drawn(columns, [("k" * 20, "a" * 20)], within=40).splitlines()[1:] == [
        f"{'k' * 20}  {'a' * 18}",
        f"{'':22}aa",
    ]
    assert drawn(columns, [("k" * 20, "a" * 20)], within=20).splitlines()[1:] == [
        f"{'k' * 10}  {'a' * 8}",
        f"{'k' * 10}  {'a' * 8}",
        f"{'':12}aaaa",
    ]


def test_less_room_than_there_can_be_leaves_lines_longer_than_it():
    assert drawn([Column(title="of"), Column(title="who")], [("a" * 9, "b" * 9)], within=4).splitlines()[1:] == [
        "aaaaaaaa  bbbbbbbb",
        "a         b",
    ]


def test_a_table_without_rows_has_its_titles():
    assert drawn(COLUMNS, []) == "team  calls  energy [kJ]  because\n"
