"""The pages on method state what the code says: worked examples, constants, bands."""

import math
import re
from decimal import Decimal

import pytest

from bench.fit_energy import UNSEEN_SIGMA
from bench.measured import read
from bench.validation import pairs
from estimator import Deployment, Range, Speculation, Total, Usage, compare, estimate, known_models, resolve, uncertain
from estimator.carbon import embodied_grams_per_gpu_second
from estimator.deployments import find_gpu
from estimator.fits import constants, find_fit
from estimator.flops import breakdown
from estimator.grid import grid
from estimator.models import surrogate
from estimator.overheads import overheads
from estimator.training import training_share
from estimator.units import JOULES_PER_WH, with_prefix
from tests.estimator.pages import lines_of, page

CONVERSATION = Usage(input_tokens=2000, output_tokens=1000)


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
            "6.665 ms",
            "1.873 ms",
            "8.703 ms",
            "2.502 ms",
            "18.13 ms",
        ),
        *("55.87 ms", "185.2 J", "143 J to 233 J", "282 J", "338.5 J", "94.01 mWh", "65.6 mWh to 130 mWh"),
        *("3.896 mg", "2.09 mg to 6.22 mg"),
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
        f"1/(1/({fit.eta_mem:.2f}·BW) + 1/{fit.intake / 1e12:g} TB/s)",
        *(
            f"{fit.reached(find_gpu(name).bandwidth) / find_gpu(name).bandwidth:.0%} on {on}".replace("%", " %")
            for name, on in (("H100", "an H100"), ("B200", "a B200"))
        ),
    ):
        assert figure in text, figure


def test_the_worked_example_of_flops():
    text, made = page("flops"), example()
    for part in made.flops_parts:
        assert f"{part.share:.1%}".replace("%", " %") in text, part.name
    for flop in (
        sum(part.prefill for part in made.flops_parts),
        sum(part.decode for part in made.flops_parts),
        made.flops.mid,
    ):
        assert with_prefix(flop, "FLOP") in text
    known = breakdown(made.profile.shape, 0, 0, 1)
    by_name = {part.name: part.decode for part in known}
    assert by_name["FFN"] == pytest.approx(3 * 2 * 32 * 4096 * 14336, rel=0.01)


def test_the_worked_example_of_a_closed_model():
    made, text = estimate(CONVERSATION, "gpt-4o", provider="openai"), page("closed-models")
    for name, unit in (("flops", "FLOP"), ("gpu_joules", "J"), ("it_joules", "J"), ("joules", "J")):
        value = getattr(made, name)
        assert " | ".join(with_prefix(point, unit) for point in (value.low, value.mid, value.high)) in text, name
    points = (made.joules.low, made.joules.mid, made.joules.high)
    assert " | ".join(f"{point / JOULES_PER_WH:.3g} Wh" for point in points) in text
    assert "PUE 1.2" in text
    assert made.profile.pue == 1.2


def test_what_the_batch_alone_moves():
    few, many = (
        estimate(
            Usage(input_tokens=500, output_tokens=500), "gpt-4o", provider="openai", deployment=Deployment(batch=batch)
        ).joules.mid
        for batch in (34, 1080)
    )
    assert f"by a factor of {few / many:.1f}" in page("closed-models")


def test_how_far_guessed_shapes_are_from_typed_ones():
    shapes = [(card, card.architecture) for card in map(resolve, known_models()) if card.architecture is not None]
    off = {"layers": [], "width": []}
    for card, shape in shapes:
        guess = surrogate(shape.total_params, shape.active_params, card.kind)
        off["layers"].append(abs(math.log(guess.layers / shape.layers)))
        off["width"].append(abs(math.log(guess.heads * guess.head_dim / (shape.heads * shape.head_dim))))
    for name, logs in off.items():
        said = re.search(rf"(\d\.\d) times the guessed {name}", page("closed-models"))
        tenth = math.exp(sorted(logs)[int(0.9 * len(logs))])
        assert 0.85 * float(said[1]) < tenth <= float(said[1]), name


def test_the_worked_example_of_a_sum():
    text = page("uncertainty")
    one = uncertain(Range(0.5, 1.0, 2.0), "a", own=(0.8, 1.3))
    many = Total().plus(one, 1_000_000).range
    for value in (many.low, many.high):
        assert f"{value:,.0f}".replace(",", " ") in text


def test_the_bands_of_the_tiers():
    text, bands = page("README"), constants()["bands"]
    for low, high in (find_fit().dense, find_fit().sparse, bands["open_model"]):
        assert f"× {low:.2f} to × {high:.2f}" in text or f"× {low:.2f} to × {high:.3g}" in text, (low, high)
    for kind in ("measured", "disclosed"):
        assert "× {} to × {}".format(*bands[kind]) in text
    assert "× {} to × {}".format(*bands["facility"]) in text
    for model, unknown in (("gpt-4o", "none"), ("nobody", "widest")):
        joules = estimate(CONVERSATION, model, provider="openai", unknown=unknown).joules
        assert f"× {joules.low / joules.mid:.2g} to × {joules.high / joules.mid:.2g}" in text, model


def test_the_bands_on_the_page_of_uncertainty():
    text, bands, unseen = page("uncertainty"), constants()["bands"], constants()["unseen"]
    for name in ("facility", "grid_hourly", "own_call"):
        assert "× {:g} to × {:g}".format(*bands[name]) in text, name
    assert "× {:g} to × {:g}".format(*constants()["embodied"]["band"]) in text
    assert bands["own_call_most"] == 0.5
    assert "at most half the band" in text
    assert f"correlate by {bands['between_models']:g}" in text
    assert f"ratio^±{bands['comparison']}" in text
    assert f"ratio^±{bands['comparison_cached']}" in text
    assert f"{UNSEEN_SIGMA:.0%}".replace("%", " %") in text
    rows = re.findall(r"^\| [^|]+ \| (0\.\d\d) \| [^|]+ \|$", lines_of("uncertainty"), re.MULTILINE)
    assert sorted(map(float, rows)) == sorted(unseen.values())
    for gpu in ("L40S", "MI300X"):
        joules = estimate(
            CONVERSATION, "llama-3.1-8b-instruct", deployment=Deployment(gpu=gpu, n_gpus=1, batch=64)
        ).gpu_joules
        assert f"× {joules.low / joules.mid:.2f} to × {joules.high / joules.mid:.2f}" in text, gpu


def test_the_pairs_behind_the_band_of_a_comparison():
    found, text = pairs(read()), page("uncertainty")
    off = sorted(abs(error) for _, error in found)
    longer = sorted(times for times, _ in found)[len(found) // 2]
    tenth = off[int(0.9 * len(off))]
    assert f"{len(found)} pairs" in text
    assert f"{longer:.0f} times the output" in text
    assert f"off by {tenth:.0%} at 90 %".replace("% at", " % at") in text
    assert constants()["bands"]["comparison"] == pytest.approx(tenth / math.log(longer), abs=0.005)


def test_the_worked_example_of_a_comparison():
    before, cached, shorter = (
        estimate(Usage(input_tokens=2000, cached_input_tokens=n, output_tokens=m), "gpt-4o", provider="openai")
        for n, m in ((0, 1000), (1800, 1000), (0, 500))
    )
    low, high = (end / before.joules.mid for end in (before.joules.low, before.joules.high))
    assert f"known to × {low:.2f} to × {high:.2g}" in page("uncertainty")
    for after in (cached, shorter):
        ratio = compare(before, after).ratio
        assert f"× {ratio.mid:.2f} ({ratio.low:.2f} to {ratio.high:.2f})" in page("uncertainty")


def test_the_worked_example_of_speculative_decoding():
    text, draft = page("energy"), Speculation(draft_tokens=4, acceptance=0.7, draft_cost=0.1)
    assert f"= {draft.tokens_per_step:.2f} tokens a step" in text
    for batch in (64, 1):
        drafted, plain = (
            estimate(
                CONVERSATION,
                "llama-3.1-8b-instruct",
                deployment=Deployment(gpu="H100", n_gpus=1, batch=batch, speculation=speculation),
            ).gpu_joules.mid
            for speculation in (draft, None)
        )
        place = "on the GPU" if batch == 64 else ""
        assert f"{with_prefix(drafted, 'J')} in the place of {with_prefix(plain, 'J')} {place}".strip() in text


def test_the_worked_example_of_a_training():
    grams, basis = training_share("llama-3.1-405b-instruct", 3000, 1e15)
    assert basis.startswith("11390 t")
    assert f"11 390 t (Llama 3.1, all three sizes) · 3 000 tokens / 10¹⁵ tokens = {with_prefix(grams, 'g')}" in page(
        "carbon"
    )


def test_the_figures_of_carbon():
    text = page("carbon")
    assert f"{embodied_grams_per_gpu_second(find_gpu('H100')):.4f} g per GPU-second" in text
    assert f"{grid('WOR').grams_per_kwh:.1f} g/kWh" in text
    assert f"{overheads('gemini').market_grams_per_kwh:g} g/kWh" in text
    assert overheads("gemini").market_grams_per_kwh == pytest.approx(0.023 / 0.24 * 1000, abs=0.05)
    made = example()
    for value, unit in ((made.grams_co2e, "g"), (made.embodied_grams_co2e, "g"), (made.liters, "L")):
        assert with_prefix(value.mid, unit) in text


def test_the_invoice_on_the_page_of_dollars():
    units = {"cache_write_1h_tokens": 20_000, "web_searches": 3}
    made = estimate(
        Usage(
            input_tokens=250_000,
            cached_input_tokens=180_000,
            cache_write_tokens=50_000,
            output_tokens=4_000,
            units=units,
        ),
        "claude-sonnet-4-5",
        provider="anthropic",
    )
    by_hand = 20_000 * 6 + 180_000 * Decimal("0.6") + 30_000 * Decimal("7.5") + 20_000 * 12 + 4_000 * Decimal("22.5")
    assert f"{by_hand:,.0f} µ$".replace(",", " ") in page("dollars")
    assert made.cost_usd == by_hand / 1_000_000 + 3 * Decimal("0.01")
    assert f"{made.cost_usd.normalize():f} $" in page("dollars")
