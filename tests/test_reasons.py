"""Every reason that the code can write is a code that has its sentence, in the code and in the documentation."""

import ast
import re
from pathlib import Path

import pytest

from proxy.reasons import ENDINGS, REFUSALS, sentence

ROOT = Path(__file__).parents[1]
FOLDERS = ("", "ledger", "budgets")
# Where a reason is an argument, by the function's name: its position.
REFUSING = {"Refusal": 1, "_refuse": 1}
ENDING = {"UpstreamError": 1, "fail": 1, "_fail": 4, "end": 3, "_end_without_client": 3}


def literals() -> tuple[set[str], set[str]]:
    """The codes given to what refuses and to what ends a call, as far as they are written out."""
    refusals, endings = set(), set()
    for path in (
        *(ROOT / "proxy").glob("*.py"),
        *(ROOT / "proxy" / "ledger").glob("*.py"),
        *(ROOT / "proxy" / "budgets").glob("*.py"),
    ):
        if path.name in ("reasons.py", "checks.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                for table, found in ((REFUSING, refusals), (ENDING, endings)):
                    if name in table and len(node.args) > table[name]:
                        code = node.args[table[name]]
                        if isinstance(code, ast.Constant) and isinstance(code.value, str):
                            found.add(code.value)
                for keyword in node.keywords:
                    if keyword.arg == "reason" and isinstance(keyword.value, ast.Constant) and keyword.value.value:
                        endings.add(keyword.value.value)
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("END_LOST", "COUNTED_BEFORE"):
                endings.add(node.value.value)
            elif isinstance(node, ast.Tuple):  # (usage, its source, why) and (outcome, reason)
                texts = [each.value for each in node.elts if isinstance(each, ast.Constant)]
                if texts and texts[0] in ("aborted", "error"):
                    endings.update(texts[1:])
                endings.update(each for each in texts if isinstance(each, str) and each.startswith("usage."))
            elif isinstance(node, ast.BoolOp | ast.IfExp):
                inner = [*ast.walk(node)]
                texts = [each.value for each in inner if isinstance(each, ast.Constant)]
                endings.update(each for each in texts if isinstance(each, str) and each.startswith("usage."))
    return refusals, endings


def translations(refusals: set[str]) -> set[str]:
    """The codes that only the translator answers with; what else it says are OpenAI's own words."""
    text = "".join(path.read_text() for path in (ROOT / "proxy" / "translation").glob("*.py"))
    refused = re.findall(r'Refusal\(\d+, "([a-z_]+)"|fail\(\d+, "([a-z_]+)"', text)
    said = {code for pair in refused for code in pair if code} | set(re.findall(r'"(provider_[a-z]+)"', text))
    return said - refusals - {"not_a_gate"}  # the gates know the word


def test_every_code_that_can_be_written_has_a_sentence_and_no_other_does():
    refusals, endings = literals()
    assert refusals == set(REFUSALS)
    assert endings | translations(refusals) == set(ENDINGS)


def test_reasons_are_codes():
    for code in (*REFUSALS, *ENDINGS):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*(\.[a-z]+(_[a-z]+)*)?", code)


def test_every_reason_is_documented_in_its_words():
    text = ROOT.joinpath("docs", "reference", "ledger.md").read_text()
    section = text.partition("## Why: `reason`")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| (.+?) \|$", section, re.MULTILINE))
    assert rows == REFUSALS | ENDINGS


@pytest.mark.parametrize(
    ("outcome", "reason", "said"),
    [
        ("rejected", "invalid_api_key", "the request's key of this gate is not known"),
        ("error", "invalid_api_key", "the provider's own word: invalid_api_key"),
        ("error", "status_503", "the provider answered with status 503"),
        ("error", "status_quo", "the provider's own word: status_quo"),
        ("ok", "usage.not_reported", "the provider's reply stated no usage"),
        ("interrupted", "gate_process_ended", ENDINGS["gate_process_ended"]),
    ],
)
def test_a_reason_in_a_sentence(outcome, reason, said):
    assert sentence(outcome, reason) == said
