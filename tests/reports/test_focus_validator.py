"""The FinOps Foundation's own validator reads our FOCUS file: in an environment of its own, made by `make test-all`."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.reports import table
from proxy.reports.focus import shipped
from tests.reports.test_focus import made, some
from tests.rows import UNESTIMATED, UNMETERED, UNPRICED, call_row, insert

pytestmark = pytest.mark.heavy

BIN = Path(f"{sys.prefix}-focus") / "bin"
VALIDATOR = BIN / "focus-validator"
# What a file must have if these hold, which they do for us. Unit prices are not among them: a row has several.
HOLDS = "ACCOUNT_NAMING_SUPPORTED,SUB_ACCOUNT_SUPPORTED,TAGGING_SUPPORTED"
# Of two rules of which one holds (null without an invoice, named with one) the validator also tries each; the rule
# that they are the halves of must pass.
HALF = "InvoiceId-C-005-C"


@pytest.fixture
def november_csv(sqlite_engine):
    insert(
        sqlite_engine,
        *some(),
        call_row(**UNPRICED),
        call_row(**UNPRICED | UNESTIMATED, team="ads"),
        call_row(**UNMETERED, team="nobody"),
        call_row(**UNMETERED | {"cost_usd": 1, "units": {"images": 1}}, provider="groq"),
    )
    return table.as_csv(made(sqlite_engine))


def validate(text: str, folder: Path, holds: str) -> dict[str, str]:
    """Give each rule that was tried and whether it passed."""
    rules = next((BIN.parent / "lib").glob("python*/site-packages/focus_validator/rules"))
    # It looks for this file from where it stands.
    (folder / "focus_validator" / "rules").mkdir(parents=True, exist_ok=True)
    shutil.copy(rules / "currency_codes.csv", folder / "focus_validator" / "rules")
    folder.joinpath("focus.csv").write_text(text, encoding="utf-8", newline="")
    version = shipped().newest()
    ran = subprocess.run(
        [
            VALIDATOR,
            *("--data-file", "focus.csv", "--block-download"),
            *("--validate-version", version, "--applicability-criteria", holds),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONUTF8": "1"},
        check=True,
    )
    found = dict(re.findall(r"^\S+ ([\w-]+): (PASS|FAIL)\b", ran.stdout, re.MULTILINE))
    assert len(found) > 100, ran.stdout[-2000:]
    return found


@pytest.mark.skipif(
    not VALIDATOR.exists(), reason="the validator needs Python 3.12 or newer: see requirements/focus.sh"
)
def test_every_rule_that_applies_is_kept(november_csv, tmp_path):
    found = validate(november_csv, tmp_path, HOLDS)
    assert {rule for rule, says in found.items() if says == "FAIL"} == {HALF}
    assert found["InvoiceId-C-000-O"] == "PASS"

    # The rules of measured use name a column that only files with commitment discounts have: there without one.
    rows = list(csv.reader(io.StringIO(november_csv, newline="")))
    wider = io.StringIO(newline="")
    csv.writer(wider).writerows([[*row, "CommitmentDiscountStatus" if n == 0 else ""] for n, row in enumerate(rows)])
    found = validate(wider.getvalue(), tmp_path, f"{HOLDS},USAGE_MEASUREMENT_SUPPORTED")
    failed = {rule for rule, says in found.items() if says == "FAIL"}
    assert failed == {HALF}
    assert found["ConsumedQuantity-C-000-C"] == "PASS"


@pytest.mark.skipif(
    not VALIDATOR.exists(), reason="the validator needs Python 3.12 or newer: see requirements/focus.sh"
)
def test_a_file_with_a_mistake_is_found(november_csv, tmp_path):
    found = validate(november_csv.replace(",Usage,", ",Use,"), tmp_path, HOLDS)
    assert found["ChargeCategory-C-000-M"] == "FAIL"
