"""FLOPs: parts sum to the whole, each part is what its formula says, a cached prefix is not computed."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from estimator import resolve
from estimator.deployments import find_gpu, find_precision
from estimator.energy import Roofline
from estimator.flops import breakdown, flops
from estimator.models import surrogate

MODELS = (
    "llama-3.1-8b-instruct",
    "llama-3.1-405b-instruct",
    "gpt-oss-120b",
    "gemma-3-27b-it",
    "deepseek-v3.1",
    "nemotron-nano-9b-v2",
    "qwen3-235b-a22b-instruct-2507",
)
SHAPES = {name: resolve(name).architecture for name in MODELS}
SHAPES["guessed"] = surrogate(440e9, 80e9, "moe")
names = st.sampled_from(sorted(SHAPES))
tokens = st.integers(0, 200_000)


@settings(deadline=None)
@given(names, tokens, tokens, tokens)
def test_the_parts_sum_to_the_whole(name, n_in, n_cached, n_out):
    assume(n_cached <= n_in)
    parts, whole = breakdown(SHAPES[name], n_in, n_cached, n_out), flops(SHAPES[name], n_in, n_cached, n_out)
    assert sum(part.prefill for part in parts) == pytest.approx(whole.prefill, rel=1e-9, abs=1)
    assert sum(part.decode for part in parts) == pytest.approx(whole.decode, rel=1e-9, abs=1)
    assert sum(part.avoided for part in parts) == pytest.approx(whole.avoided, rel=1e-9, abs=1)
    assert all(part.prefill >= 0 and part.decode >= 0 and part.avoided >= 0 for part in parts)
    if whole.total:
        assert sum(part.share for part in parts) == pytest.approx(1)


@settings(deadline=None)
@given(names, tokens, tokens, tokens)
def test_what_is_computed_and_what_is_spared_is_the_uncached_request(name, n_in, n_cached, n_out):
    assume(n_cached <= n_in)
    cached, plain = flops(SHAPES[name], n_in, n_cached, n_out), flops(SHAPES[name], n_in, 0, n_out)
    assert cached.total + cached.avoided == pytest.approx(plain.total, rel=1e-9)


@settings(deadline=None)
@given(names, tokens, tokens)
def test_the_energy_model_counts_the_same_prefill(name, n_in, n_cached):
    assume(n_cached <= n_in)
    plant = Roofline(SHAPES[name], find_gpu("H100"), 8, find_precision("bfloat16"), 64)
    assert plant.prefill_flops(n_in, n_cached) == pytest.approx(
        flops(SHAPES[name], n_in, n_cached, 0).prefill, rel=1e-9
    )


def test_llama_8b_by_hand():
    parts = {part.name: part for part in breakdown(SHAPES["llama-3.1-8b-instruct"], 2000, 0, 1000)}
    assert parts["QKV projections"].decode == 1000 * 2 * 32 * 4096 * (32 + 2 * 8) * 128
    assert parts["output projection"].decode == 1000 * 2 * 32 * 4096 * 4096
    assert parts["attention"].decode == 1000 * 4 * 4096 * 32 * 2500
    assert parts["attention"].prefill == 2 * 4096 * 32 * 2000**2
    assert parts["unembedding"].decode == 1000 * 2 * 4096 * 128256
    assert parts["embedding"].decode == parts["unembedding"].decode
    assert parts["FFN"].decode == pytest.approx(1000 * 2 * 3 * 32 * 4096 * 14336, rel=0.01)


def test_grouped_queries_narrow_the_projections():
    parts = {part.name: part.decode for part in breakdown(SHAPES["llama-3.1-8b-instruct"], 0, 0, 1)}
    assert parts["QKV projections"] / parts["output projection"] == pytest.approx(1 + 2 * 8 / 32)


def test_a_sliding_window_bounds_attention():
    shape = SHAPES["gemma-3-27b-it"]
    share = {n: {p.name: p.share for p in breakdown(shape, n, 0, 0)}["attention"] for n in (1_000, 100_000)}
    full = 2.0 * shape.heads * shape.head_dim * shape.layers * 100_000**2
    counted = {p.name: p.prefill for p in breakdown(shape, 100_000, 0, 0)}["attention"]
    assert share[1_000] < share[100_000]
    assert counted < 0.3 * full


def test_only_active_experts_are_counted():
    shape = SHAPES["gpt-oss-120b"]
    parts = {part.name: part.decode for part in breakdown(shape, 0, 0, 1)}
    assert parts["FFN"] < 2 * shape.active_params < 0.1 * 2 * shape.total_params
