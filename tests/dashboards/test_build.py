from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from dashboards import build
from proxy.declared import DECLARED

ROOT = Path(build.__file__).parent
PROVISIONING = ROOT / "grafana" / "provisioning"
DASHBOARD = json.loads(build.TARGET.read_text())
RULES = yaml.safe_load((ROOT / "prometheus" / "joulegate.rules.yml").read_text())
LABELS = {each.name: set(each.labels) for each in DECLARED}
# Only a service with a mirror has it: whoever has one adds it.
OF_SOME = {"joulegate_mirror_lag_seconds"}


def expressions() -> list[tuple[str, str]]:
    """Every PromQL expression there is, with where it stands."""
    panels = [(p["title"], target["expr"]) for p in DASHBOARD["panels"] for target in p.get("targets", [])]
    alerts = [(rule["alert"], rule["expr"]) for group in RULES["groups"] for rule in group["rules"]]
    variables = [(v["name"], v["query"]) for v in DASHBOARD["templating"]["list"] if v["type"] == "query"]
    return panels + alerts + variables


def declared(series: str) -> str:
    """The metric a series belongs to."""
    return re.sub(r"_(bucket|sum|count)$", "", series) if series not in LABELS else series


def test_the_dashboard_is_what_build_makes():
    assert build.TARGET.read_text() == build.rendered()


def test_every_metric_that_is_asked_for_exists():
    asked = {(where, declared(name)) for where, expr in expressions() for name in re.findall(r"joulegate_\w+", expr)}
    assert {(where, name) for where, name in asked if name not in LABELS} == set()


def test_every_metric_is_shown_somewhere():
    shown = {declared(name) for _, expr in expressions() for name in re.findall(r"joulegate_\w+", expr)}
    assert shown == set(LABELS) - OF_SOME


def test_selected_labels_exist_on_their_metric():
    for where, expr in expressions():
        for name, selectors in re.findall(r"(joulegate_\w+)\{([^}]*)\}", expr):
            assert set(re.findall(r"(\w+)=~?\"", selectors)) <= LABELS[declared(name)], where


def test_sums_over_kinds_of_tokens_count_none_twice():
    for where, expr in expressions():
        for selectors in re.findall(r"joulegate_tokens_total\{([^}]*)\}", expr):
            assert 'kind=~"input|output"' in selectors, where


def test_panels_lie_side_by_side():
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        mine = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not mine & cells, panel["title"]
        cells |= mine


def test_every_panel_says_what_it_shows_and_uses_the_chosen_prometheus():
    for panel in DASHBOARD["panels"]:
        if panel["type"] != "row":
            assert panel["description"], panel["title"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_the_files_that_provision_grafana_fit_together():
    (source,) = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards" / "joulegate.yml").read_text())["providers"]
    prometheus = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
    assert source["type"] == "prometheus"
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
    compose = yaml.safe_load((ROOT.parent / "docker-compose.yml").read_text())
    mounts = dict(volume.split(":")[:2] for volume in compose["services"]["grafana"]["volumes"])
    assert mounts["./dashboards/grafana"] == provider["options"]["path"]
    ((target,),) = [job["targets"] for job in prometheus["scrape_configs"][0]["static_configs"]]
    assert target.partition(":")[0] in compose["services"]
    assert source["url"].removeprefix("http://").partition(":")[0] in compose["services"]


def test_every_alert_says_what_to_do():
    for rule in RULES["groups"][0]["rules"]:
        assert rule["annotations"].keys() == {"summary", "action"}
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
