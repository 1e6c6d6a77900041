from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.reports import figures


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unknown"),
        (0, "0 J"),
        (1.234, "1.23 J"),
        (12.34, "12.3 J"),
        (999.4, "999 J"),
        (1000, "1.00 kJ"),
        (1_234_567, "1.23 MJ"),
        (3.6e9, "3.60 GJ"),
        (0.000_25, "250 µJ"),
        (9.996, "10.0 J"),
        (2.5e-9, "0.00250 µJ"),
        (1.5e19, "15,000 PJ"),
        (1.125, "1.13 J"),  # halves go away from 0, as in a browser
        (-1.125, "-1.13 J"),
    ],
)
def test_quantities(value, text):
    assert figures.quantity(value, "J") == text


HALVES = st.builds(lambda whole, power: whole / 2**power, st.integers(-(10**9), 10**9), st.integers(0, 12))


@given(st.one_of(st.floats(-1e24, 1e24), HALVES), st.integers(1, 4))
@example(1234.5, 4)
@example(-2.5, 1)
@example(9.995, 3)
def test_halves_go_away_from_0_whatever_a_float_is_written_like(value, significant):
    written = Decimal(figures.digits(value, significant).replace(",", ""))
    assert written == Context(prec=significant, rounding=ROUND_HALF_UP).create_decimal(Decimal(value))


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(100, 1600, "0.10–1.6 kJ"), (None, 3, "unknown"), (0, 0.02, "0–20 mJ"), (0, 0, "0–0 J")],
)
def test_bands_have_one_unit_and_two_digits(low, high, text):
    assert figures.band(low, high, "J") == text


def test_the_ends_of_a_band_have_as_many_digits_as_its_figure():
    assert figures.band(1180, 1290, "J", figures.carried(1180, 1234, 1290)) == "1.18–1.29 kJ"
    assert figures.band(400, 3600, "J", figures.carried(400, 1234, 3600)) == "0.40–3.6 kJ"


@pytest.mark.parametrize(
    ("value", "estimated", "text"),
    [
        (None, True, "-"),
        (Decimal("12.3456789"), False, "12.3457"),
        (Decimal("12.3456789"), True, "12"),
        (Decimal("-0.0125"), True, "-0.013"),
        (Decimal(0), True, "0"),
    ],
)
def test_amounts(value, estimated, text):
    assert figures.amount(value, estimated=estimated) == text


@pytest.mark.parametrize(
    ("value", "peak", "text"),
    [
        (None, None, "unknown"),
        (Decimal(0), None, "$0.000000"),
        (Decimal("0.00075"), None, "$0.000750"),
        (Decimal("0.0000001"), None, "<$0.000001"),
        (Decimal("12.34567"), None, "$12.3457"),
        (Decimal("1234.567"), None, "$1,234.57"),
        (Decimal("0.5"), Decimal(200), "$0.50"),
        (Decimal("0.001"), Decimal(200), "<$0.01"),
        (Decimal("-3.39"), None, "-$3.3900"),
        (Decimal("-0.009025"), Decimal("1.5"), "-$0.0090"),
        (Decimal("-0.001"), Decimal(200), ">-$0.01"),
    ],
)
def test_dollars(value, peak, text):
    assert figures.dollars(value, peak) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 10, "0 %"), (1, 1000, "<1 %"), (999, 1000, ">99 %"), (10, 10, "100 %"), (1, 3, "33 %"), (0, 0, "–")],
)
def test_shares_never_hide_a_part(part, whole, text):
    assert figures.share(part, whole) == text


def test_counts():
    assert (figures.count(None), figures.count(0), figures.count(1234567)) == ("unknown", "0", "1,234,567")


@pytest.mark.parametrize(
    ("low", "centre", "high", "text"),
    [
        (0.4, 1.234, 3.6, "1.2 J"),
        (1.18, 1.234, 1.29, "1.23 J"),
        (1.2339, 1.234, 1.2341, "1.23 J"),
        (1.0, 4.44, 20.0, "4.4 J"),
        (100.0, 123.4, 200.0, "120 J"),
        (None, 1.234, None, "1.23 J"),
        (1.234, 1.234, 1.234, "1.23 J"),
        (0.0, 0.0, 0.0, "0 J"),
        (0.875, 1.0, 1.125, "1.0 J"),  # a tenth from its end: that place, and no further
        (0.991, 1.0, 1.009, "1.00 J"),
        (999.0, 1000.0, 1001.0, "1.00 kJ"),
    ],
)
def test_a_figure_has_the_digits_that_its_band_allows(low, centre, high, text):
    assert figures.quantity(centre, "J", figures.carried(low, centre, high)) == text
