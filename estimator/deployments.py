"""Where a model runs: accelerators, precision, batch, and what stands around them; defaults are stated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from estimator.errors import DeploymentError, UnknownGpuError
from estimator.facts import read_toml

WEIGHT_BYTES: Final = {"bfloat16": 2.0, "fp8": 1.0, "mxfp4": 4.25 / 8}
_PRECISIONS: Final = {"bf16": "bfloat16", "fp16": "bfloat16", "float16": "bfloat16", "int8": "fp8"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gpu:
    """One accelerator by its data sheet: dense peaks in FLOP/s, byte/s, W, byte."""

    name: str
    bf16_flops: float
    fp8_flops: float | None
    bandwidth: float
    tdp_w: float
    memory: float
    embodied_kg: float
    energy_factor: float = 1.0
    band: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What is known of the machine that answered; ``None`` is filled with a stated assumption.

    ``batch`` is the mean number of sequences decoded together; ``host_share`` the host's watts per
    GPU as a share of the GPU's TDP; ``reserve`` the factor for idle machines kept ready; ``stack``
    is ``current`` or ``vllm-2024`` (versions 0.4 and 0.5, with four times the overheads).
    """

    gpu: str | None = None
    n_gpus: int | None = None
    precision: str | None = None
    batch: float | None = None
    tensor_parallel: int | None = None
    host_share: float | None = None
    reserve: float | None = None
    pue: float | None = None
    market_grams_per_kwh: float | None = None  # of the operator's electricity contracts
    stack: str = "current"

    def __post_init__(self) -> None:
        if self.n_gpus is not None and self.n_gpus < 1:
            msg = f"a deployment needs at least one GPU, not {self.n_gpus}"
            raise DeploymentError(msg)
        if self.batch is not None and not self.batch >= 1:
            msg = f"the batch is a mean number of sequences, at least 1, not {self.batch}"
            raise DeploymentError(msg)
        if self.pue is not None and not self.pue >= 1:
            msg = f"PUE is total over IT energy, at least 1, not {self.pue}"
            raise DeploymentError(msg)
        if self.stack not in {"current", "vllm-2024"}:
            msg = f"the stack is 'current' or 'vllm-2024', not {self.stack!r}"
            raise DeploymentError(msg)

    @property
    def known(self) -> bool:
        """Whether accelerator, count and batch are all given, which the narrow band asks for."""
        return self.gpu is not None and self.n_gpus is not None and self.batch is not None


@cache
def constants() -> dict[str, Any]:
    """Return the roofline's constants, bands, defaults and priors."""
    return read_toml("roofline.toml")


@cache
def _gpus() -> dict[str, Gpu]:
    table: dict[str, Gpu] = {}
    for name, row in read_toml("hardware.toml").items():
        gpu = Gpu(
            name=name,
            bf16_flops=row["bf16_flops"],
            fp8_flops=row.get("fp8_flops"),
            bandwidth=row["bandwidth"],
            tdp_w=row["tdp_w"],
            memory=row["memory"],
            embodied_kg=row["embodied_kg"],
            energy_factor=row.get("energy_factor", 1.0),
            band=tuple(row.get("band", (1.0, 1.0))),
        )
        for key in (name.lower(), *row.get("aliases", ())):
            table[key] = gpu
    return table


def find_gpu(name: str) -> Gpu:
    """Return an accelerator by name or short name.

    Raises:
        UnknownGpuError: the hardware table has none of that name.

    """
    gpu = _gpus().get(name.lower())
    if gpu is None:
        known = ", ".join(sorted({entry.name for entry in _gpus().values()}))
        msg = f"no accelerator is called {name!r}; known: {known}"
        raise UnknownGpuError(msg)
    return gpu


def find_precision(name: str) -> str:
    """Return the canonical name of a weight format.

    Raises:
        DeploymentError: the format is none that the energy model knows.

    """
    precision = _PRECISIONS.get(name.lower(), name.lower())
    if precision not in WEIGHT_BYTES:
        msg = f"precision {name!r} is not known; use one of {', '.join(WEIGHT_BYTES)}"
        raise DeploymentError(msg)
    return precision


def gpus_needed(total_params: float, precision: str, gpu: Gpu) -> int:
    """Return the smallest power of two of devices whose memory holds the weights with headroom."""
    headroom: float = constants()["defaults"]["memory_headroom"]
    devices = math.ceil(headroom * total_params * WEIGHT_BYTES[precision] / gpu.memory)
    return 1 << (max(1, devices) - 1).bit_length()
