"""How all tests are collected."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["tests.ledgers"]  # fixtures; a tests/conftest.py would be taken for its own by pytest-alembic

HEAVY = "\npytestmark = pytest.mark.heavy\n"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import a module that is heavy as a whole: it may need what `make test` does not install."""
    light = config.option.markexpr == "not heavy"
    if light and collection_path.suffix == ".py" and HEAVY in collection_path.read_text(encoding="utf-8"):
        return True
    return None
