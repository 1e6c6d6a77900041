"""FLOPs of a request, by phase and by part of the network; the parts sum to the whole."""

from __future__ import annotations

from typing import NamedTuple

from estimator.models import Architecture


class Flops(NamedTuple):
    """Floating-point operations of one request; ``avoided`` is the prefill a cache hit spared."""

    prefill: float
    decode: float
    avoided: float

    @property
    def total(self) -> float:
        """What was computed: prefill and decode."""
        return self.prefill + self.decode


class Part(NamedTuple):
    """One part of the forward pass; ``share`` is of all the FLOPs computed."""

    name: str
    formula: str  # per token, or per pair of tokens for attention
    prefill: float
    decode: float
    avoided: float
    share: float


def flops(shape: Architecture, n_in: int, n_cached: int, n_out: int) -> Flops:
    """Count ``2·P_active`` per token plus causal attention over each layer's own window.

    Prefill: ``2·P·(n − c) + 2·h·d_h·(S(n) − S(c))`` with ``S(n) = L_full·n² + L_win·(n² or 2·n·w − w²)``, since
    token i sees i others, or w; decode: ``n_out·(2·P + 4·h·d_h·att)`` with ``att = L_full·ctx + L_win·min(ctx, w)``
    at the mean context ``n + n_out/2``.
    """
    parameters = 2 * shape.active_params
    before, during, spared = _attention(shape, n_in, n_cached, n_out)
    return Flops(
        parameters * (n_in - n_cached) + before,
        n_out * parameters + during,
        parameters * n_cached + spared,
    )


def breakdown(shape: Architecture, n_in: int, n_cached: int, n_out: int) -> tuple[Part, ...]:
    """Split :func:`flops` into embedding, QKV, attention, output projection, FFN, norm and unembedding.

    Projections follow from the shape (grouped-query attention narrows K and V; latent attention goes through
    DeepSeek's ranks); the FFN, experts and whatever else holds parameters is what ``2·P_active`` leaves, so
    that the parts sum to the whole. A table of embeddings is looked up, yet ``2·P`` counts it where it is not
    shared with the unembedding.
    """
    width, hidden = shape.heads * shape.head_dim, shape.hidden or shape.heads * shape.head_dim
    attending = shape.full_layers + shape.window_layers
    if shape.query_rank:
        qkv = hidden * (shape.query_rank + shape.kv_elements) + 1.0 * shape.query_rank * width
        qkv_formula = "2·L·(low-rank Q; one K and V for all heads)"
    elif shape.latent_attention:
        latent, query = 8 / 9 * shape.kv_elements, 8 / 3 * shape.kv_elements
        qkv = hidden * (query + shape.kv_elements) + query * width * 1.5 + latent * 2 * width
        qkv_formula = "2·L·(low-rank Q, K and V)"
    else:
        qkv = hidden * (width + 2.0 * shape.kv_heads * shape.head_dim)
        qkv_formula = "2·L·d·(h + 2·h_kv)·d_h"
    weights = {
        "QKV projections": attending * qkv,
        "output projection": attending * (shape.output_params or float(width * hidden)),
        "norm": (2 * shape.layers + 1.0) * hidden,
        "unembedding": float((shape.vocab or 0) * hidden),
    }
    table = weights["unembedding"]
    rest = shape.active_params - sum(weights.values())
    known_ffn = 3.0 * shape.layers * hidden * (shape.ffn or 0) * max(1, shape.experts_active)
    weights["embedding"] = table if table and shape.ffn and rest - known_ffn > table / 2 else 0.0
    weights["FFN"] = rest - weights["embedding"]
    if weights["FFN"] < 0:  # a shape that does not fit its parameter count: shrink all alike
        scale = shape.active_params / (shape.active_params - weights["FFN"])
        weights = {name: scale * value for name, value in weights.items() if name != "FFN"} | {"FFN": 0.0}

    counted = {
        name: (2 * value * (n_in - n_cached), 2 * value * n_out, 2 * value * n_cached)
        for name, value in weights.items()
    }
    counted["attention"] = _attention(shape, n_in, n_cached, n_out)
    total = sum(prefill + decode for prefill, decode, _ in counted.values())
    formulas = {
        "embedding": "2·d·vocabulary, as 2·P counts it; a lookup",
        "QKV projections": qkv_formula,
        "attention": "4·h·d_h per pair of tokens and layer, causal, within the layer's window",
        "output projection": "2·L·(grouped, low-rank)" if shape.output_params else "2·L·h·d_h·d",
        "FFN": f"the rest of 2·P{f', {shape.experts_active} of {shape.experts} experts' if shape.experts else ''}",
        "norm": "2·(2·L + 1)·d",
        "unembedding": "2·d·vocabulary",
    }
    return tuple(
        Part(
            name=name,
            formula=formula,
            prefill=counted[name][0],
            decode=counted[name][1],
            avoided=counted[name][2],
            share=(counted[name][0] + counted[name][1]) / total if total else 0.0,
        )
        for name, formula in formulas.items()
    )


def _attention(shape: Architecture, n_in: float, n_cached: float, n_out: float) -> tuple[float, float, float]:
    """Return attention's FLOPs in prefill and decode, and what the cached prefix spared."""
    width = shape.heads * shape.head_dim
    context = n_in + n_out / 2
    attended = shape.full_layers * context + shape.window_layers * min(context, shape.window)
    spared = 2.0 * width * pairs(shape, n_cached)
    return 2.0 * width * pairs(shape, n_in) - spared, 4.0 * width * attended * n_out, spared


def pairs(shape: Architecture, tokens: float) -> float:
    """Return twice the pairs of tokens that causal attention looks at, summed over the layers."""
    square = tokens * tokens
    windowed = 2 * tokens * shape.window - shape.window**2 if tokens > shape.window else square
    return shape.full_layers * square + shape.window_layers * windowed
