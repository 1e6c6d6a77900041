"""The roofline: joules of one request from the model's shape, the GPU's data sheet and the batch.

A decode step reads the weights once for the whole batch and every sequence's KV cache; it takes as
long as memory and arithmetic need, plus overheads per layer and per sequence. Energy is a share of
the TDP for the time, plus shares for arithmetic and traffic, capped by the TDP itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from functools import lru_cache
from typing import NamedTuple

from estimator.deployments import Gpu, Precision, Speculation
from estimator.fits import Fit, constants, find_fit
from estimator.models import Architecture
from estimator.novelty import traits, widening
from estimator.ranges import Band, combined


class Draw(NamedTuple):
    """GPU energy of one request: joules and seconds are of all GPUs of the replica together."""

    gpu_joules: float
    gpu_seconds: float
    batch: float  # after the memory limit
    prefill_joules: float  # of these joules and seconds, those of the prompt
    prefill_seconds: float


class Step(NamedTuple):
    """One decode step of the whole batch: bytes, FLOPs and seconds of each part, for showing."""

    weight_bytes: float
    kv_bytes: float  # of one sequence
    flops: float  # of one output token
    memory_s: float
    arithmetic_s: float
    kv_s: float
    overhead_s: float
    step_s: float
    prefill_s: float
    # joules of all the request's output tokens, its prefill spread over them, before the cap and the cap itself
    floor_j: float
    overhead_j: float
    arithmetic_j: float
    traffic_j: float
    limit_j: float


@lru_cache(maxsize=256)
def _band(formula: Band, unseen: tuple[str, ...]) -> Band:
    return combined(formula, widening(unseen))


class Roofline:
    """One model on one deployment with every constant of its formula worked out beforehand.

    ``fits`` says whether the weights fit the memory of the devices, ``unseen`` what no measured row is like.
    """

    __slots__ = (
        "_active2",
        "_arith",
        "_arith_s",
        "_attention",
        "_batch",
        "_cap",
        "_draft",
        "_expert_bytes",
        "_expert_share",
        "_factor",
        "_free",
        "_full",
        "_kv2",
        "_kv_free",
        "_kv_s",
        "_layers",
        "_overhead_power",
        "_power",
        "_prefill_windowed",
        "_s_power",
        "_seq_s",
        "_smooth",
        "_state",
        "_step_s",
        "_tokens_per_step",
        "_traffic",
        "_verified",
        "_weight_bytes",
        "_weight_s",
        "_window",
        "_windowed",
        "band",
        "fit",
        "fits",
        "gpu",
        "n_gpus",
        "precision",
        "speculation",
        "unseen",
    )

    def __init__(
        self,
        shape: Architecture,
        gpu: Gpu,
        n_gpus: int,
        precision: Precision,
        batch: float,
        *,
        tensor_parallel: int | None = None,
        kv_bytes: float = 2.0,
        speculation: Speculation | None = None,
        stack: str = "current",
        memory_limit: bool = True,
        fit: Fit | None = None,
    ) -> None:
        k = fit or find_fit()
        self.gpu, self.n_gpus, self.precision, self.speculation, self.fit = gpu, n_gpus, precision, speculation, k
        moe = shape.experts > 0 and shape.experts_active < shape.experts
        share = shape.experts_active / shape.experts if moe else 1.0
        expert_params = (shape.total_params - shape.active_params) / (1 - share) if moe else 0.0
        expert_params = min(expert_params, shape.total_params)
        efficiency = k.moe_efficiency if moe else 1.0
        peak = gpu.fp8_flops if precision.eight_bit and gpu.fp8_flops else gpu.bf16_flops
        ranks = tensor_parallel or n_gpus
        copies = float(ranks) if shape.latent_attention else max(1.0, ranks / shape.kv_heads)
        old = stack == "vllm-2024"
        overhead = k.omega_2024 if old else 1.0
        per_layer = k.tau_layer_s * (k.fp8_overhead if precision.eight_bit else 1.0)
        if n_gpus > 1:
            per_layer += k.tau_comm_s

        self._batch = max(1.0, float(batch))  # a step decodes at least one sequence
        self._weight_bytes = (shape.total_params - expert_params) * precision.dense_bytes
        self._expert_bytes = expert_params * precision.expert_bytes
        if not moe:
            self._weight_bytes = shape.total_params * precision.expert_bytes
        self._expert_share = 1 - share
        self._active2 = 2 * shape.active_params
        self._layers = shape.full_layers + shape.window_layers
        self._attention = 2.0 * shape.heads * shape.head_dim
        self._full, self._windowed, self._window = shape.full_layers, shape.window_layers, shape.window
        self._prefill_windowed = k.windowed_prefill and shape.window_layers > 0
        self._kv2 = kv_bytes * shape.kv_elements * copies
        self._state = shape.state_bytes
        memory = constants()["defaults"]["memory_share"] * n_gpus * gpu.memory
        free = memory - self._weight_bytes - self._expert_bytes
        self.fits = free > 0
        self._free = free
        self._kv_free = free if memory_limit else math.inf
        bandwidth = n_gpus * k.reached(gpu.bandwidth)
        self._weight_s = 1 / (bandwidth * efficiency)
        self._kv_s = 1 / bandwidth
        self._arith_s = 1 / (n_gpus * peak * k.eta_comp * efficiency)
        self._smooth = k.smooth_roof
        self._step_s = shape.layers * per_layer * overhead
        self._seq_s = (k.tau_seq_s + k.tau_seq_layer_s * shape.layers) * overhead
        self._power = n_gpus * gpu.tdp_w
        self._s_power = k.s * self._power
        self._overhead_power = ((k.s_overhead_2024 if old else k.s_overhead) - k.s) * self._power
        self._arith = k.phi * gpu.tdp_w / peak
        self._traffic = k.beta_of.get(gpu.name, k.beta) * gpu.tdp_w / gpu.bandwidth
        self._cap = k.cap
        self._factor = k.energy_factor.get(gpu.vendor, 1.0)
        self.unseen = traits(shape, gpu, precision, batch)
        self.band = _band(k.band(sparse=moe or precision.bits < 16), self.unseen)
        self._verified = float(speculation.draft_tokens + 1) if speculation else 1.0
        self._tokens_per_step = speculation.tokens_per_step if speculation else 1.0
        self._draft = speculation.draft_tokens * speculation.draft_cost if speculation else 0.0

    def draw(self, n_in: float, n_cached: float, n_out: float, cv2: float = 0.0) -> Draw:
        """Return joules and GPU-seconds of a request; ``cv2`` is the output length's squared variation.

        Cached tokens skip their prefill, yet their KV is read in decode.
        """
        prefill = self.prefill_flops(n_in, n_cached)
        if n_out <= 0:
            seconds = prefill * self._arith_s
            joules = self._s_power * seconds + self._arith * prefill
            return self._capped(joules, seconds, 1.0, self._batch, joules, seconds)
        batch = self._limited(n_in + n_out)
        attended = self._attended(n_in + n_out * (1 + cv2) / 2)
        kv = self._kv2 * attended + self._state
        flops = self._active2 + 2 * self._attention * attended
        seconds, joules = self._decode(batch, kv, flops, 1.0)
        if self.speculation is not None:
            # The draft's share follows a plain step; a verifying step checks all proposed tokens at once.
            verify_s, verify_j = self._decode(batch, kv, flops, self._verified)
            seconds = (verify_s + self._draft * seconds) / self._tokens_per_step
            joules = (verify_j + self._draft * joules) / self._tokens_per_step
        before = prefill * self._arith_s / n_out
        part = self._s_power * before + self._arith * prefill / n_out
        return self._capped(joules + part, seconds + before, n_out, batch, part, before)

    @property
    def batch(self) -> float:
        """Sequences decoded together, before the memory limit."""
        return self._batch

    def crowding(self, context: float) -> float:
        """Return how many times the KV caches of the batch, of ``context`` tokens each, fill what the weights leave."""
        return self._batch * self._kv2 * self._attended(context) / self._free if self._free > 0 else math.inf

    def at_batch(self, batch: float) -> Roofline:
        """Return the same replica with another batch."""
        other = copy(self)
        other._batch = float(batch)
        return other

    def _decode(self, batch: float, kv: float, flops: float, tokens: float) -> tuple[float, float]:
        """Return seconds and joules, for each sequence, of one step over ``tokens`` positions of each."""
        weights = self._weight_bytes
        if self._expert_bytes:
            weights += self._expert_bytes * (1 - self._expert_share ** (batch * tokens))
        memory, arithmetic = weights * self._weight_s, batch * tokens * flops * self._arith_s
        roof = math.hypot(memory, arithmetic) if self._smooth else max(memory, arithmetic)
        overhead = self._step_s / batch + self._seq_s
        seconds = roof / batch + kv * self._kv_s + overhead
        joules = (
            self._s_power * seconds
            + self._overhead_power * overhead
            + self._arith * flops * tokens
            + self._traffic * (weights / batch + kv)
        )
        return seconds, joules

    def _limited(self, held: float) -> float:
        """Return the batch whose KV caches of ``held`` tokens each fit beside the weights, at least 1."""
        cache = self._kv2 * self._attended(held)
        if cache > 0 and self._batch * cache > self._kv_free:
            return max(1.0, self._kv_free / cache)
        return self._batch

    def _attended(self, context: float) -> float:
        """Return context tokens summed over the layers that attend, windows respected."""
        if self._windowed:
            return self._full * context + self._windowed * min(context, self._window)
        return self._full * context

    def _capped(self, joules: float, seconds: float, tokens: float, batch: float, part: float, before: float) -> Draw:
        """Cap smoothly at the TDP: a GPU cannot draw more for the time it takes; the prefill's part alike."""
        limit = self._power * seconds
        if joules <= 0 or limit <= 0:
            return Draw(0.0, 0.0, batch, 0.0, 0.0)
        capped = (1 + (joules / limit) ** self._cap) ** (-1 / self._cap)
        # A device that takes more energy than these constants say takes it by taking longer: its TDP is a limit too.
        tokens *= self._factor
        return Draw(
            joules * capped * tokens,
            self.n_gpus * seconds * tokens,
            batch,
            part * capped * tokens,
            self.n_gpus * before * tokens,
        )

    def drawing(self) -> Callable[[float, float, float], tuple[float, float, float, float]]:
        """Return :meth:`draw` for many requests: its joules and seconds, the same to the digit, at half the time.

        What a request does not change is worked out once; what is left is in the order of the methods it stands for.
        """
        if self.speculation is not None:

            def plain(n_in: float, n_cached: float, n_out: float) -> tuple[float, float, float, float]:
                joules, seconds, _, part, before = self.draw(n_in, n_cached, n_out)
                return joules, seconds, part, before

            return plain
        layers, active2, attention, attention2 = self._layers, self._active2, self._attention, 2 * self._attention
        full, windowed, window, prefill_windowed = self._full, self._windowed, self._window, self._prefill_windowed
        kv2, state, kv_free, full_batch, smooth = self._kv2, self._state, self._kv_free, self._batch, self._smooth
        dense, experts, expert_share = self._weight_bytes, self._expert_bytes, self._expert_share
        weight_s, arith_s, kv_s, step_s, seq_s = self._weight_s, self._arith_s, self._kv_s, self._step_s, self._seq_s
        s_power, overhead_power, arith, traffic = self._s_power, self._overhead_power, self._arith, self._traffic
        power, cap, uncap, factor, n_gpus = self._power, self._cap, -1 / self._cap, self._factor, self.n_gpus
        hypot = math.hypot

        def of_batch(batch: float) -> tuple[float, float, float, float]:
            weights = dense
            if experts:
                weights += experts * (1 - expert_share**batch)
            return batch, weights * weight_s, weights / batch, step_s / batch + seq_s

        usual = of_batch(full_batch)

        def draw(n_in: float, n_cached: float, n_out: float) -> tuple[float, float, float, float]:
            pairs = layers * (n_in * n_in - n_cached * n_cached)
            if prefill_windowed and n_in > window:
                beyond = n_in - window
                pairs -= windowed * (beyond * beyond)
                if n_cached > window:
                    beyond = n_cached - window
                    pairs += windowed * (beyond * beyond)
            prefill = active2 * (n_in - n_cached) + attention * pairs
            if n_out <= 0:
                before = seconds = prefill * arith_s
                part = joules = s_power * seconds + arith * prefill
                tokens = 1.0
            else:
                held, context = n_in + n_out, n_in + n_out / 2
                if windowed:
                    cache = kv2 * (full * held + windowed * min(held, window))
                    attended = full * context + windowed * min(context, window)
                else:
                    cache, attended = kv2 * (full * held), full * context
                if cache > 0 and full_batch * cache > kv_free:
                    batch, memory, each_weights, overhead = of_batch(max(1.0, kv_free / cache))
                else:
                    batch, memory, each_weights, overhead = usual
                kv = kv2 * attended + state
                flops = active2 + attention2 * attended
                arithmetic = batch * flops * arith_s
                roof = hypot(memory, arithmetic) if smooth else max(memory, arithmetic)
                seconds = roof / batch + kv * kv_s + overhead
                joules = s_power * seconds + overhead_power * overhead + arith * flops + traffic * (each_weights + kv)
                before = prefill * arith_s / n_out
                part = s_power * before + arith * prefill / n_out
                seconds += before
                joules += part
                tokens = n_out
            limit = power * seconds
            if joules <= 0 or limit <= 0:
                return 0.0, 0.0, 0.0, 0.0
            tokens *= factor
            capped = (1 + (joules / limit) ** cap) ** uncap
            return joules * capped * tokens, n_gpus * seconds * tokens, part * capped * tokens, n_gpus * before * tokens

        return draw

    def prefill_flops(self, n_in: float, n_cached: float) -> float:
        """Return the FLOPs of reading the prompt: causal attention, the cached prefix left out."""
        pairs = self._layers * (n_in * n_in - n_cached * n_cached)
        if self._prefill_windowed and n_in > self._window:
            beyond = n_in - self._window
            pairs -= self._windowed * (beyond * beyond)
            if n_cached > self._window:
                beyond = n_cached - self._window
                pairs += self._windowed * (beyond * beyond)
        return self._active2 * (n_in - n_cached) + self._attention * pairs

    def step(self, n_in: float, n_cached: float, n_out: float) -> Step:
        """Return the parts of one plain decode step at the request's mean context."""
        batch = self._limited(n_in + n_out)
        attended = self._attended(n_in + n_out / 2)
        kv = self._kv2 * attended + self._state
        flops = self._active2 + 2 * self._attention * attended
        weights = self._weight_bytes + self._expert_bytes * (1 - self._expert_share**batch)
        prefill = self.prefill_flops(n_in, n_cached)
        overhead = self._step_s / batch + self._seq_s
        seconds = n_out * self._decode(batch, kv, flops, 1.0)[0] + prefill * self._arith_s
        return Step(
            weight_bytes=weights,
            kv_bytes=kv,
            flops=flops,
            memory_s=weights * self._weight_s,
            arithmetic_s=batch * flops * self._arith_s,
            kv_s=batch * kv * self._kv_s,
            overhead_s=self._step_s + self._seq_s * batch,
            step_s=batch * self._decode(batch, kv, flops, 1.0)[0],
            prefill_s=prefill * self._arith_s,
            floor_j=self._s_power * seconds,
            overhead_j=n_out * self._overhead_power * overhead,
            arithmetic_j=self._arith * (n_out * flops + prefill),
            traffic_j=n_out * self._traffic * (weights / batch + kv),
            limit_j=self._power * seconds,
        )
