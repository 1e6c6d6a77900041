from __future__ import annotations

from datetime import UTC, datetime

import pytest

from proxy.reports.period import Period, zone_named
from tests.reports.asking import question
from tests.rows import UNESTIMATED, call_row, insert

NOVEMBER = Period(
    start=datetime(2026, 11, 1, tzinfo=UTC), end=datetime(2026, 12, 1, tzinfo=UTC), zone=zone_named("UTC")
)


def test_both_bases_stand_side_by_side_with_their_shares_and_evidence(engine):
    insert(
        engine,
        call_row(tier="measured", provider="vllm", grams_co2e=0.03, market_grams_co2e=None),
        call_row(grams_co2e=0.06),
        call_row(grams_co2e=0.03, provider="groq", market_grams_co2e=None),
        call_row(**UNESTIMATED),
    )
    with engine.connect() as connection:
        report = question("ghg").ask(connection, NOVEMBER)
    keys = [column.key for column in report.columns]
    rows = [dict(zip(keys, row, strict=True)) for row in report.rows]
    total = dict(zip(keys, report.total, strict=True))
    assert [(row["tier"], row["calls"]) for row in rows] == [("closed_model", 2), ("measured", 1), ("unknown", 1)]
    judged, measured, unknown = rows
    assert (judged["share"], measured["share"], unknown["share"]) == (pytest.approx(0.75), pytest.approx(0.25), None)
    assert judged["market_grams_co2e"] == pytest.approx(0.03)
    assert judged["location_grams_without_market"] == pytest.approx(0.03)
    assert measured["market_grams_co2e"] is None
    assert unknown["grams_co2e"] is None
    assert unknown["location_grams_without_market"] is None
    assert total["share"] == 1
    assert total["grams_co2e"] == pytest.approx(0.12)
    assert total["location_grams_without_market"] == pytest.approx(0.06)
    assert total["embodied_grams_co2e"] == pytest.approx(0.015)
    assert (
        "tiers of evidence, by location-based grams: 75 % closed_model (modelled for a model whose size is not "
        "public), 25 % measured (measured on the hardware)"
    ) in report.notes
    assert any(note.startswith("market-based covers 50 % of the location-based grams") for note in report.notes)
    assert "1 call of 4 without a carbon estimate, so grams are a lower bound: gpt-4o (1)" in report.notes


def test_what_the_market_based_grams_are_of_is_all_or_nothing_to_the_last_digit(engine):
    odd = [0.1 + number / 7 for number in range(40)]
    insert(engine, *(call_row(grams_co2e=grams, model=f"m{number % 9}") for number, grams in enumerate(odd)))
    insert(engine, *(call_row(grams_co2e=grams, provider="groq", market_grams_co2e=None) for grams in odd))
    for provider, share in (("openai", "100 %"), ("groq", "0 %")):
        with engine.connect() as connection:
            notes = question("ghg", where=[f"provider={provider}"]).ask(connection, NOVEMBER).notes
        assert any(note.startswith(f"market-based covers {share} of") for note in notes), notes


def test_carbon_says_of_how_little_the_market_based_grams_are(engine):
    insert(
        engine,
        call_row(grams_co2e=0.06),
        call_row(grams_co2e=0.03, model="llama", provider="groq", market_grams_co2e=None),
    )

    def notes(*where: str) -> list[str]:
        with engine.connect() as connection:
            found = question("carbon", where=where).ask(connection, NOVEMBER).notes
        return [note for note in found if note.startswith("market-based grams are of the calls alone whose contract")]

    (note,) = notes()
    assert "of at most 67 % of the operational grams" in note
    (note,) = notes("provider=groq")
    assert "known: of none" in note
    assert notes("provider=nobody") == []
