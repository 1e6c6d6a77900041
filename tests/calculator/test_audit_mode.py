"""The audit page's figures, as tests/estimator/test_audit.py has them, stand in the calculator to the digit."""

from __future__ import annotations

import re
import tomllib
from html import unescape
from importlib import resources

import pytest

from proxy.calculator.asked import Asked
from proxy.calculator.documents import one_file
from tests.estimator.pages import lines_of
from tests.estimator.test_audit import TABLE


@pytest.fixture(scope="module")
def tables() -> dict[str, list[list[str]]]:
    """The rows of each table of the page by its id: cells as text, the first one's note left out."""
    page = one_file(Asked())
    found = {}
    for name, body in re.findall(r'<h2 id="([\w-]+)">[^<]*</h2>(?:(?!<h2).)*?<tbody>(.*?)</tbody>', page, re.DOTALL):
        rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
        cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
        plain = [[re.sub(r'<span class="note">.*', "", cell) for cell in row] for row in cells]
        found[name] = [[unescape(re.sub(r"<[^>]+>", "", cell)) for cell in row] for row in plain]
    return found


def test_its_conversations_to_the_digit(tables):
    for row, golden in zip(tables["conversations"], TABLE, strict=True):
        _, _, gflop, millijoules, joules, dollars, *_ = golden
        assert row[1:4] == [f"{gflop} GFLOP", f"{millijoules} mJ", f"{joules} J"]
        assert row[5] == (dollars or "–")


def test_its_three_grids_to_the_digit(tables):
    for row, golden in zip(tables["three-grids"], TABLE, strict=True):
        assert row[1::2] == [f"{milligrams} mg" for milligrams in golden[6:]]


@pytest.mark.parametrize(
    ("table", "figures"),
    [
        (
            "its-calculator",
            [
                *("400.00 GFLOP", "4.29 GFLOP", "1.1 %, the rest 98.9 %", "828.00 TFLOP", "579.60 kJ", "64.40 g"),
                *("$0.0051", "579597.27 kJ", "64.40 kg", "$5.12", "16099.9", "16099.9", "536.66"),
            ],
        ),
        ("its-forward-pass", ["0.1 %", "18.0 %", "1.1 %", "8.0 %", "42.0 %", "1.5 %", "0.4 %", "71.1 %"]),
        ("its-scale", ["38 MWh", "~4", "17t", "$38.3M", "$38.32"]),
        ("its-comparisons", ["143", "952", "38x", "583x", "9x", "1.1 kJ", "1200 TFLOP"]),
        ("its-machine", ["700W", "4 PFLOPS", "HBM3e, ~3.35 TB/s", "1.2x"]),
    ],
)
def test_its_other_figures_to_the_digit(tables, table, figures):
    assert [row[1] for row in tables[table]] == figures


def test_ours_stand_beside_every_one_of_them(tables):
    for name in ("conversations", "three-grids", "its-calculator", "its-scale", "its-machine", "by-its-method"):
        for row in tables[name]:
            assert all(row), (name, row)
    assert tables["its-forward-pass"][-1] == ["Together", "71.1 %", "100.0 %"]


def test_the_33_differences_are_those_of_the_documentation(tables):
    data = tomllib.loads(resources.files("proxy.calculator").joinpath("differences.toml").read_text())
    rows = re.findall(r"^\| (\d+) \| (.+) \| (.+) \|$", lines_of("audit-page"), re.MULTILINE)
    plain = [
        [re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", cell).replace("`", "").replace("*", "") for cell in row]
        for row in rows
    ]
    assert [[each["page"], each["here"]] for each in data["difference"]] == [row[1:] for row in plain]
    assert tables["differences"] == plain
