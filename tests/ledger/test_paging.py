"""Reading calls in order, a bounded number at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from proxy.ledger.paging import CALLS, LINES, pages
from proxy.ledger.write import Beside, Ledger
from tests.ledger.test_write import NOW, line
from tests.rows import call_row, insert

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOUR = (AT, AT + timedelta(hours=1))


def column(rows, name, names=CALLS):
    return [row[names.index(name)] for row in rows]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_every_call_comes_once_in_order_also_where_many_started_at_once(engine, size):
    rows = [call_row(started_at=AT + timedelta(microseconds=each // 3)) for each in range(10)]
    insert(engine, *rows, call_row(started_at=HOUR[1]), call_row(started_at=AT - timedelta(microseconds=1)))
    read = list(pages(engine, *HOUR, size=size))
    assert [len(page.calls) for page in read if len(page.calls) > size] == []
    assert [name for page in read for name in column(page.calls, "id")] == [row.id for row in rows]


def test_values_are_exact_and_json_is_text(engine):
    cost = Decimal("0.000000000001")
    insert(engine, call_row(cost_usd=cost, tags={"a": "ü"}, flags=("x",), started_at=AT + timedelta(microseconds=1)))
    ((row,),) = [page.calls for page in pages(engine, *HOUR, size=9)]
    found = dict(zip(CALLS, row, strict=True))
    assert found["cost_usd"] == cost
    assert found["started_at"] == AT + timedelta(microseconds=1)
    assert found["tags"].replace(" ", "") == '{"a":"ü"}'
    assert found["flags"] == '["x"]'
    assert found["units"] is None


def test_lines_come_with_their_calls(engine):
    first, second = call_row(), call_row(started_at=AT + timedelta(minutes=1))
    beside = {row.id: Beside(lines=(line(row.id, 1), line(row.id, 2))) for row in (first, second)}
    Ledger(engine).commit([first, second, call_row()], journal="j", positions={}, at=NOW, beside=beside)
    read = list(pages(engine, *HOUR, size=2, lines=True))
    found = {(row[0], row[1]) for page in read for row in page.lines}
    assert found == {(row.id, number) for row in (first, second) for number in (1, 2)}
    assert set(column(read[-1].lines, "started_at", LINES)) == {AT + timedelta(minutes=1)}
