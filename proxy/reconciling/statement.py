"""Reading what a provider states: an invoice or an export of usage or cost, as CSV or as its API answers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from proxy.reconciling.pages import Page, is_json, read_pages
from proxy.reconciling.shape import Stated, StatementError, shape_of

Days = tuple[date, date]  # the first and the last, both included


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a provider states, ``shape`` by name, and of which days (UTC) of whom; ``notes`` say what is not in it."""

    shape: str
    lines: Sequence[Stated]
    covers: Mapping[str, Days]
    notes: Sequence[str] = ()


def read_statement(text: str, provider: str | None = None) -> Statement:
    """Read a CSV file, its columns separated by commas, semicolons or tabs, or pages of JSON.

    ``provider`` says whose it is instead. Lines that state nothing are left out. Raises :class:`StatementError`.
    """
    text = text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    if not is_json(text):
        return _read_csv(text, provider)
    pages = read_pages(text)
    if not any(page.rows for page in pages):
        raise StatementError("there is no result in it, so nobody can tell whose statement it is")
    notes: tuple[str, ...] = ()
    if pages[-1].more:
        last = max(day for page in pages for day in page.days)
        notes = (f"the answer has more pages, which are not in the file: it ends on {last}",)
    return statement_of(pages, provider, notes)


def statement_of(pages: Sequence[Page], provider: str | None, notes: Sequence[str] = ()) -> Statement:
    """Put a provider's pages together; days without a result are of its statement too."""
    names, lines = dict[str, None](), []
    for number, row in enumerate((row for page in pages for row in page.rows), 1):
        shape = shape_of(row)
        names[shape.name] = None
        lines.append(shape.stated(row, provider, f"result {number}"))
    days = [day for page in pages for day in page.days]
    whose = {line.provider for line in lines} | ({provider} if provider is not None else set())
    covers = dict.fromkeys(sorted(whose), (min(days), max(days))) if days else {}
    return Statement(shape=" and ".join(names), lines=_said(lines), covers=covers, notes=notes)


def _read_csv(text: str, provider: str | None) -> Statement:
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    rows = csv.DictReader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        shape = shape_of(rows.fieldnames or ())
        lines = _said(shape.stated(row, provider, f"line {rows.line_num}") for row in rows)
    except csv.Error as error:
        raise StatementError(f"line {rows.line_num}: {error}") from None
    days: dict[str, list[date]] = {}
    for line in lines:
        days.setdefault(line.provider, []).append(line.day)
    return Statement(shape=shape.name, lines=lines, covers={whose: (min(of), max(of)) for whose, of in days.items()})


def _said(lines: Iterable[Stated]) -> list[Stated]:
    return [line for line in lines if (line.usd, line.input_tokens, line.output_tokens) != (None, None, None)]
