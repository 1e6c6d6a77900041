from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from proxy.ledger.read import SUMMED, totals
from proxy.ledger.write import Ledger
from proxy.reports import table
from proxy.reports.focus import BY, figures_of, focus, read_columns, shipped
from proxy.reports.period import parse
from proxy.reports.split import split
from tests.reports.asking import question
from tests.rows import UNESTIMATED, UNMETERED, UNPRICED, call_row, insert

COSTS = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")


def november(tz="UTC"):
    return parse(month="2026-11", start=None, end=None, tz=tz, now=datetime.now(UTC))


def made(engine, period=None):
    with engine.connect() as connection:
        return question("focus").ask(connection, period or november())


def charges(report):
    return list(csv.DictReader(io.StringIO(table.as_csv(report), newline="")))


def some(count=300):
    """Calls of many days, teams, projects and models, whose dollars use all of the decimals."""
    teams, models, projects = ("search", "ads", None), ("gpt-4o", "gpt-4.1", "o3"), (None, "nightly", 'a"b,c')
    for n in range(count):
        yield call_row(
            started_at=datetime(2026, 11, 1 + n % 30, n % 24, n % 60, tzinfo=UTC),
            team=teams[n % 3],
            model=models[n // 3 % 3],
            project=projects[n // 9 % 3],
            cost_usd=Decimal(10**9 + 7919 * n).scaleb(-12),
        )


@pytest.mark.parametrize("rolled_up", [True, False])
def test_sums_are_the_ledgers_to_the_last_decimal(engine, rolled_up):
    rows = [*some(), call_row(**UNPRICED), call_row(**UNMETERED)]
    if rolled_up:
        Ledger(engine).commit(rows, journal="j", positions={}, at=datetime.now(UTC))
    else:
        insert(engine, *rows)
    report = made(engine)
    read = charges(report)
    with engine.connect() as connection:
        period = november()
        (whole,) = totals(connection, start=period.start, end=period.end, zone=period.zone)
    exact = sum(row.cost_usd for row in rows if row.cost_usd is not None)
    assert whole.cost_usd == exact
    for column in COSTS:
        assert sum(Decimal(row[column]) for row in read) == exact
    for column, figure in (
        ("x_InputTokens", whole.input_tokens),
        ("x_OutputTokens", whole.output_tokens),
        ("ConsumedQuantity", (whole.input_tokens or 0) + (whole.output_tokens or 0)),
        ("x_UnpricedCalls", 1),
    ):
        assert sum(float(row[column] or 0) for row in read) == figure, column
    assert sum(float(row["x_EnergyJoules"] or 0) for row in read) == pytest.approx(whole.joules)
    assert sum(float(row["x_CarbonGramsCO2e"] or 0) for row in read) == pytest.approx(whole.grams_co2e)
    total = msgspec.json.decode(table.as_json(report))["total"]
    assert Decimal(total["BilledCost"]) == exact
    assert "ConsumedQuantity" not in total  # of two units
    assert total["x_EnergyJoulesHigh"] == pytest.approx(whole.joules_high)


def test_a_charge(engine):
    insert(engine, call_row(project="nightly"), call_row(project="nightly"))
    (charge,) = charges(made(engine))
    assert (
        charge
        | {
            "BilledCost": "0.001500000000",
            "BillingCurrency": "USD",
            "BillingPeriodStart": "2026-11-01T00:00:00Z",
            "BillingPeriodEnd": "2026-12-01T00:00:00Z",
            "ChargeCategory": "Usage",
            "ChargeClass": "",
            "ChargePeriodStart": "2026-11-23T00:00:00Z",
            "ChargePeriodEnd": "2026-11-24T00:00:00Z",
            "ConsumedQuantity": "300.0",
            "ConsumedUnit": "Tokens",
            "ProviderName": "openai",
            "SkuId": "openai/gpt-4o",
            "SubAccountId": "search",
            "Tags": '{"project":"nightly"}',
            "x_Calls": "2",
            "x_EnergyJoulesLow": "200.0",
            "x_EnergyJoules": "800.0",
            "x_EnergyJoulesHigh": "3200.0",
            "x_CarbonGramsCO2e": "0.08",
            "x_WaterLiters": "0.001",
            "x_ReportedCalls": "2",
            "x_CountedCalls": "0",
            "x_EnergyTier": "closed_model",
        }
        == charge
    )


def test_a_charge_says_what_its_tokens_and_its_energy_rest_on(engine):
    sure = {"tier": "measured", "estimate_key": "house@us", "model": "house"}
    insert(
        engine,
        call_row(usage_source="counted"),
        call_row(usage_source="inferred"),
        call_row(usage_source="absent", input_tokens=None, output_tokens=None),
        call_row(**sure),
        call_row(**UNPRICED | UNESTIMATED),
    )
    report = made(engine)
    by_model = {charge["x_Model"]: charge for charge in charges(report)}
    kinds = ("x_ReportedCalls", "x_CountedCalls", "x_InferredCalls", "x_AbsentCalls", "x_EnergyTier")
    assert [by_model["gpt-4o"][each] for each in kinds] == ["0", "1", "1", "1", "closed_model"]
    assert [by_model["house"][each] for each in kinds] == ["1", "0", "0", "0", "measured"]
    assert by_model["house-model"]["x_EnergyTier"] == ""
    assert any(note.startswith("evidence, by energy: 25 % measured on the hardware, 75 % ") for note in report.notes)
    assert any(note.startswith("prices, by dollars: ") for note in report.notes)


def test_no_price_is_counted_where_it_is_read(engine):
    insert(engine, call_row(**UNPRICED), call_row(**UNPRICED | UNESTIMATED))
    report = made(engine)
    (charge,) = charges(report)
    assert (charge["ListCost"], charge["x_UnpricedCalls"], charge["x_EnergyUnknownCalls"]) == (
        "0.000000000000",
        "2",
        "1",
    )
    assert charge["ChargeDescription"] == "house-model at openai, calls: 2; no price is known of 2, which add 0"
    assert "2 calls of 2 without a price, so they are in the rows with cost 0: house-model (2)" in report.notes


def test_calls_that_used_nothing_known_are_no_charge_and_are_counted(engine):
    insert(engine, call_row(), call_row(team="ads", **UNMETERED), call_row(team="ads", **UNMETERED))
    report = made(engine)
    assert [charge["SubAccountId"] for charge in charges(report)] == ["search"]
    assert "calls without tokens and without a price, in no row: 2" in report.notes


def test_what_is_priced_but_has_no_tokens_is_counted_in_requests(engine):
    insert(engine, call_row(**UNMETERED | {"cost_usd": Decimal("0.04"), "units": {"images": 1}}))
    (charge,) = charges(made(engine))
    assert (charge["ConsumedQuantity"], charge["ConsumedUnit"], charge["BilledCost"]) == (
        "1.0",
        "Requests",
        "0.040000000000",
    )


def test_days_and_months_are_the_readers(engine):
    insert(engine, call_row(started_at=datetime(2026, 10, 31, 23, 30, tzinfo=UTC)), call_row())
    first, _ = charges(made(engine, november("Europe/Berlin")))
    assert (first["ChargePeriodStart"], first["ChargePeriodEnd"]) == ("2026-10-31T23:00:00Z", "2026-11-01T23:00:00Z")
    assert (first["BillingPeriodStart"], first["BillingPeriodEnd"]) == ("2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z")


def test_a_part_of_a_day_is_a_charge_of_that_part(engine):
    insert(engine, call_row())
    asked = parse(month=None, start="2026-11-23T11:00", end="2026-11-23T13:00", tz="UTC", now=datetime.now(UTC))
    (charge,) = charges(made(engine, asked))
    assert (charge["ChargePeriodStart"], charge["ChargePeriodEnd"]) == ("2026-11-23T11:00:00Z", "2026-11-23T13:00:00Z")


def test_the_21_columns_that_must_be_there_are_there_once():
    listed = list(shipped().listed("1.2"))
    assert len(listed) == len(set(listed))
    must = [
        "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodStart",
        "BillingPeriodEnd", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodStart",
        "ChargePeriodEnd", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost",
        "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName",
    ]  # fmt: skip
    assert len(must) == 21
    assert listed[:21] == must
    assert {name for name in listed if name.startswith("x_")} == shipped().own.keys()


NEWER = """
[version."1.2"]
columns = ["ProviderName"]
[version."1.9"]
columns = ["HostProviderName", "BilledCost"]
[column]
ProviderName = { of = "provider" }
HostProviderName = { of = "provider" }
BilledCost = { of = "cost", kind = "dollars" }
[own]
x_Calls = { of = "calls", kind = "count" }
"""


def test_a_newer_version_is_a_list_more(engine):
    insert(engine, call_row())
    with engine.connect() as connection:
        report = focus(split(connection, BY, november()), None, read_columns(NEWER))
    assert report.title == "FOCUS 1.9"
    assert charges(report) == [{"HostProviderName": "openai", "BilledCost": "0.000750000000", "x_Calls": "1"}]


def test_a_version_with_a_column_that_nobody_describes_is_refused():
    with pytest.raises(KeyError, match="Nameless"):
        read_columns(NEWER.replace('"HostProviderName", ', '"Nameless", '))


@pytest.mark.parametrize("tz", ["UTC", "Asia/Kolkata"])
def test_no_figure_is_missed_that_is_not_read(engine, tz):
    rows = [
        *some(),
        *(call_row(**kind) for kind in (UNPRICED, UNESTIMATED, UNMETERED)),
        call_row(market_grams_co2e=0.1),
    ]
    Ledger(engine).commit(rows, journal="j", positions={}, at=datetime.now(UTC))
    with engine.connect() as connection:
        of_all = replace(question("focus"), figures=SUMMED).ask(connection, november(tz))
    assert len(figures_of(shipped())) < len(SUMMED)
    report = made(engine, november(tz))
    assert (report.total, report.notes) == (of_all.total, of_all.notes)
    assert table.as_csv(report) == table.as_csv(of_all)
