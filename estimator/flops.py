"""FLOPs of a request: prefill, decode, and what a cached prefix avoided."""

from __future__ import annotations

from dataclasses import dataclass

from estimator.models import Architecture


@dataclass(frozen=True, slots=True)
class Flops:
    """Floating-point operations of one request; ``avoided`` is the prefill a cache hit spared."""

    prefill: float
    decode: float
    avoided: float

    @property
    def total(self) -> float:
        """What was computed: prefill and decode."""
        return self.prefill + self.decode


def flops(shape: Architecture, n_in: int, n_cached: int, n_out: int) -> Flops:
    """Count ``2·P_active`` per token plus causal attention over the layers' own windows.

    Prefill: ``2·P·(n − c) + 2·h·d_h·(L_full + L_win)·(n² − c²)``; decode: ``n_out·(2·P + 4·h·d_h·att)``
    with ``att = L_full·ctx + L_win·min(ctx, w)`` at the mean context ``n + n_out/2``.
    """
    width = shape.heads * shape.head_dim
    attending = shape.full_layers + shape.window_layers
    parameters = 2 * shape.active_params
    prefill = parameters * (n_in - n_cached) + 2 * width * attending * (n_in * n_in - n_cached * n_cached)
    context = n_in + n_out / 2
    attended = shape.full_layers * context + shape.window_layers * min(context, shape.window)
    decode = n_out * (parameters + 4 * width * attended)
    return Flops(prefill, decode, parameters * n_cached)
