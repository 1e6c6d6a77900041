from __future__ import annotations

from tests.budgets.test_spent import Machine, made
from tests.console.conftest import NOON
from tests.console.test_page import MARKUP, Page
from tests.rows import call_row


def test_the_page_shows_the_fullest_first_and_every_name_as_text(console):
    assert "No budgets" in console.get("/budgets").text
    machine = Machine(
        console.engine,
        made("month", thresholds=(0.5,), limit=0.0075),
        made("<b>", team=MARKUP, unit="tokens", limit=1000, mode="soft"),
        made("at-once", unit="concurrent_requests", window=None, limit=3),
        now=NOON,
    )
    machine.record(*(call_row(started_at=NOON) for _ in range(11)))
    for slot in range(3):
        machine.call(slot)
    machine.tend()
    page = Page(console.get("/budgets").text)
    words = " ".join(page.words)
    assert [name for name in page.words if name in ("month", "<b>", "at-once")][:1] == ["month"]
    assert "0.00825 USD" in words
    assert "0.011 USD" in words  # by the month's end, at this pace
    assert "used up 110 %" in words
    assert "0 tokens" in words
    assert "3 requests at once" in words
    assert MARKUP in words
    assert page.count("script") == 0


def test_what_is_used_of_an_estimate_says_what_that_rests_on(console):
    machine = Machine(
        console.engine,
        made("of-search", team="search", unit="kwh", limit=1, window="day"),
        made("of-user", user="u", unit="gco2e", limit=1, window="30d"),
        made("of-nobody", team="nobody", unit="liters", limit=1),
        now=NOON,
    )
    machine.record(
        call_row(started_at=NOON),
        call_row(started_at=NOON, user="u", tier="measured", estimate_key="house@us", joules=1200.0),
    )
    page = Page(console.get("/budgets").text)
    titles = {attributes["aria-label"] for tag, attributes in page.elements if attributes.get("class") == "tier"}
    assert titles == {
        "75 % measured on the hardware, 25 % modelled for a model whose size is not public (of the energy)",
        "measured on the hardware",
    }
    words = " ".join(page.words)
    assert "○ 0.00044 kWh" in words
    assert "● 0.040 g CO₂e" in words
    assert "1 kWh" in words
