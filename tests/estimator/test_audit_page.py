"""The page on the audit lists its 33 inconsistencies with figures that follow."""

import re

import pytest

from estimator.audit import audit_models, conversation, parameters
from estimator.deployments import find_gpu
from estimator.equivalences import equivalences
from estimator.fits import find_fit
from estimator.units import JOULES_PER_WH
from tests.estimator.pages import lines_of, page


def test_the_page_s_33_inconsistencies_are_listed():
    rows = re.findall(r"^\| (\d+) \| .+ \| .+ \|$", lines_of("audit-page"), re.MULTILINE)
    assert [int(row) for row in rows] == list(range(1, 34))


def test_the_figures_beside_the_33_follow():
    text, page_models, k = page("audit-page"), audit_models(), parameters()
    static, drawn = k["static"], k["calculator"]
    opus, small = page_models["claude-opus-4"].active_params, page_models["llama-3.1-8b-instruct"].active_params
    per_flop = 700 / 4e15 * static["pue"]
    assert per_flop == pytest.approx(static["joules_per_flop"])
    dense = 12 * drawn["hidden"] ** 2 * drawn["layers"]
    attention = 4 * 128_000 * drawn["hidden"] * drawn["layers"]
    day = 1e6 * conversation(opus, 2000, 1000, 436).joules
    training = 100_000 * 3600 * 700 * static["pue"]
    reached = find_fit().reached(find_gpu("H100").bandwidth) / find_gpu("H100").bandwidth
    for figure in (
        f"{drawn['joules_per_flop'] / static['joules_per_flop']:,.0f} times apart".replace(",", " "),
        f"{2500 / 3000:.0%} by the page's own method".replace("%", " %"),
        f"{0.1 + 18.0 + 1.1 + 8.0 + 42.0 + 1.5 + 0.4:.1f} %",
        f"{dense / 1e9:.1f} B",
        f"it ends at {attention / (attention + 400e9):.0%}".replace("%", " %"),
        f"{(64 + 16) / 64:.2f}·d²",
        f"{opus / small:.1f} and {436 / 50:.2f}",
        f"{training / day:.0f} days",
        f"{find_gpu('H100').bf16_flops / 1e12:.1f} TFLOP/s",
        f"{find_gpu('H100').bandwidth / 1e12:g} TB/s",
        f"{find_gpu('H200').bandwidth / 1e12:g} TB/s",
        f"{find_fit().eta_comp:.0%} of the peak".replace("%", " %"),
        f"{reached:.0%} of an H100's bandwidth".replace("%", " %"),
        f"{conversation(small, 2000, 1000, 436).joules:.0f} to {conversation(405e9, 2000, 1000, 436).joules:.0f} J",
        f"{3.082 / 0.119:.0f} times measured",  # ML.ENERGY, one and eight H100s at a batch of 64
    ):
        assert figure in text, figure
    for like in equivalences():
        if like.id in {"phone_charge", "kettle", "car_km"}:
            amount = like.joules_or_grams / (JOULES_PER_WH if like.of == "energy" else 1)
            assert f"{amount:g} " in text, like.id
