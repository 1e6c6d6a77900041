from __future__ import annotations

import json

from proxy.console.live import event
from tests.rows import call_row


def test_an_event_is_framed_line_by_line():
    assert event("calls", "a\nb", 7) == b"event: calls\nid: 7\ndata: a\ndata: b\n\n"
    assert event("health", "") == b"event: health\ndata: \n\n"


def test_calls_come_as_json_each_with_its_number(console):
    with console.events("/api/live") as events:
        rows = [call_row(), call_row()]
        console.record(*rows)
        first, second = next(events), next(events)
    assert [(each["event"], each["id"]) for each in (first, second)] == [("call", "1"), ("call", "2")]
    assert [json.loads(each["data"])["id"] for each in (first, second)] == [row.id for row in rows]


def test_only_what_is_new_comes_unless_asked_otherwise(console):
    console.record(call_row(), call_row())
    with console.events("/api/live") as events:
        console.record(call_row())
        assert next(events)["id"] == "3"
    with console.events("/api/live?after=1") as events:
        assert next(events)["id"] == "2"
    with console.events("/api/live?after=3", **{"Last-Event-ID": "0"}) as events:
        assert next(events)["id"] == "1"
    with console.events(f"/api/live?after={'9' * 5000}") as events:
        console.record(call_row())
        assert next(events)["id"] == "4"


def until(events, name: str, part: str) -> str:
    """Read on to the event of that name with that in it."""
    return next(each["data"] for each in events if each["event"] == name and part in each["data"])


def test_the_page_gets_rows_then_sums_and_health(console):
    with console.events("/live?after=0") as events:
        assert "No calls yet" in until(events, "today", "Today")
        console.record(call_row(team="live-team"))
        console.recorder.streams_open = 2
        assert until(events, "calls", "live-team").startswith('<tr id="c-')
        assert "live-team" in until(events, "today", "By team")
        until(events, "health", "2 streams open")


def test_what_happened_between_the_page_and_its_stream_is_not_missed(console):
    console.record(call_row())
    with console.events("/live?after=0") as events:
        until(events, "calls", "gpt-4o")
        until(events, "today", "By team")


def test_many_pages_may_be_open(console):
    with console.events("/live?after=0") as one, console.events("/live?after=0") as other:
        console.record(call_row())
        assert until(one, "calls", "gpt-4o") == until(other, "calls", "gpt-4o")
        assert console.get("/healthz").status == 200
