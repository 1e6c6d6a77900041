"""The roofline: joules of one request from the model's shape, the GPU's data sheet and the batch.

A decode step reads the weights once for the whole batch and every sequence's KV cache; it takes as
long as the slower of memory and arithmetic, plus overheads per layer and per sequence. Energy is a
share of the TDP for the time, plus shares for arithmetic and traffic, capped by the TDP itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from estimator.deployments import WEIGHT_BYTES, Gpu, constants
from estimator.models import Architecture


@dataclass(frozen=True, slots=True)
class Draw:
    """GPU energy of one request: joules and seconds are of all GPUs of the replica together."""

    gpu_joules: float
    gpu_seconds: float
    batch: float  # after the memory limit


class Roofline:
    """One model on one deployment with every constant of its formula worked out beforehand."""

    __slots__ = (
        "_active2",
        "_arith",
        "_arith_s",
        "_attention",
        "_batch",
        "_expert_bytes",
        "_expert_share",
        "_factor",
        "_full",
        "_kv2",
        "_kv_free",
        "_kv_s",
        "_layers",
        "_power",
        "_s_power",
        "_seq_s",
        "_state",
        "_step_s",
        "_traffic",
        "_weight_bytes",
        "_weight_s",
        "_window",
        "_windowed",
        "gpu",
        "n_gpus",
        "precision",
    )

    def __init__(
        self,
        shape: Architecture,
        gpu: Gpu,
        n_gpus: int,
        precision: str,
        batch: float,
        *,
        tensor_parallel: int | None = None,
        stack: str = "current",
        memory_limit: bool = True,
    ) -> None:
        k = constants()["constants"]
        self.gpu, self.n_gpus, self.precision = gpu, n_gpus, precision
        moe = shape.experts > 0 and shape.experts_active < shape.experts
        share = shape.experts_active / shape.experts if moe else 1.0
        expert_params = (shape.total_params - shape.active_params) / (1 - share) if moe else 0.0
        bytes_expert = WEIGHT_BYTES[precision]
        bytes_dense = 2.0 if precision == "mxfp4" else bytes_expert
        efficiency = k["moe_efficiency"] if moe else 1.0
        peak = gpu.fp8_flops if precision == "fp8" and gpu.fp8_flops else gpu.bf16_flops
        ranks = tensor_parallel or n_gpus
        copies = float(n_gpus) if shape.latent_attention else max(1.0, ranks / shape.kv_heads)
        overhead = k["omega_2024"] if stack == "vllm-2024" else 1.0
        per_layer = k["tau_layer_s"] * (k["fp8_overhead"] if precision == "fp8" else 1.0)
        if n_gpus > 1:
            per_layer += k["tau_comm_s"]

        self._batch = float(batch)
        self._weight_bytes = (shape.total_params - expert_params) * bytes_dense
        self._expert_bytes = expert_params * bytes_expert
        self._expert_share = 1 - share
        self._active2 = 2 * shape.active_params
        self._layers = shape.full_layers + shape.window_layers
        self._attention = 2.0 * shape.heads * shape.head_dim
        self._full, self._windowed, self._window = shape.full_layers, shape.window_layers, shape.window
        self._kv2 = 2 * shape.kv_elements * copies
        self._state = shape.state_bytes
        memory = constants()["defaults"]["memory_share"] * n_gpus * gpu.memory
        self._kv_free = memory - self._weight_bytes - self._expert_bytes if memory_limit else math.inf
        self._weight_s = 1 / (n_gpus * gpu.bandwidth * k["eta_mem"] * efficiency)
        self._kv_s = 1 / (n_gpus * gpu.bandwidth * k["eta_mem"])
        self._arith_s = 1 / (n_gpus * peak * k["eta_comp"] * efficiency)
        self._step_s = shape.layers * per_layer * overhead
        self._seq_s = k["tau_seq_s"] * overhead
        self._power = n_gpus * gpu.tdp_w
        self._s_power = k["s"] * self._power
        self._arith = k["phi"] * gpu.tdp_w / peak
        self._traffic = k["beta"] * gpu.tdp_w / gpu.bandwidth
        self._factor = gpu.energy_factor

    def draw(self, n_in: float, n_cached: float, n_out: float, cv2: float = 0.0) -> Draw:
        """Return joules and GPU-seconds of a request; ``cv2`` is the output length's squared variation.

        Cached tokens skip their prefill, yet their KV is read in decode.
        """
        prefill = self.prefill_flops(n_in, n_cached)
        if n_out <= 0:
            seconds = prefill * self._arith_s
            joules = self._s_power * seconds + self._arith * prefill
            return self._capped(joules, seconds, 1.0, self._batch)
        windowed, window = self._windowed, self._window
        held = n_in + n_out
        cache = self._kv2 * (self._full * held + (windowed * min(held, window) if windowed else 0))
        batch = self._batch
        if cache > 0 and batch * cache > self._kv_free:
            batch = max(1.0, self._kv_free / cache)
        weights = self._weight_bytes
        if self._expert_bytes:
            weights += self._expert_bytes * (1 - self._expert_share**batch)
        context = n_in + n_out * (1 + cv2) / 2
        attended = self._full * context + (windowed * min(context, window) if windowed else 0)
        kv = self._kv2 * attended + self._state
        flops = self._active2 + 2 * self._attention * attended
        step = (
            max(weights * self._weight_s, batch * flops * self._arith_s)
            + batch * kv * self._kv_s
            + self._step_s
            + self._seq_s * batch
        )
        seconds = step / batch + prefill * self._arith_s / n_out
        joules = (
            self._s_power * seconds + self._arith * (flops + prefill / n_out) + self._traffic * (weights / batch + kv)
        )
        return self._capped(joules, seconds, n_out, batch)

    def _capped(self, joules: float, seconds: float, tokens: float, batch: float) -> Draw:
        """Cap smoothly at the TDP: a GPU cannot draw more for the time it takes."""
        limit = self._power * seconds
        if joules <= 0 or limit <= 0:
            return Draw(0.0, 0.0, batch)
        capped = joules * (1 + (joules / limit) ** 8) ** -0.125
        return Draw(capped * tokens * self._factor, self.n_gpus * seconds * tokens, batch)

    def prefill_flops(self, n_in: float, n_cached: float) -> float:
        """Return the FLOPs of reading the prompt: causal attention, the cached prefix left out."""
        pairs = n_in * n_in - n_cached * n_cached
        return self._active2 * (n_in - n_cached) + self._attention * self._layers * pairs
