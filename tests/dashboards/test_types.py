"""The dashboards' JSON against the types that Grafana publishes, by TypeScript's compiler."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dashboards.boards import BOARDS, ROOT

pytestmark = pytest.mark.heavy

FOLDER = Path(__file__).parent / "node"
TYPES = "@grafana/schema/dist/types/raw/composable"
PANELS = {"bargauge": "BarGauge", "stat": "Stat", "table": "Table", "timeseries": "TimeSeries"}
CUSTOM = {"table", "timeseries"}  # kinds of panels that have fields' settings of their own


def program(boards: dict[str, dict[str, Any]]) -> str:
    """Write each part of each dashboard as a literal that must satisfy its type, to the last member."""
    return "\n".join((*_imports(), *(line for board in boards.values() for line in _parts(board))))


def _imports() -> Iterator[str]:
    yield "import type { Dashboard, DataQuery, FieldConfig, Panel, RowPanel } from '@grafana/schema';"
    yield "import type { Plain } from './plain';"
    for kind, name in PANELS.items():
        taken = ["Options", *(["FieldConfig"] if kind in CUSTOM else [])]
        names = ", ".join(f"{each} as {name}{each}" for each in taken)
        yield f"import type {{ {names} }} from '{TYPES}/{kind}/panelcfg/x/{name}PanelCfg_types.gen.d.ts';"


def _parts(board: dict[str, Any]) -> Iterator[str]:
    whole = copy.deepcopy({key: value for key, value in board.items() if key != "panels"})
    # Members for later Grafanas that the SDK writes always; this one does not look at them.
    for link in whole["links"]:
        link.pop("placement")
    for variable in whole["templating"]["list"]:
        for name in ("auto", "auto_count", "auto_min"):
            variable.pop(name, None)
    yield _satisfies(whole, "Dashboard")
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield _satisfies(panel, "RowPanel")
            continue
        yield _satisfies(panel, "Panel")
        name = PANELS[panel["type"]]
        yield _satisfies(panel["options"], f"Partial<{name}Options>")
        if panel["type"] in CUSTOM:
            yield _satisfies(panel["fieldConfig"]["defaults"]["custom"], f"Partial<{name}FieldConfig>")
        for target in panel["targets"]:
            yield _satisfies({"refId": target["refId"], "datasource": target.get("datasource")}, "DataQuery")


def _satisfies(value: object, type_: str) -> str:
    return f"void ({json.dumps(value)} satisfies Plain<{type_}>);"


def compiled(folder: Path, boards: dict[str, dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    assert (FOLDER / "node_modules").is_dir(), "needs `make test-all`, which installs tests/dashboards/node"
    for name in ("node_modules", "plain.ts"):
        (folder / name).symlink_to(FOLDER / name)
    settings = json.loads((FOLDER / "tsconfig.json").read_text()) | {"include": ["boards.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(settings))
    (folder / "boards.ts").write_text(program(boards))
    command = [str(shutil.which("node")), "node_modules/typescript/bin/tsc", "--project", "tsconfig.json"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_dashboards_are_of_grafanas_types(tmp_path):
    done = compiled(tmp_path, BOARDS)
    assert done.returncode == 0, done.stdout


def test_a_mistake_of_each_kind_is_noticed(tmp_path):
    wrong = copy.deepcopy(BOARDS["joulegate-health"])
    wrong["titel"] = wrong["title"]
    one, other = (next(panel for panel in wrong["panels"] if panel["type"] == kind) for kind in ("stat", "timeseries"))
    one["options"]["colourMode"] = "none"
    one["fieldConfig"]["defaults"]["thresholds"]["mode"] = "often"
    other["fieldConfig"]["defaults"]["custom"]["lineWidth"] = "thick"
    other["gridPos"]["z"] = 1
    found = compiled(tmp_path, {"wrong": wrong}).stdout
    mistakes = re.findall(r"titel|colourMode|often|string' is not assignable to type 'number|\"z\"", found)
    assert len(set(mistakes)) == len(found.splitlines()) == 5, found


def test_the_types_are_of_the_grafana_that_the_containers_run():
    compose = yaml.safe_load((ROOT.parent / "docker-compose.yml").read_text())
    image = compose["services"]["grafana"]["image"]
    packages = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    assert image == f"grafana/grafana:{packages['@grafana/schema']}"
    # There is no lock file, so each version is said, and no other package is wanted.
    for name, version in packages.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        there = json.loads((FOLDER / "node_modules" / name / "package.json").read_text())
        assert there["version"] == version
        assert set(there.get("dependencies", {})) <= set(packages)
