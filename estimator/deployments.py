"""Where a model runs: accelerators, precision, batch, and what stands around them; defaults are stated."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final, NamedTuple

from estimator.errors import DeploymentError, UnknownGpuError
from estimator.facts import read_toml
from estimator.fits import constants
from estimator.ranges import Band

STACKS: Final = ("current", "vllm-2024")


class Gpu(NamedTuple):
    """One accelerator by its data sheet: dense peaks in FLOP/s, byte/s, W, byte."""

    name: str
    vendor: str
    bf16_flops: float
    fp8_flops: float | None
    bandwidth: float
    tdp_w: float
    memory: float
    embodied_kg: float
    tdp_assumed: bool = False

    @property
    def band(self) -> Band:
        """The multipliers that another vendor's silicon adds: the constants were measured on NVIDIA's."""
        if self.vendor == "nvidia":
            return (1.0, 1.0)
        low, high = constants()["bands"]["other_silicon"]
        return low, high


class Precision(NamedTuple):
    """How weights are kept and multiplied: bytes per expert weight and per other weight, 8-bit arithmetic or not."""

    name: str
    expert_bytes: float
    dense_bytes: float
    eight_bit: bool  # multiplies at the 8-bit peak, with those kernels' overhead
    bits: float


# 4-bit formats carry a scale for each group of weights; they are multiplied in 16 bits, as w8a16's are.
PRECISIONS: Final = {
    row.name: row
    for row in (
        Precision(name="bfloat16", expert_bytes=2.0, dense_bytes=2.0, eight_bit=False, bits=16.0),
        Precision(name="fp8", expert_bytes=1.0, dense_bytes=1.0, eight_bit=True, bits=8.0),
        Precision(name="int8", expert_bytes=1.0, dense_bytes=1.0, eight_bit=True, bits=8.0),
        Precision(name="w8a16", expert_bytes=1.0, dense_bytes=1.0, eight_bit=False, bits=8.0),
        Precision(name="mxfp4", expert_bytes=4.25 / 8, dense_bytes=2.0, eight_bit=False, bits=4.25),
        Precision(name="nvfp4", expert_bytes=4.5 / 8, dense_bytes=4.5 / 8, eight_bit=False, bits=4.5),
        Precision(name="int4", expert_bytes=4.25 / 8, dense_bytes=4.25 / 8, eight_bit=False, bits=4.25),
    )
}
_SPELT: Final = {
    "bfloat16": ("bf16", "fp16", "float16", "half", "auto", "16bit", "16-bit"),
    "fp8": (
        *("float8", "fp8-e4m3", "fp8-e4m3fn", "fp8-e5m2", "float8-e4m3fn", "float8-e5m2", "e4m3"),
        *("fp8-block", "fp8-dynamic", "w8a8-fp8"),
    ),
    "int8": ("w8a8", "w8a8-int8", "int8-w8a8", "smoothquant"),
    "w8a16": ("int8-w8a16", "gptq-int8", "gptq-8bit", "bnb-8bit", "bitsandbytes-8bit", "q8", "q8-0"),
    "nvfp4": ("fp4",),
    "int4": (
        *("awq", "awq-int4", "awq-4bit", "int4-awq", "gptq", "gptq-int4", "gptq-4bit", "w4a16", "4bit", "4-bit"),
        *("nf4", "bnb-4bit", "bnb-nf4", "bitsandbytes-4bit", "q4", "q4-0", "q4-k-m", "q4-k-s", "iq4-xs"),
    ),
}
_PRECISION_NAMES: Final = {spelt: name for name, spellings in _SPELT.items() for spelt in spellings}


@dataclass(frozen=True, slots=True, kw_only=True)
class Speculation:
    """Speculative decoding: a draft proposes tokens, one step of the model verifies them all.

    ``acceptance`` is the chance that a proposed token is kept; ``draft_cost`` what proposing one costs
    against a plain decode step of the model. Leviathan et al. 2023 (arXiv 2211.17192).
    """

    draft_tokens: int
    acceptance: float
    draft_cost: float

    def __post_init__(self) -> None:
        if not (1 <= self.draft_tokens <= 64 and 0 <= self.acceptance < 1 and self.draft_cost >= 0):
            msg = "speculative decoding needs 1 to 64 draft tokens, acceptance in [0, 1) and a draft cost of at least 0"
            raise DeploymentError(msg)

    @property
    def tokens_per_step(self) -> float:
        """Return how many tokens a verifying step yields: ``(1 − α^(γ+1)) / (1 − α)``."""
        return float((1 - self.acceptance ** (self.draft_tokens + 1)) / (1 - self.acceptance))


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What is known of the machine that answered; ``None`` is filled with a stated assumption.

    ``batch`` is the mean number of sequences decoded together; ``kv_bytes`` are bytes per element of
    the KV cache; ``host_share`` the host's watts per GPU as a share of the GPU's TDP; ``reserve`` the
    factor for idle machines kept ready; ``stack`` is ``current`` or ``vllm-2024`` (versions 0.4 and
    0.5, with ten times the overheads); ``fit`` names a set of constants other than the newest.
    """

    gpu: str | None = None
    n_gpus: int | None = None
    precision: str | None = None
    batch: float | None = None
    tensor_parallel: int | None = None
    kv_bytes: float = 2.0
    speculation: Speculation | None = None
    host_share: float | None = None
    reserve: float | None = None
    pue: float | None = None
    market_grams_per_kwh: float | None = None  # of the operator's electricity contracts
    stack: str = "current"
    fit: str | None = None

    def __post_init__(self) -> None:
        if self.n_gpus is not None and not (self.n_gpus >= 1 and self.n_gpus == int(self.n_gpus)):
            msg = f"a deployment needs at least one GPU and no part of one, not {self.n_gpus}"
            raise DeploymentError(msg)
        if self.tensor_parallel is not None and not 1 <= self.tensor_parallel <= (self.n_gpus or math.inf):
            msg = f"tensor parallelism is over 1 to all {self.n_gpus or 'the'} GPUs, not {self.tensor_parallel}"
            raise DeploymentError(msg)
        if self.batch is not None and not 1 <= self.batch < math.inf:
            msg = f"the batch is a mean number of sequences, at least 1, not {self.batch}"
            raise DeploymentError(msg)
        if self.pue is not None and not 1 <= self.pue < math.inf:
            msg = f"PUE is total over IT energy, at least 1, not {self.pue}"
            raise DeploymentError(msg)
        if self.reserve is not None and not 1 <= self.reserve < math.inf:
            msg = f"the reserve is a factor for idle machines, at least 1, not {self.reserve}"
            raise DeploymentError(msg)
        for name, value in (("host_share", self.host_share), ("market_grams_per_kwh", self.market_grams_per_kwh)):
            if value is not None and not 0 <= value < math.inf:
                msg = f"{name} is a number of at least 0, not {value}"
                raise DeploymentError(msg)
        if not 0 < self.kv_bytes <= 4:
            msg = f"an element of the KV cache has up to 4 bytes, not {self.kv_bytes}"
            raise DeploymentError(msg)
        if self.stack not in STACKS:
            msg = f"the stack is one of {', '.join(STACKS)}, not {self.stack!r}"
            raise DeploymentError(msg)

    @property
    def known(self) -> bool:
        """Whether accelerator, count and batch are all given, which the narrow band asks for."""
        return self.gpu is not None and self.n_gpus is not None and self.batch is not None


@cache
def _gpus() -> dict[str, Gpu]:
    table: dict[str, Gpu] = {}
    for name, row in read_toml("hardware.toml").items():
        gpu = Gpu(
            name=name,
            vendor=row["vendor"],
            bf16_flops=row["bf16_flops"],
            fp8_flops=row.get("fp8_flops"),
            bandwidth=row["bandwidth"],
            tdp_w=row["tdp_w"],
            memory=row["memory"],
            embodied_kg=row["embodied_kg"],
            tdp_assumed=row.get("tdp_assumed", False),
        )
        for key in (name, *row.get("aliases", ())):
            table["-".join(_words(key))] = gpu
    return table


_MAKERS: Final = frozenset(
    {"nvidia", "amd", "instinct", "intel", "google", "aws", "tesla", "geforce", "hbm2", "hbm2e", "hbm3", "hbm3e"}
)


def _words(name: str) -> list[str]:
    """Split a device's name into words without makers: ``NVIDIA H100 80GB HBM3`` is ``h100``, ``80gb``."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    return [re.sub(r"^sxm\d$", "sxm", word) for word in words if word and word not in _MAKERS]


def known_gpus() -> tuple[Gpu, ...]:
    """Return every shipped accelerator."""
    return tuple({gpu.name: gpu for gpu in _gpus().values()}.values())


@lru_cache(maxsize=1024)
def find_gpu(name: str) -> Gpu:
    """Return an accelerator by name or short name; what a name says beyond the device is passed over.

    Raises:
        UnknownGpuError: the hardware table has none of that name.

    """
    words = _words(name)
    for length in range(len(words), 0, -1):
        gpu = _gpus().get("-".join(words[:length]))
        if gpu is not None:
            return gpu
    known = ", ".join(sorted(entry.name for entry in known_gpus()))
    msg = f"no accelerator is called {name!r}; known: {known}"
    raise UnknownGpuError(msg)


@lru_cache(maxsize=1024)
def find_precision(name: str) -> Precision:
    """Return a weight format by any of its names.

    Raises:
        DeploymentError: the format is none that the energy model knows.

    """
    plain = re.sub(r"[\s_]+", "-", name.strip().lower().removeprefix("torch."))
    precision = PRECISIONS.get(_PRECISION_NAMES.get(plain, plain))
    if precision is None:
        msg = f"precision {name!r} is not known; use one of {', '.join(PRECISIONS)}"
        raise DeploymentError(msg)
    return precision


def gpus_needed(total_params: float, precision: Precision, gpu: Gpu) -> int:
    """Return the smallest power of two of devices whose memory holds the weights with headroom."""
    headroom: float = constants()["defaults"]["memory_headroom"]
    devices = math.ceil(headroom * total_params * precision.expert_bytes / gpu.memory)
    return 1 << (max(1, devices) - 1).bit_length()
