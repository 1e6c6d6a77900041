"""The documentation names everything a user can touch, and everything it names exists."""

import re
import shlex
import tomllib
from pathlib import Path

import msgspec
import pytest
import typer.main

from proxy import config, declared, sections
from proxy.cli import command_line
from proxy.ledger.tables import calls, metadata

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")])
COMMANDS = REFERENCE.joinpath("commands.md").read_text()
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def slug(heading: str) -> str:
    """The anchor that a heading gets on GitHub."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)}


def commands(group, path=()):
    """Every command that does something, by its full name."""
    found = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= commands(command, (*path, name))
        else:
            found[" ".join((*path, name))] = command
    return found


CLI = commands(typer.main.get_command(command_line()))


def fenced(language: str) -> list[tuple[str, str]]:
    return [(page.name, text) for page in PAGES for kind, text in FENCE.findall(page.read_text()) if kind == language]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        assert goal.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(goal), f"{page.name}: {goal.name} has no heading for #{anchor}"


def test_the_documentation_index_links_to_every_page():
    index = (ROOT / "docs" / "README.md").read_text()
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in ROOT.glob("docs/**/*.md")]
    missing = [page for page in pages if page != "README.md" and not page.startswith("adr/") and page not in index]
    assert missing == []


def test_decisions_are_numbered_without_gaps():
    numbers = sorted(int(page.name[:4]) for page in ROOT.glob("docs/adr/[0-9]*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("name", CLI)
def test_every_command_and_option_is_documented(name):
    section = re.search(rf"^##+ `joulegate {re.escape(name)}\b.*?(?=^##+ |\Z)", COMMANDS, re.MULTILINE | re.DOTALL)
    assert section, f"docs/reference/commands.md has no section `joulegate {name}`"
    options = [each for each in CLI[name].params if each.param_type_name == "option" and not each.hidden]
    assert options
    for option in options:
        assert any(f"`{flag}" in section[0] for flag in option.opts), f"{name}: {option.opts} is not described"


def test_every_documented_command_exists():
    headings = re.findall(r"^##+ `joulegate ([a-z ]+[a-z])", COMMANDS, re.MULTILINE)
    assert headings
    assert set(headings) == set(CLI)


def test_every_command_line_in_the_documentation_is_understood():
    """Each `joulegate …` shown in a page names an existing command and existing options."""
    lines = [
        (page, line)
        for page, block in fenced("console")
        for line in block.splitlines()
        if re.match(r"(\.venv/bin/)?joulegate ", line)
    ]
    assert lines
    for page, line in lines:
        words = shlex.split(line, comments=True)[1:]
        name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in CLI), None)
        assert name, f"{page}: {line}"
        known = {option for parameter in CLI[name].params for option in (*parameter.opts, *parameter.secondary_opts)}
        unknown = [word for word in words if word.startswith("--") and word.split("=")[0] not in known | {"--help"}]
        assert unknown == [], f"{page}: {line}"


def test_every_make_target_is_explained_and_every_one_shown_exists():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split())
    assert set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)) == targets
    shown = set()
    for page in PAGES:
        text = page.read_text()
        lines = [line for kind, block in FENCE.findall(text) if kind == "console" for line in block.splitlines()]
        lines += re.findall(r"`(make [^`]+)`", text)
        for line in lines:
            if line.startswith("make "):
                words = shlex.split(line, comments=True)[1:]
                shown |= {word for word in words if "=" not in word}
    assert shown <= targets
    assert targets - shown == set()


def test_every_setting_is_documented():
    text = REFERENCE.joinpath("configuration.md").read_text()
    headings = {
        **{name: [f"## `[{name}]`"] for name in sections.SETTINGS},
        "provider": ["## `[[provider]]`"],
        "route": ["## `[[route]]`"],
        "team": ["## `[[team]]`"],
        **{name: [f"## `[[{name}]]`"] for name in ("alias", "deployment", "evidence", "grid", "budget", "notify")},
    }
    structs = {
        **sections.SETTINGS,
        "provider": sections.ProviderSection,
        "route": sections.RouteSection,
        "team": sections.TeamSection,
        "alias": sections.AliasSection,
        "deployment": sections.DeploymentSection,
        "evidence": sections.EvidenceSection,
        "grid": sections.GridSection,
        "notify": sections.NotifySection,
        "budget": sections.BudgetSection,
    }
    assert set(structs) == set(sections.Config.__struct_fields__)
    for name, (heading,) in headings.items():
        section = re.search(rf"^{re.escape(heading)}.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        assert section, f"configuration.md has no section {heading}"
        for field in structs[name].__struct_fields__:
            assert f"`{field}`" in section[0] or f"{name}.{field}]]" in section[0], f"{name}.{field} is not described"


def test_documented_defaults_are_the_defaults():
    text = REFERENCE.joinpath("configuration.md").read_text()
    for name, section in sections.SETTINGS.items():
        table = re.search(rf"^## `\[{name}\]`.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[0]
        said = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", table, re.MULTILINE))
        for field in msgspec.structs.fields(section):
            if field.name in said:
                assert tomllib.loads(f"x = {said[field.name]}")["x"] == field.default, f"{name}.{field.name}"


# A price list is no configuration; tests/prices/test_own.py reads the one that is shown.
@pytest.mark.parametrize(("page", "text"), [shown for shown in fenced("toml") if "[[price]]" not in shown[1]])
def test_configurations_shown_are_valid(page, text, tmp_path):
    shown = tmp_path / "joulegate.toml"
    shown.write_text(text.replace("64 hexadecimal digits", "0" * 64))
    config.load(shown, environment={})


def test_every_metric_is_documented_with_its_labels():
    text = REFERENCE.joinpath("metrics.md").read_text()
    rows = dict(re.findall(r"^\| `(joulegate_\w+)` \| \w+ \| (.*?) \|", text, re.MULTILINE))
    assert {name: re.findall(r"`(\w+)`", labels) for name, labels in rows.items()} == {
        metric.name: list(metric.labels) for metric in declared.DECLARED
    }


def test_every_table_and_column_is_documented():
    text = REFERENCE.joinpath("ledger.md").read_text()
    named = set(re.findall(r"`(\w+)`", text))
    assert set(calls.columns.keys()) - named == set()
    assert set(metadata.tables) - named == set()
