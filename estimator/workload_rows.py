"""A workload read from a record: model facts, deployment and mean request by the columns of the measured rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from estimator.deployments import find_gpu, find_precision, gpus_needed
from estimator.errors import WorkloadError
from estimator.fits import constants
from estimator.models import surrogate
from estimator.workload import MOST_PARAMS, Workload

_NOTHING: Final = frozenset({"nan", "na", "n/a", "none", "null", "-"})
_DEPLOYED: Final = {"gpu": "gpu", "batch": "batch_or_concurrency", "precision": "precision"}
_OLD_STACKS: Final = ("vllm 0.4", "vllm 0.5", "vllm-0.4", "vllm-0.5", "leaderboard-v2")
_DENSE_FROM: Final = 0.9  # active over all parameters, from which on a model without experts is believed to be dense


class _Row:
    """A row of a table whose cells may be absent, empty or hold what tables write for nothing."""

    def __init__(self, cells: Mapping[str, Any]) -> None:
        self._cells = {name.strip().lower(): cell for name, cell in cells.items() if isinstance(name, str)}

    def text(self, name: str) -> str:
        cell = self._cells.get(name)
        value = "" if cell is None else str(cell).strip()
        return "" if value.lower() in _NOTHING else value

    def number(self, name: str, default: float | None = None) -> float:
        text = self.text(name)
        if not text:
            if default is None:
                msg = f"column {name} is missing or empty"
                raise WorkloadError(msg)
            return default
        try:
            value = float(text)
        except ValueError as error:
            msg = f"column {name} is not a number: {text!r}"
            raise WorkloadError(msg) from error
        if not math.isfinite(value):
            msg = f"column {name} is not a finite number: {text!r}"
            raise WorkloadError(msg)
        return value

    def count(self, name: str, default: float | None = None) -> int:
        value = self.number(name, default)
        if self.text(name) and abs(value - round(value)) > 1e-6:
            msg = f"column {name} is a count, not {value:g}"
            raise WorkloadError(msg)
        return round(value)


def workload_of(cells: Mapping[str, Any]) -> Workload:
    """Read a workload from a record of numbers or text, by the columns of ``tests/estimator/data/measured.csv``.

    Parameters (in billions) and token counts are needed. What is not said of the shape is guessed from the size, of
    the deployment assumed as for an unknown host; both widen the band. Columns of other names are passed over.

    Raises:
        WorkloadError: a needed column is missing or empty, a cell is not a number, or the cells contradict each other.
        UnknownGpuError, DeploymentError: the accelerator or the precision does not exist.

    """
    row, assumed = _Row(cells), set()
    total = row.number("total_params_b") * 1e9
    active = row.number("active_params_b", total / 1e9) * 1e9
    if not 0 < active <= total * 1.0001 < MOST_PARAMS:
        msg = (
            f"total_params_b and active_params_b are positive billions, the active ones a part of them all: "
            f"{total / 1e9:g} and {active / 1e9:g}"
        )
        raise WorkloadError(msg)
    experts = row.count("n_experts", 0)
    sparse = active < _DENSE_FROM * total
    kind = row.text("kind") or ("moe" if experts or active < total else "dense")
    mixture = kind == "moe" or experts > 0 or sparse
    if not row.text("active_params_b"):
        if mixture:
            msg = "column active_params_b is missing or empty: of a mixture of experts only a part is active"
            raise WorkloadError(msg)
        assumed.add("active")
    like = surrogate(total, active, "moe" if mixture else "dense")
    needed = ["layers", "n_heads", *(["n_experts"] if mixture else []), *(["topk"] if experts else [])]
    if not all(row.text(name) for name in needed) or (sparse and not experts):
        assumed.add("shape")
    layers, heads = row.count("layers", like.layers), row.count("n_heads", like.heads)
    head_dim = row.count("head_dim", row.number("d_model", 128 * heads) / max(heads, 1))
    kv_heads = row.count("n_kv_heads", min(heads, like.kv_heads))
    experts = experts or like.experts
    windowed, window = row.count("swa_layers", 0), row.count("swa_window", 0)
    windowed = windowed if window else 0

    defaults = constants()["defaults"]
    gpu = row.text("gpu") or defaults["gpu"]
    precision = row.text("precision") or "bfloat16"
    parallel = [max(1, row.count(name, 1)) for name in ("tp", "dp", "pp")]
    n_gpus = math.prod(parallel)
    if not any(row.text(name) for name in ("n_gpus", "tp", "dp", "pp")):
        assumed.add("n_gpus")
        n_gpus = gpus_needed(total, find_precision(precision), find_gpu(gpu))
    assumed |= {name for name, column in _DEPLOYED.items() if not row.text(column)}
    source = row.text("source").lower()
    return Workload(
        model=row.text("model"),
        kind=kind,
        total_params=total,
        active_params=active,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        experts=experts,
        experts_active=_experts_active(row, experts, active / total),
        full_layers=row.count("full_attn_layers", layers - windowed),
        window_layers=windowed,
        window=window,
        kv_elements=row.count("kv_elems_per_layer", 2 * kv_heads * head_dim),
        state_bytes=row.number("state_bytes_per_seq", 0),
        precision=precision,
        gpu=gpu,
        n_gpus=row.count("n_gpus", n_gpus),
        tensor_parallel=row.count("tp", 0) or None,
        expert_parallel=max(1, row.count("ep", 1)),
        data_parallel=parallel[1],
        batch=row.number("batch_or_concurrency", defaults["batch"]),
        input_tokens=row.number("avg_input_tokens"),
        cached_tokens=row.number("avg_cached_tokens", 0),
        output_tokens=row.number("avg_output_tokens"),
        output_cv2=row.number("out_len_cv2", 0),
        stack="vllm-2024" if any(name in source for name in _OLD_STACKS) else "current",
        assumed=frozenset(assumed),
    )


def _experts_active(row: _Row, experts: int, share: float) -> int:
    """Return how many experts a token goes through: as stated, else by the share of parameters that are active."""
    if not experts:
        return 0
    return row.count("topk", 0) or max(1, round(experts * share))
