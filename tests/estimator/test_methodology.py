"""The pages on method state what the code says: worked examples, validation table, disclosed figures."""

import re
from pathlib import Path

import pytest

from bench.ecologits import scored
from bench.measured import read
from bench.validation import by_slices, estimated
from estimator import Deployment, Range, Total, Usage, estimate, uncertain
from estimator.fits import constants, find_fit
from estimator.units import JOULES_PER_WH

PAGES = Path(__file__).parents[2] / "docs" / "methodology"
CONVERSATION = Usage(input_tokens=2000, output_tokens=1000)


def page(name):
    return re.sub(r"\s+", " ", (PAGES / f"{name}.md").read_text(encoding="utf-8"))


def example():
    return estimate(
        CONVERSATION,
        "llama-3.1-8b-instruct",
        deployment=Deployment(gpu="H100", n_gpus=1, batch=64, pue=1.2),
        zone="FRA",
    )


def test_the_worked_example_of_energy():
    text, said = page("energy"), example().explain()
    for figure in (
        *(
            "16.06 GB",
            "327.7 MB",
            "17.37 GFLOP",
            "33.17 TFLOP",
            "5.993 ms",
            "1.873 ms",
            "7.825 ms",
            "3.687 ms",
            "17.79 ms",
        ),
        *("55.87 ms", "182 J", "136 J to 239 J", "277.3 J", "332.7 J", "92.42 mWh", "63 mWh to 132 mWh"),
        *("3.83 mg", "2.02 mg to 6.25 mg"),
    ):
        assert figure in text, figure
        assert figure in said, figure


def test_the_constants_on_the_page_of_energy():
    text, fit = page("energy"), find_fit()
    for figure in (
        f"{fit.tau_layer_s * 1e6:.1f} µs",
        f"{fit.tau_seq_s * 1e6:.1f} µs",
        f"{fit.tau_seq_layer_s * 1e6:.3f} µs",
        f"{fit.fp8_overhead:.2f} if 8-bit",
        f"{fit.omega_2024:.2f} for vLLM",
        f"{fit.s:.3f}·t_token",
        f"{fit.s_overhead - fit.s:.3f}·t_over",
        f"{fit.phi:.2f}·TDP/F",
        f"{fit.beta:.3f}·TDP/BW",
        f"{fit.moe_efficiency:.3f} for experts",
    ):
        assert figure in text, figure


def test_the_worked_example_of_flops():
    text = page("flops")
    for part in example().flops_parts:
        assert f"{part.share:.1%}".replace("%", " %") in text, part.name


def test_the_worked_example_of_a_sum():
    text = page("uncertainty")
    one = uncertain(Range(0.5, 1.0, 2.0), "a", own=(0.8, 1.3))
    many = Total().plus(one, 1_000_000).range
    for value in (many.low, many.high):
        assert f"{value:,.0f}".replace(",", " ") in text
    assert f"ratio^±{constants()['bands']['comparison']}" in text


def test_the_bands_of_the_tiers():
    text = page("README")
    for low, high in (find_fit().dense, find_fit().sparse):
        assert f"× {low:.2f} to × {high:.2f}" in text


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
        figures = [
            f"{row[key]:.1%}".replace("100.0%", "100%").replace("%", " %")
            for key in ("median_error", "within_2x", "coverage")
        ]
        line = f"| {label} | {row['rows']} | {figures[0]} | {row['bias']:.2f} | {figures[1]} | {figures[2]} |"
        assert line in text, line


def test_the_table_beside_ecologits():
    text, rows = page("validation"), read()
    theirs, ours = by_slices(scored(rows)), by_slices(estimated(rows))
    for label in ("all", "A100", "H100", "B200", "batch up to 16", "batch above 256"):
        line = f"| {label} |"
        for table in (theirs, ours):
            row = table[NAMES[label]]
            line += f" {row['median_error']:.1%}, {row['bias']:.2f} |".replace("%", " %")
        assert line in text, line


# model, provider, input, output tokens, disclosed Wh
DISCLOSED = [
    ("gemini-2.5-flash", "gemini", 250, 350, 0.24),
    ("gpt-4o", "openai", 100, 500, 0.34),
    ("gpt-4o", "openai", 100, 500, 0.30),
    ("gpt-4o", "openai", 100, 300, 0.42),
    ("gpt-4o", "openai", 100, 300, 0.31),
    ("gpt-4o", "openai", 10_000, 500, 2.5),
    ("gpt-4o", "openai", 100_000, 500, 40.0),
]


@pytest.mark.parametrize(("model", "provider", "n_in", "n_out", "wh"), DISCLOSED)
def test_disclosed_figures_lie_in_the_band_and_on_the_page(model, provider, n_in, n_out, wh):
    made = estimate(Usage(input_tokens=n_in, output_tokens=n_out), model, provider=provider)
    assert wh * JOULES_PER_WH in made.joules
    assert f"{made.joules.mid / JOULES_PER_WH:.2g}" in page("validation")


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


def test_the_page_s_33_inconsistencies_are_listed():
    rows = re.findall(r"^\| (\d+) \| .+ \| .+ \|$", (PAGES / "audit-page.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(row) for row in rows] == list(range(1, 34))
