"""Sets of fitted constants: what share of the data sheet a server reaches, and what its overheads take."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from estimator.errors import DeploymentError
from estimator.facts import read_toml
from estimator.ranges import Band


@cache
def constants() -> dict[str, Any]:
    """Return the roofline's file: sets of constants, bands, defaults and priors."""
    return read_toml("roofline.toml")


class Fit(NamedTuple):
    """One dated set of the roofline's constants: times in s, the rest shares of data-sheet values.

    ``smooth_roof`` joins memory and arithmetic time as the root of squares, else the longer one counts.
    """

    source: str
    eta_mem: float
    intake: float  # byte/s that a device's units ask for at most, however fast its memory
    eta_comp: float
    smooth_roof: bool
    windowed_prefill: bool  # prefill attention of window layers stops at their window
    tau_layer_s: float
    tau_comm_s: float
    tau_seq_s: float
    tau_seq_layer_s: float
    omega_2024: float
    s: float
    s_overhead: float
    s_overhead_2024: float
    phi: float
    beta: float
    fp8_overhead: float
    moe_efficiency: float
    cap: float
    beta_of: dict[str, float]  # by accelerator, where it differs
    energy_factor: dict[str, float]  # by vendor, where measured rows say so
    dense: Band  # 90 % multipliers: 16-bit weights without experts
    sparse: Band  # experts, or weights below 16 bits

    def reached(self, bandwidth: float) -> float:
        """Return the byte/s read of a memory that promises so much: its time per byte and the units' own add up."""
        return 1 / (1 / (bandwidth * self.eta_mem) + 1 / self.intake)

    def band(self, *, sparse: bool) -> Band:
        """Return the 90 % multipliers on GPU joules when model, accelerator, count and batch are known."""
        return self.sparse if sparse else self.dense


@cache
def find_fit(name: str | None = None) -> Fit:
    """Return a set of constants by its name, the newest without one.

    Raises:
        DeploymentError: there is no such set.

    """
    sets = constants()["fits"]
    row = sets.get(name or constants()["default"])
    if row is None:
        msg = f"no set of constants is called {name!r}; known: {', '.join(sorted(sets))}"
        raise DeploymentError(msg)
    values = {key: value for key, value in row.items() if key not in {"fitted", "bands"}}
    return Fit(**values, dense=tuple(row["bands"]["dense"]), sparse=tuple(row["bands"]["sparse"]))
