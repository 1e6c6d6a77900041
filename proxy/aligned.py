"""Tables for people in a terminal: aligned columns of plain text, however many lines they have.

The width of each column is known from one pass over its cells, so that a table of thousands of lines is drawn as fast
as it is read. Clients choose some of the names in it: what a terminal would take for a command is replaced. What grows
with the ledger is drawn here; tables of a few lines that are always the same few, with boxes and colours, are rich's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len as width_of_any
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style
from rich.text import Text

_GAP = "  "
_LEAST = 8  # characters that are left of a column that gives way
_BOLD = Style(bold=True)


def cell_len(text: str) -> int:
    """Give how wide a text is: most are of letters that are one wide each."""
    return len(text) if text.isascii() else width_of_any(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column's title and how its cells stand: figures to the right, and what is long within ``widest`` characters."""

    title: str
    right: bool = False
    widest: int | None = None
    whole: bool = False  # gives way as the last where there is no room


def print_aligned(
    console: Console,
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    foot: Sequence[Sequence[str]] = (),
    *,
    within: int | None = None,
) -> None:
    """Print titles, rows and, as bold as the titles, what sums them up; a cell that is too long goes on below.

    ``within`` is how many characters a line has room for: columns then give way, the widest first. Without it lines are
    as long as they are.
    """
    table = [[column.title for column in columns], *rows, *foot]
    by_column = list(zip(*table, strict=True))
    texts = [{cell: plain(cell) for cell in set(cells)} for cells in by_column]  # each is looked at once
    widths = [
        min(natural := max(map(cell_len, its.values())), column.widest or natural)
        for column, its in zip(columns, texts, strict=True)
    ]
    if within is not None:
        room = within - len(_GAP) * (len(columns) - 1)
        widths = _given_way(widths, [not column.whole for column in columns], room)
        widths = _given_way(widths, [True] * len(columns), room)
    drawn = [
        _drawn(console, its, width, right=column.right)
        for column, its, width in zip(columns, texts, widths, strict=True)
    ]
    placed = [map(its.__getitem__, cells) for its, cells in zip(drawn, by_column, strict=True)]
    lines = [_joined(cells, widths) for cells in zip(*placed, strict=True)]
    end = len(lines) - len(foot)
    parts = (*_bold(lines[0]), Segment("".join(lines[1:end])), *_bold("".join(lines[end:])))
    console.print(Segments(parts), soft_wrap=True)


def plain(text: str) -> str:
    """Take text literally: no character of it is one that a terminal obeys."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _bold(lines: str) -> Iterator[Segment]:
    for line in lines.splitlines():
        yield Segment(line, _BOLD)
        yield Segment.line()


def _given_way(widths: Sequence[int], may: Sequence[bool], room: int) -> list[int]:
    """Make the widest of those that may narrower, until all have room or none can give more."""
    now = list(widths)
    while (lacking := sum(now) - room) > 0:
        giving = {place for place, width in enumerate(now) if may[place] and width > _LEAST}
        if not giving:
            break
        most = max(now[place] for place in giving)
        widest = [place for place in giving if now[place] == most]
        following = max([_LEAST, *(now[place] for place in giving if now[place] < most)])
        each, rest = divmod(lacking, len(widest))
        for number, place in enumerate(sorted(widest)):
            now[place] = max(following, most - each - (number < rest))
    return now


def _drawn(console: Console, texts: Mapping[str, str], width: int, *, right: bool) -> dict[str, str]:
    """Fill cells, given with their texts, up to a width; the lines of one that is too long stand below each other."""

    def filled(line: str) -> str:
        blank = " " * (width - cell_len(line))
        return blank + line if right else line + blank

    def folded(cell: str) -> str:
        return "\n".join(filled(line.plain.rstrip()) for line in Text(cell).wrap(console, width, overflow="fold"))

    return {cell: filled(text) if cell_len(text) <= width else folded(text) for cell, text in texts.items()}


def _joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Put the cells of a row side by side, as one line or as many as its longest cell has."""
    line = _GAP.join(cells)
    if "\n" not in line:
        return f"{line.rstrip()}\n"
    below = zip_longest(*(cell.split("\n") for cell in cells))
    return "".join(
        _joined([part or " " * width for part, width in zip(parts, widths, strict=True)], widths) for parts in below
    )
