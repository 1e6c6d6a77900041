from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from proxy.demo import demo_config_toml
from proxy.simulator import in_thread
from tests.loopback import RunningGate, gate
from tests.sdk.metered import Ways, config_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The two ways to the same provider."""

    direct: str  # origin of the simulated provider
    gate: RunningGate


@pytest.fixture(scope="package")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with (
        in_thread() as origin,
        gate(tmp_path_factory.mktemp("gate"), demo_config_toml(origin), drain_s=2.0) as running,
    ):
        yield Path(direct=origin, gate=running)


@pytest.fixture(scope="package")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    """The simulator, and a gate that serves every provider from it to the holder of a key."""
    folder = tmp_path_factory.mktemp("keyed-gate")
    (folder / "credential").write_text("the-operators-own")
    with (
        in_thread() as origin,
        gate(folder, config_toml(origin, str(folder / "credential")), drain_s=2.0) as running,
    ):
        yield Ways(direct=origin, gate=running)
