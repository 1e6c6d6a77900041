"""The tests of a release pass on a ledger that the next one has expanded, so both may run at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[2]
WRITES_AND_READS = (
    *(f"tests/ledger/test_{name}.py" for name in ("write", "retention", "postgresql")),
    "tests/recorder",
    "tests/reports/test_sums_only.py",
)


def test_the_tests_of_this_release_pass_on_a_ledger_that_the_next_has_expanded():
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    options = ("-v", "-m", "not heavy", "-p", "tests.expanded", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *options, *WRITES_AND_READS]
    ran = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-5000:]
    assert "ledgers: such as a later release has expanded" in ran.stdout
