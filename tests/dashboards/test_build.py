from __future__ import annotations

import re

import pytest
import yaml
from grafana_foundation_sdk.models import units

from dashboards import build
from dashboards.boards import TITLES
from proxy.declared import DECLARED
from tests.dashboards.boards import (
    ALERTS,
    ASKED,
    BOARDS,
    LEDGER,
    PROMETHEUS,
    RECORDS,
    ROOT,
    folder,
    names,
    panels,
    variables,
)

PROVISIONING = folder("grafana") / "provisioning"
LABELS = {each.name: set(each.labels) for each in DECLARED}
# What rules record keeps the labels that its name begins with.
LABELS |= {name: set(name.partition(":")[0].split("_")) for name in RECORDS}
EVERY = pytest.mark.parametrize("board", BOARDS)


def expressions() -> list[tuple[str, str]]:
    """Every PromQL expression there is, with where it stands."""
    asked = [(each.where, each.expr) for each in ASKED if each.expr]
    rules = [(rule["alert"], rule["expr"]) for rule in ALERTS]
    chosen = [
        (f"{board}: ${each['name']}", each["query"])
        for board in BOARDS
        for each in variables(board)
        if each["datasource"] == PROMETHEUS
    ]
    return asked + rules + chosen + list(RECORDS.items())


def declared(series: str) -> str:
    """The metric a series belongs to."""
    return re.sub(r"_(bucket|sum|count)$", "", series) if series not in LABELS else series


def test_the_dashboards_are_what_build_makes():
    assert {path.name for path in build.rendered()} == {f"{board}.json" for board in BOARDS}
    for path, text in build.rendered().items():
        assert path.read_text() == text, f"run `python -m dashboards.build`: {path.name}"


def test_every_metric_that_is_asked_for_exists():
    asked = {(where, declared(name)) for where, expr in expressions() for name in names(expr)}
    assert {(where, name) for where, name in asked if name not in LABELS} == set()


def test_every_metric_and_every_record_is_shown_somewhere():
    shown = {declared(name) for each in ASKED for name in names(each.expr)}
    assert set(LABELS) - shown == set()


def test_labels_exist_on_their_metric():
    for where, expr in expressions():
        for name, selectors in re.findall(r"((?:\w+:)?joulegate_\w+(?::\w+)?)\{([^}]*)\}", expr):
            assert set(re.findall(r"(\w+)(?:=~?|!=)\"", selectors)) <= LABELS[declared(name)], where
        if len(names(expr)) == 1:
            have = LABELS[declared(*names(expr))] | {"instance", "job", "le"}
            for labels in re.findall(r"\bby \(([^)]*)\)", expr):
                assert set(labels.split(", ")) <= have, where


def test_counters_are_never_shown_as_they_stand():
    """A counter begins anew with its console; rates and increases do not."""
    since_start = {each.name for each in DECLARED if each.kind != "gauge"} | {"joulegate_journal_records"}
    for each in ASKED:
        for name in names(each.expr):
            if declared(name) in since_start:
                bare = re.findall(rf"\w+\({name}(?:\{{[^}}]*\}})?\)", each.expr)
                assert bare in ([], ['sum(joulegate_journal_records{state="waiting"})']), each.where


def test_sums_over_kinds_of_tokens_count_none_twice():
    for where, expr in expressions():
        for selectors in re.findall(r"joulegate_tokens[\w:]*\{([^}]*)\}", expr):
            kinds = re.search(r'kind=~?"([^"]*)"', selectors)
            assert kinds, where
            by_kind = re.search(r"by \([^)]*\bkind\b[^)]*\)", expr) is not None
            assert by_kind or kinds[1] in ("input|output", "input", "cached_input"), where


@EVERY
def test_panels_lie_side_by_side(board):
    cells: set[tuple[int, int]] = set()
    for panel in BOARDS[board]["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        mine = {
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not mine & cells, panel["title"]
        cells |= mine
    rows = [panel["gridPos"]["y"] for panel in BOARDS[board]["panels"] if panel["type"] == "row"]
    ends = {y for _, y in cells}
    assert len(cells) == 24 * (max(ends) + 1), f"{board}: a gap between rows {rows}"


@EVERY
def test_names_and_numbers_are_unique(board):
    every = BOARDS[board]["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    assert 0 not in {panel["id"] for panel in every}
    titles = [panel["title"] for panel in every]
    assert sorted(set(titles)) == sorted(titles)
    for panel in panels(board):
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
    assert BOARDS[board]["uid"] == board
    assert BOARDS[board]["title"] == f"Joulegate: {TITLES[board]}"


@EVERY
def test_every_panel_says_what_it_shows_how_and_when_it_is_empty(board):
    for panel in panels(board):
        shows, how, empty = panel["description"].split("\n\n")
        assert shows.endswith(".")
        assert re.fullmatch(r"How: .+\.", how), panel["title"]
        assert re.fullmatch(r"Empty: .+\.", empty), panel["title"]
        sql = any("rawSql" in target for target in panel["targets"])
        assert panel["datasource"] == (LEDGER if sql else PROMETHEUS)


@EVERY
def test_units_are_grafanas(board):
    known = {value for name, value in vars(units).items() if name[0].isupper() and isinstance(value, str)}
    for panel in panels(board):
        config = panel["fieldConfig"]
        given = [config["defaults"]["unit"]] + [
            each["value"] for over in config["overrides"] for each in over["properties"] if each["id"] == "unit"
        ]
        assert [unit for unit in given if unit not in known | {"si:FLOP", "prefix:$"}] == [], panel["title"]


@EVERY
def test_every_variable_that_is_used_is_there(board):
    there = {each["name"] for each in BOARDS[board]["templating"]["list"]}
    text = str(BOARDS[board]["panels"]) + str([each["query"] for each in variables(board)])
    used = set(re.findall(r"\$\{?([a-z_]\w*)", text)) - {"__rate_interval", "__range", "__value", "__url_time_range"}
    used = {name for name in used if not name.startswith("__")}
    used |= {"datasource"} if str(PROMETHEUS) in text else set()
    used |= {"ledger"} if str(LEDGER) in text else set()
    assert used == there


@EVERY
def test_links_lead_to_all_other_dashboards(board):
    urls = [link["url"] for link in BOARDS[board]["links"]]
    assert sorted(urls) == sorted(f"/d/{other}" for other in BOARDS if other != board)
    for link in BOARDS[board]["links"]:
        there = link["url"].removeprefix("/d/")
        if link["includeVars"]:
            assert {each["name"] for each in variables(board)} <= {each["name"] for each in variables(there)}
    for panel in panels(board):
        for url in re.findall(r"'url': '([^']+)'", str(panel["fieldConfig"]["overrides"])):
            path, _, query = url.partition("?")
            there = path.removeprefix("/d/")
            assert there in BOARDS
            given = set(re.findall(r"var-(\w+)=", query))
            assert given <= {each["name"] for each in variables(there)}


def test_one_team_is_chosen_where_one_is_shown():
    (team,) = [each for each in variables("joulegate-team") if each["name"] == "team"]
    assert (team["multi"], team["includeAll"]) == (False, False)
    # What is not of several values is not made fit for a regular expression.
    assert not [each.where for each in ASKED if each.board == "joulegate-team" and 'team=~"$team"' in each.expr]


def test_the_files_that_provision_grafana_fit_together():
    sources = yaml.safe_load((PROVISIONING / "datasources" / "joulegate.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards" / "joulegate.yml").read_text())["providers"]
    scraped = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
    compose = yaml.safe_load((ROOT.parent / "docker-compose.yml").read_text())
    assert [source["type"] for source in sources] == [PROMETHEUS["type"], LEDGER["type"]]
    prometheus, ledger = sources
    assert prometheus["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]
    mounts = dict(volume.split(":")[:2] for volume in compose["services"]["grafana"]["volumes"])
    assert mounts["./dashboards/grafana"] == provider["options"]["path"]
    home = compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.removeprefix(provider["options"]["path"] + "/").removesuffix(".json") in BOARDS
    ((target,),) = [job["targets"] for job in scraped["scrape_configs"][0]["static_configs"]]
    assert target.partition(":")[0] in compose["services"]
    for source in sources:
        assert source["url"].removeprefix("http://").partition(":")[0] in compose["services"]
    database = compose["services"]["postgres"]["environment"]
    assert ledger["jsonData"]["database"] == database["POSTGRES_DB"]
    assert f"CREATE ROLE {ledger['user']}'" in (folder("postgres") / "reader.sh").read_text()
    name = ledger["secureJsonData"]["password"].removeprefix("$")
    assert name in database
    assert name in compose["services"]["grafana"]["environment"]


def test_every_alert_says_what_to_do():
    for rule in ALERTS:
        assert rule["annotations"].keys() == {"summary", "action"}
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}


def test_every_alert_is_tried_both_ways():
    """In the rules' own tests each fires once at least, and once does not."""
    tried: dict[str, set[bool]] = {}
    for path in folder("prometheus").glob("*.test.yml"):
        for case in yaml.safe_load(path.read_text())["tests"]:
            for each in case.get("alert_rule_test", []):
                tried.setdefault(each["alertname"], set()).add(bool(each["exp_alerts"]))
    assert tried == {rule["alert"]: {True, False} for rule in ALERTS}


def test_every_alert_stands_on_the_page_about_operating():
    page = (ROOT.parent / "docs" / "how-to" / "operate.md").read_text()
    assert [rule["alert"] for rule in ALERTS if f"`{rule['alert']}`" not in page] == []
