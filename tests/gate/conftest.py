from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.loopback import Provider, RunningGate, Script, gate, provider


@dataclass
class Way:
    """A gate and the scripted provider behind it."""

    gate: RunningGate
    provider: Provider


Through = Callable[..., contextlib.AbstractContextManager[Way]]


def named(provider: Provider, *lines: str) -> str:
    """Configure ``openai`` to be the scripted provider."""
    return "\n".join(["[[provider]]", 'name = "openai"', f'origin = "{provider.origin}"', *lines, ""])


@pytest.fixture
def through(tmp_path: Path) -> Through:
    @contextlib.contextmanager
    def through(script: Script, *lines: str, toml: str = "", **settings: object) -> Iterator[Way]:
        settings = {"shutdown_s": 1.0} | settings
        with provider(script) as origin, gate(tmp_path, named(origin, *lines) + toml, **settings) as running:
            yield Way(running, origin)

    return through
