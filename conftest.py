"""How all tests are collected."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["tests.ledgers"]  # fixtures; a tests/conftest.py would be taken for its own by pytest-alembic

HEAVY = "pytest.mark.heavy"


def pytest_xdist_auto_num_workers() -> int:
    """Let one more file of tests be at work than there are cores: a third of the time tests wait for processes."""
    return (os.cpu_count() or 1) + 1


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import a module of which nothing would run: it may need what `make test` does not install."""
    if collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
        return None
    text = collection_path.read_text(encoding="utf-8")
    nothing = {"not heavy": f"\npytestmark = {HEAVY}\n" in text, "heavy": HEAVY not in text}
    return True if nothing.get(config.option.markexpr) else None
