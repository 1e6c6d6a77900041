"""The page of validation states what the code says: rows of watt meters, EcoLogits, disclosed figures."""

import math
import re

import pytest

from bench.ecologits import scored
from bench.fit_energy import errors
from bench.measured import read
from bench.validation import by_slices, estimated, score
from estimator import Deployment, Usage, estimate
from estimator.fits import find_fit
from estimator.units import JOULES_PER_WH
from tests.estimator.pages import lines_of, page, percent

NAMES = {
    "all": "all: all rows",
    "A100": "gpu: A100-SXM-40GB",
    "H100": "gpu: H100-SXM-80GB",
    "B200": "gpu: B200-SXM-180GB",
    "batch up to 16": "batch: batch ≤ 16",
    "batch above 256": "batch: batch > 256",
    "dense": "experts: dense",
    "mixture of experts": "experts: experts",
    "fp8": "precision: fp8",
}


def test_the_validation_table():
    text, found = page("validation"), by_slices(estimated(read()))
    for label, name in NAMES.items():
        row = found[name]
        figures = [percent(row[key]) for key in ("median_error", "within_2x", "coverage")]
        line = f"| {label} | {row['rows']} | {figures[0]} | {row['bias']:.2f} | {figures[1]} | {figures[2]} |"
        assert line in text, line


def test_the_sentences_under_the_validation_table():
    text, rows = page("validation"), read()
    assert f"The set `study` has {percent(score(estimated(rows, 'study'))['median_error'])} on the same rows" in text
    models = {name: row["bias"] for name, row in by_slices(estimated(rows)).items() if name.startswith("model: ")}
    worst = min(models, key=lambda name: -abs(math.log(models[name])))
    assert (
        f"{worst.removeprefix('model: ').rsplit('-A', 1)[0]}, {1 - models[worst]:.0%} too low".replace("%", " %")
        in text
    )
    seconds = sorted(abs(math.expm1(time)) for _, time in errors(rows, find_fit()))
    assert f"off by {percent(seconds[len(seconds) // 2])} in the median" in text


def test_the_table_beside_ecologits():
    text, rows = page("validation"), read()
    theirs, ours = by_slices(scored(rows)), by_slices(estimated(rows))
    for label in ("all", "A100", "H100", "B200", "batch up to 16", "batch above 256"):
        line = f"| {label} |"
        for table in (theirs, ours):
            row = table[NAMES[label]]
            line += f" {row['median_error']:.1%}, {row['bias']:.2f} |".replace("%", " %")
        assert line in text, line


DISCLOSED = re.compile(
    r"^\| (?P<what>[^|]+: (?P<wh>[\d.]+) Wh[^|]*) \| (?P<model>[\w.-]+), (?P<n_in>[\d ]+) in, (?P<n_out>[\d ]+) out"
    r" \| (?P<low>\S+), (?P<mid>\S+), (?P<high>\S+) \| yes \|$",
    re.MULTILINE,
)
PROVIDERS = {"gemini-2.5-flash": "gemini", "gpt-4o": "openai"}


@pytest.mark.parametrize("row", list(DISCLOSED.finditer(lines_of("validation"))), ids=lambda row: row["what"])
def test_a_disclosed_figure_lies_in_the_band_that_the_page_prints(row):
    usage = Usage(input_tokens=int(row["n_in"].replace(" ", "")), output_tokens=int(row["n_out"].replace(" ", "")))
    made = estimate(usage, row["model"], provider=PROVIDERS[row["model"]]).joules
    assert float(row["wh"]) * JOULES_PER_WH in made
    for name in ("low", "mid", "high"):
        assert row[name] == f"{getattr(made, name) / JOULES_PER_WH:.2g}", name


def test_all_disclosed_figures_are_on_the_page():
    assert len(list(DISCLOSED.finditer(lines_of("validation")))) == 7


def test_what_google_states_of_water_and_market_based_carbon_lies_in_the_band():
    text = lines_of("validation")
    made = estimate(Usage(input_tokens=250, output_tokens=350), "gemini-2.5-flash", provider="gemini")
    for stated, unit, found in (
        (0.26, "mL on site", made.site_liters * 1000),
        (0.03, "g market-based", made.market_grams_co2e),
    ):
        assert stated in found
        points = ", ".join(f"{point:.2g}" for point in (found.low, found.mid, found.high))
        assert f"| {points} {unit} | yes |" in text
    assert made.site_liters.mid < made.liters.mid


def test_the_life_cycle_figure_lies_outside_and_the_page_says_so():
    made = estimate(Usage(input_tokens=100, output_tokens=400), "mistral-large-2407", provider="mistral")
    assert 1.14 not in made.grams_co2e
    assert made.zone == "SWE"
    assert "**no**" in page("validation")
    for batch, digits, grams in ((8, 1, "0.7"), (64, 2, "0.13")):
        average = estimate(
            Usage(input_tokens=100, output_tokens=400),
            "mistral-large-2407",
            deployment=Deployment(gpu="H100", n_gpus=8, batch=batch),
        ).grams_co2e
        assert f"{average.mid:.{digits}g}" == grams
        assert f"{grams} g" in page("validation")
