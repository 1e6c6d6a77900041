"""The repository keeps its own rules: locks, hygiene, packaging. (Import contracts: `make lint`.)"""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
LOCKS = [*sorted((ROOT / "requirements").glob("*.txt")), *sorted((ROOT / "bench").glob("*.txt"))]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MALICIOUS = {"litellm": ("1.82.7", "1.82.8")}

# Where packages are fetched from, and folders of somebody's machine, have no place in the project.
FORBIDDEN = {
    "an index or registry address": re.compile(
        r"(?i)\b(index|registry)[-_a-z]*\s*[=:]\s*\"?https?://|\"resolved\":\s*\"https?://"
    ),
    "a package registry's host": re.compile(
        r"(?i)https?://[a-z.-]*(py(pi|thonhosted)|npm(js|mirror)|debian|crates)[a-z.]*/"
    ),
    "an option that names an index": re.compile(r"(?m)^\s*(-i|--(extra-)?index-url|--find-links|--trusted-host)\b"),
    "a path of one machine": re.compile(r"(?<![\w./-])/(home|Users|root|work|mnt)/[\w.-]+"),
    "a word about work left undone": re.compile(r"\b(TODO|FIXME)\b"),
}
ALLOWED_PATHS = {"tests/test_repository.py"}


def git(*arguments: str) -> list[str]:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True, encoding="utf-8"
    ).stdout.splitlines()


def tracked() -> list[str]:
    return [name for name in git("ls-files") if (ROOT / name).is_file()]


def pins(lock: Path) -> dict[str, dict[str, int]]:
    """Each locked package: its versions (one for each group of Pythons) and how many hashes stand under each."""
    found: dict[str, dict[str, int]] = {}
    name = version = ""
    for line in lock.read_text().splitlines():
        if match := re.match(r"([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;]+)", line):
            name, version = canonicalize_name(match[1]), match[2]
            assert version not in found.setdefault(name, {}), f"{lock.name} pins {name}=={version} twice"
            found[name][version] = 0
        elif "--hash=sha256:" in line:
            found[name][version] += 1
        else:
            assert re.match(r"\s*(#|\\?$)", line), f"{lock.name}: neither pin, hash nor comment: {line}"
    return found


def declared(project: dict, *, groups: tuple[str, ...], extras: tuple[str, ...]) -> list[Requirement]:
    texts = list(project["project"]["dependencies"])
    for extra in extras:
        texts += project["project"]["optional-dependencies"][extra]
    for group in groups:
        texts += project["dependency-groups"][group]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_pin_of_a_lock_has_hashes_and_none_is_known_to_be_malicious(lock):
    locked = pins(lock)
    assert locked
    assert [name for name, versions in locked.items() if 0 in versions.values()] == []
    assert [name for name, bad in MALICIOUS.items() if set(bad) & set(locked.get(name, ()))] == []


def test_a_place_that_names_litellm_as_a_dependency_excludes_the_malicious_releases():
    named = [
        (name, line)
        for name in tracked()
        if re.search(r"(\.toml|\.in|\.cfg|Dockerfile|\.ya?ml)$", name)
        for line in (ROOT / name).read_text().splitlines()
        if re.search(r"litellm(\[[^\]]*\])?\s*[=<>!~]", line)
    ]
    assert named, "bench/litellm.in names it"
    for name, line in named:
        specifier = Requirement(line.strip().strip('",').split(" #")[0]).specifier
        assert [bad for bad in MALICIOUS["litellm"] if Version(bad) in specifier] == [], name


def test_the_locks_hold_what_pyproject_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = tuple(group for group in project["dependency-groups"] if group not in ("sdks", "engines"))
    extras = set(project["project"]["optional-dependencies"])
    contents = {
        "run": declared(project, groups=(), extras=("clickhouse", "grids", "postgres", "statements")),
        "demo": declared(project, groups=(), extras=("demo",)),
        "translate": declared(project, groups=(), extras=("translate",)),
        # PDFs need packages of the system, so only the heavy tests make any; the engines' lock has what that takes.
        "dev": declared(project, groups=groups, extras=tuple(extras - {"translate", "pdf"})),
    }
    for group in ("build", "sdks", "engines"):
        contents[group] = [Requirement(text) for text in project["dependency-groups"][group]]
    for name, wanted in contents.items():
        locked = pins(ROOT / "requirements" / f"{name}.txt")
        for requirement in wanted:
            versions = locked.get(canonicalize_name(requirement.name), {})
            assert versions, f"requirements/{name}.txt lacks {requirement.name}: run `make lock`"
            for version in versions:
                assert version in requirement.specifier, f"{name}.txt has {version} of {requirement}: run `make lock`"


@pytest.mark.parametrize("asked", [(), ("--upgrade",), ("--upgrade-package", "httpx2")])
def test_what_is_locked_stays_so_unless_an_upgrade_is_asked_for(tmp_path, asked):
    resolver, seen = tmp_path / "uv", tmp_path / "seen"
    resolver.write_text(f'#!/bin/sh\necho "$@" >> {seen}\n')
    resolver.chmod(0o755)
    subprocess.run(
        ["sh", "requirements/lock.sh", *asked], cwd=ROOT, check=True, env={**os.environ, "UV": str(resolver)}
    )
    lines = seen.read_text().splitlines()
    assert len(lines) == len(LOCKS)
    assert {re.search(r"(?<= )--upgrade(-package \w+)?(?= )|$", line)[0] for line in lines} == {" ".join(asked)}


def test_the_smaller_locks_have_the_versions_the_tests_ran_with():
    dev = pins(ROOT / "requirements" / "dev.txt")
    beside = pins(ROOT / "requirements" / "translate.txt")
    for name in ("run", "demo", "build", "translate", "sdks", "engines"):
        for package, versions in pins(ROOT / "requirements" / f"{name}.txt").items():
            if (
                name in ("translate", "sdks", "engines") and package not in dev
            ):  # installed beside dev.txt, for its heavy tests
                assert versions.keys() == beside.get(package, versions).keys(), f"{name}.txt and translate.txt disagree"
                continue
            assert versions.keys() == dev[package].keys(), (
                f"{name}.txt and dev.txt disagree about {package}: run `make lock`"
            )


def test_the_supported_pythons_are_said_once_and_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    classified = {text.rsplit(" ", 1)[1] for text in project["project"]["classifiers"] if "Python :: 3." in text}
    assert classified == set(PYTHONS)
    assert project["project"]["requires-python"] == f">={PYTHONS[0]}"
    assert f"--python-version {PYTHONS[0]}" in (ROOT / "requirements" / "lock.sh").read_text()
    major, minor = PYTHONS[0].split(".")
    assert f"sys.version_info < ({major}, {minor})" in (ROOT / "Makefile").read_text()


def test_no_tracked_file_names_a_registry_or_a_machine():
    found = []
    for name in tracked():
        if name in ALLOWED_PATHS:
            continue
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or a compressed fixture
        found += [f"{name}: {what}: {match[0]!r}" for what, rule in FORBIDDEN.items() for match in rule.finditer(text)]
    assert found == []


def test_what_runs_writes_or_builds_is_not_tracked():
    unwanted = re.compile(
        r"(^|/)(uv\.lock|\.env|joulegate\.db.*|joulegate-(journal|demo)|node_modules|dist|\.venv[^/]*)(/|$)|\.pyc$"
    )
    assert [name for name in tracked() if unwanted.search(name)] == []


def test_the_licence_is_apache_2_and_the_package_says_so():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_changelog_has_the_version_of_the_package():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(rf"^## \[({re.escape(version)}|Unreleased)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_wheel_has_every_tracked_file_of_the_packages(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = {name for name in tracked() if name.split("/")[0] in ("proxy", "estimator", "migrations")}
    assert wanted - packed == set()
    assert {f"proxy/console/static/vendor/{name}" for name in ("uplot.js", "lit-html.js", "uplot.LICENSE")} <= packed
    assert not any(name.startswith(("tests/", "bench/", "docs/")) for name in packed)


def test_no_regular_expression_repeats_a_group_possessively():
    """Up to 3.11.4, Debian's among them, Python takes such a group for matched where it is not (cpython#106052)."""
    possessive = re.compile(r"\)(?:[*+?]|\{\d*,?\d*\})\+(?!=)")
    assert possessive.search(r'rb"(?:[^x]++|y)*+"')
    assert not possessive.search(r'rb"(?>(?:[^x]++|y)*)"')
    sources = [
        name for name in tracked() if name.startswith(("proxy/", "estimator/")) and name.endswith((".py", ".toml"))
    ]
    assert len(sources) > 300
    assert [name for name in sources if possessive.search((ROOT / name).read_text(encoding="utf-8"))] == []
