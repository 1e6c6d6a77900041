"""EcoLogits beside ours: its numbers are its own, and it errs more on measured rows."""

import pytest

from bench.ecologits import request, scored
from bench.measured import read
from bench.validation import estimated, score

# parameters in billions, Wh of 1 000 output tokens with PUE 1.2 as the package gives them
PACKAGE = [(8.03, 0.089), (70.55, 0.658), (405.85, 9.13)]


@pytest.mark.parametrize(("params", "wh"), PACKAGE)
def test_its_figures_are_reproduced(params, wh):
    assert request(params, params, 1000).joules / 3600 == pytest.approx(wh, rel=0.01)


def test_on_measured_rows_it_errs_more():
    rows = read()
    theirs, ours = score(scored(rows)), score(estimated(rows))
    assert theirs["median_error"] > 3 * ours["median_error"]
    assert theirs["within_2x"] < 0.8 < ours["within_2x"]
