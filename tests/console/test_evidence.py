from __future__ import annotations

import re

import pytest

from proxy.console.evidence import TIERS, mark, standing
from proxy.ledger import evidence
from tests.console.test_page import Page
from tests.rows import UNESTIMATED, UNMETERED, UNPRICED, call_row


def test_every_tier_of_the_ledger_has_a_mark():
    assert tuple(TIERS) == evidence.TIERS


@pytest.mark.parametrize(
    ("shares", "sign", "says"),
    [
        ({"measured": 1.0}, "●", "measured on the hardware"),
        ({"measured": 0.94, "open_model": 0.06}, "◐", "94 % measured on the hardware, 6 % modelled for a model whose"),
        ({"disclosed": 0.97, "closed_model": 0.03}, "●", "3 % modelled for a model whose size is not public"),
        ({"open_model": 0.4, "closed_model": 0.6}, "○", "(of the energy)"),
    ],
)
def test_the_mark_is_of_the_weakest_that_counts(shares, sign, says):
    page = Page(mark(shares))
    assert page.words == [sign]
    ((_, attributes),) = page.elements
    assert says in (attributes["title"] or "")
    assert attributes["aria-label"] == attributes["title"]


def test_nothing_known_has_no_mark():
    assert mark({}) == standing({}) == ""


def test_the_parts_are_drawn_one_beside_the_other_and_said():
    page = Page(standing({"measured": 0.25, "deployment": 0.25, "open_model": 0.25, "closed_model": 0.25}))
    rects = [attributes for tag, attributes in page.elements if tag == "rect"]
    assert [(each["class"], each["x"], each["width"]) for each in rects] == [
        ("sure", "0.00", "25.00"),
        ("open", "25.00", "50.00"),
        ("closed", "75.00", "25.00"),
    ]
    assert "50 % modelled, model or deployment known" in " ".join(page.words)


SUMS = ("/", "/explore", "/explore?by=model,day&measure=energy", "/teams")


@pytest.mark.parametrize("path", SUMS)
def test_sums_have_marks_shares_and_methods(console, path):
    console.record(
        call_row(joules=300.0),
        call_row(joules=100.0, tier="measured", estimate_key="house@us", model="house"),
    )
    page = Page(console.get(path).text)
    titles = [attributes.get("title") or "" for _, attributes in page.elements]
    assert any(each.startswith("25 % measured on the hardware, 75 % modelled for a model whose") for each in titles)
    assert any("price of the day, of the provider's list or your own" in each for each in titles)
    assert any("at the facility's meter" in each for each in titles)
    words = " ".join(page.words)
    assert "Of the energy: ● 25 % measured or disclosed ○ 75 % modelled, model not public" in words


def test_what_is_unknown_of_a_sum_says_why_and_where_to_look(console):
    console.record(call_row(**UNPRICED | UNESTIMATED), call_row(model="other", **UNMETERED))
    page = Page(console.get("/explore?by=model").text)
    titles = {attributes.get("title") for _, attributes in page.elements if attributes.get("class") == "none"}
    assert "1 of 1 calls have tokens, but no price: see Facts, What is missing" in titles
    assert "1 of 1 calls have tokens, but no estimate: see Facts, What is missing" in titles
    assert "no tokens are known of these calls" in titles


def test_calls_have_marks_and_methods_as_sums_have(console):
    console.record(call_row())
    for path in ("/", "/calls"):
        page = Page(console.get(path).text)
        (table,) = re.findall(r'<table class="calls">.*?</table>', console.get(path).text, re.DOTALL)
        calls = Page(table)
        titles = [attributes.get("title") or "" for tag, attributes in calls.elements if tag == "span"]
        for says in (
            "price of the day, of the provider's list or your own",
            "at the facility's meter",
            "grams per kWh",
            "Floating-point operations",
        ):
            assert any(says in each for each in titles), says
        assert calls.words.count("○") == 3  # compute, energy, carbon
        assert page.count("table") >= 1


def test_one_call_says_of_each_figure_how_it_is_made(console):
    row = call_row()
    console.record(row, call_row(id="unpriced", **UNPRICED))
    page = Page(console.get(f"/calls/{row.id}").text)
    titles = [attributes["title"] for tag, attributes in page.elements if attributes.get("class") == "how"]
    assert len(titles) == 5
    words = " ".join(page.words)
    assert f"price {row.price_id}" in words
    assert "○ energy × the zone's g/kWh: USA" in words
    assert words.count("no surer than the energy") == 2
    assert "no price is known: see Facts, What is missing" in console.get("/calls/unpriced").text
