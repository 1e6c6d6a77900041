"""The files that provision Grafana, which does not run here, against what its documentation says they may have."""

from __future__ import annotations

import copy
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.dashboards.boards import BOARDS, ROOT, folder

NAMED = tomllib.loads((Path(__file__).parent / "provisioning.toml").read_text())
PROVISIONING = folder("grafana") / "provisioning"
DATASOURCES = yaml.safe_load((PROVISIONING / "datasources" / "joulegate.yml").read_text())
DASHBOARDS = yaml.safe_load((PROVISIONING / "dashboards" / "joulegate.yml").read_text())
GRAFANA = yaml.safe_load((ROOT.parent / "docker-compose.yml").read_text())["services"]["grafana"]


def schema(kind: str, of: dict[str, str] | None = None, **deeper: Any) -> dict[str, Any]:
    """Make a schema of the keys of a kind, to the last of them; ``deeper`` says what some must be beside their type."""
    keys = {key: {"type": type_} for key, type_ in (of or NAMED[kind]).items()}
    for key, values in NAMED["values"].items():
        if key in keys:
            keys[key]["enum"] = values
    required = NAMED["required"].get(kind, [])
    return {"type": "object", "properties": keys | deeper, "additionalProperties": False, "required": required}


def check_datasources(file: dict[str, Any]) -> None:
    jsonschema.validate(file, schema("datasources"))
    for each in file["datasources"]:
        settings = {at: schema(at, NAMED[at][each["type"]]) for at in ("jsonData", "secureJsonData")}
        jsonschema.validate(each, schema("datasource", **settings))


def check_dashboards(file: dict[str, Any]) -> None:
    provider = schema("provider", options=schema("options"))
    jsonschema.validate(file, schema("dashboards", providers={"type": "array", "items": provider}))


def test_every_key_is_one_that_grafana_knows_and_of_its_type():
    check_datasources(DATASOURCES)
    check_dashboards(DASHBOARDS)


@pytest.mark.parametrize(
    ("number", "path", "wrong"),
    [
        (0, (), {"isDefualt": True}),
        (0, (), {"editable": "no"}),
        (0, (), {"access": "server"}),
        (0, ("jsonData",), {"timeinterval": "15s"}),
        (0, ("jsonData",), {"timeInterval": 15}),
        (0, ("jsonData",), {"sslmode": "disable"}),  # the other's
        (1, ("jsonData",), {"maxOpenConns": "4"}),
        (1, ("jsonData",), {"sslmode": "off"}),
        (1, ("secureJsonData",), {"passwrod": "$JOULEGATE_READER_PASSWORD"}),
    ],
)
def test_a_mistake_in_a_data_source_is_noticed(number, path, wrong):
    broken = copy.deepcopy(DATASOURCES)
    at = broken["datasources"][number]
    for each in path:
        at = at[each]
    at.update(wrong)
    with pytest.raises(jsonschema.ValidationError):
        check_datasources(broken)


@pytest.mark.parametrize(
    "wrong", [{"allowUIUpdates": False}, {"allowUiUpdates": "false"}, {"options": {"paths": "/x"}}, {"options": {}}]
)
def test_a_mistake_in_a_provider_of_dashboards_is_noticed(wrong):
    with pytest.raises(jsonschema.ValidationError):
        check_dashboards(DASHBOARDS | {"providers": [DASHBOARDS["providers"][0] | wrong]})


def test_every_data_source_that_a_dashboard_asks_is_provisioned():
    """Each is asked by a variable, whose choice is among the data sources of a type."""
    types = {each["type"] for each in DATASOURCES["datasources"]}
    uids = {each["uid"]: each["type"] for each in DATASOURCES["datasources"]}
    assert len(uids) == len(DATASOURCES["datasources"])
    for board in BOARDS.values():
        chosen = {
            f"${{{each['name']}}}": each["query"]
            for each in board["templating"]["list"]
            if each["type"] == "datasource"
        }
        assert set(chosen.values()) <= types
        asked = _asked(board)
        assert asked
        for each in asked:
            assert (uids | chosen)[each["uid"]] == each["type"]


def _asked(part: Any) -> list[dict[str, str]]:
    if isinstance(part, list):
        return [found for each in part for found in _asked(each)]
    if not isinstance(part, dict):
        return []
    own = [part["datasource"]] if isinstance(part.get("datasource"), dict) else []
    return own + [found for each in part.values() for found in _asked(each)]


def test_every_variable_of_the_environment_that_is_named_is_set():
    text = "".join(path.read_text() for path in PROVISIONING.rglob("*.yml"))
    words = re.findall(r"\$\{?(\w+)", re.sub(r"#.*", "", text))
    assert words
    assert set(words) <= set(GRAFANA["environment"])


def test_every_file_that_grafana_reads_there_is_looked_at_here():
    found = {path.relative_to(PROVISIONING).as_posix() for path in PROVISIONING.rglob("*") if path.is_file()}
    assert found == {"datasources/joulegate.yml", "dashboards/joulegate.yml"}
