"""Against watt meters: the shipped constants are what the fit yields, and hold on models it has not seen."""

import math

import pytest

from bench.fit_energy import STRANGE, bands_of, constants_of, coverage, fitted, left_out, strangeness
from bench.measured import read
from bench.validation import by_slices, estimated, score
from estimator.fits import constants, find_fit
from estimator.novelty import widening
from estimator.ranges import Band
from tests.estimator.pages import page, percent

ROWS = read()
LEFT_OUT = {
    "model": lambda row: row.model,
    "family": lambda row: row.family,
    "accelerator": lambda row: row.workload.gpu,
}
SHIPPED = {"dense": find_fit().dense, "sparse": find_fit().sparse}


def test_the_shipped_constants_are_what_the_fit_yields():
    found, shipped = constants_of(fitted(ROWS)), find_fit()
    for name in ("tau_layer_s", "tau_seq_s", "omega_2024", "s", "s_overhead", "phi", "beta", "fp8_overhead"):
        assert getattr(shipped, name) == pytest.approx(getattr(found, name), rel=0.01), name
    assert shipped.beta_of == pytest.approx(found.beta_of, rel=0.01)


def test_measured_rows_are_met():
    made = score(estimated(ROWS))
    assert made["rows"] == 464
    assert made["median_error"] < 0.08
    assert made["within_2x"] >= 0.99
    assert 0.9 <= made["coverage"] <= 0.98


def test_the_new_constants_are_closer_than_the_old_in_every_slice_that_matters():
    now, then = by_slices(estimated(ROWS)), by_slices(estimated(ROWS, "study"))
    for name in ("all: all rows", "gpu: H100-SXM-80GB", "gpu: B200-SXM-180GB", "stack: vllm-2024", "experts: dense"):
        assert now[name]["median_error"] < then[name]["median_error"], name


def test_no_slice_is_far_off():
    for name, row in by_slices(estimated(ROWS)).items():
        assert 0.7 < row["bias"] < 1.3, name
        assert row["within_2x"] > 0.95, name


@pytest.fixture(scope="module")
def without() -> dict[str, list[float]]:
    """By what the rows were left out by: how far each was met by a fit without its like, as a logarithm."""
    return {name: left_out(ROWS, by) for name, by in LEFT_OUT.items()}


@pytest.mark.heavy
def test_rows_left_out_of_the_fit_are_met_and_nine_tenths_lie_in_the_band(without):
    made = bands_of(ROWS, [without["model"], without["family"]])
    for kind, pair in SHIPPED.items():
        assert pair == pytest.approx(made[kind], abs=0.005), kind
    for name, logs in without.items():
        size = sorted(abs(math.expm1(value)) for value in logs)
        assert size[len(size) // 2] < 0.11, name
        assert sum(abs(value) < math.log(2) for value in logs) >= 0.99 * len(logs), name
        assert 0.87 <= coverage(ROWS, logs, SHIPPED, wider(name)) <= 0.945, name


@pytest.mark.heavy
def test_the_page_s_table_of_rows_left_out(without):
    text = page("validation")
    for name, logs in without.items():
        size = sorted(abs(math.expm1(value)) for value in logs)
        figures = (
            percent(size[len(size) // 2]),
            f"{math.exp(sum(logs) / len(logs)):.2f}",
            percent(sum(abs(value) < math.log(2) for value in logs) / len(logs)),
            percent(coverage(ROWS, logs, SHIPPED, wider(name))),
        )
        of_them = len({LEFT_OUT[name](row) for row in ROWS})
        line = f"| one {name} at a time ({of_them}) | {' | '.join(figures)} |"
        assert line in text, line


def wider(left_out_by: str) -> Band:
    return widening(("accelerator",)) if left_out_by == "accelerator" else (1.0, 1.0)


@pytest.mark.heavy
def test_what_a_kind_of_rows_is_off_by_when_left_out_is_in_the_widening():
    found = {name: strangeness(ROWS, strange) for name, strange in STRANGE.items()}
    stated = constants()["unseen"]
    for trait in ("accelerator", "batch", "spread", "context"):
        off = [value for name, value in found.items() if name.startswith(trait)]
        assert math.sqrt(sum(value**2 for value in off) / len(off)) <= stated[trait] * 1.15, trait
