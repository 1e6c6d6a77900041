"""What the pages have of others is what npm has under the versions that are written down, and asks nobody."""

from __future__ import annotations

import hashlib
import re
import tomllib

import pytest

from tests.console.test_page import STATIC

FOLDER = STATIC / "vendor"
MANIFEST = tomllib.loads((FOLDER / "vendored.toml").read_text())
FILES = {name: file["sha256"] for told in MANIFEST.values() for name, file in told["files"].items()}
ASKS = re.compile(
    r"\b(fetch|importScripts|sendBeacon|XMLHttpRequest|WebSocket|EventSource|Worker|import|eval|Function)\s*\("
    r"|\bnew\s+(Image|Audio|XMLHttpRequest|WebSocket|EventSource|Worker|SharedWorker)\b"
    r"|@import|url\(|\.src\s*=[^=]|document\.write"
)


def test_the_folder_has_what_the_manifest_says_and_nothing_else():
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in FOLDER.iterdir()}
    del found["vendored.toml"]
    assert found == FILES


@pytest.mark.parametrize("package", MANIFEST)
def test_each_has_its_version_and_its_licence_beside_it(package):
    told = MANIFEST[package]
    assert re.fullmatch(r"\d+\.\d+\.\d+", told["version"])
    (licence,) = (name for name in told["files"] if name.endswith(".LICENSE"))
    words = {"MIT": "The MIT License (MIT)", "BSD-3-Clause": "BSD 3-Clause License"}[told["licence"]]
    assert (FOLDER / licence).read_text().startswith(words)


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith(".LICENSE")])
def test_none_of_it_reaches_a_network(name):
    text = (FOLDER / name).read_text()
    assert ASKS.findall(text) == []
    assert set(re.findall(r"(?:https?|wss?):?//[\w./-]+", text)) <= {"https://github.com/leeoniya/uPlot"}  # its name


def test_it_is_served_as_what_it_is(console):
    kinds = {"uplot.js": "text/javascript", "lit-html.js": "text/javascript", "uplot.css": "text/css"}
    for name, kind in kinds.items():
        reply = console.get(f"/static/vendor/{name}")
        assert (reply.status, reply.headers["content-type"].partition(";")[0]) == (200, kind)
