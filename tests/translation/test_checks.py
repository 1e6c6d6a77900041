"""A start that needs LiteLLM and has none, or a malicious one, says what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

from proxy.checks import check_start
from proxy.config import load

ROOT = Path(__file__).parents[2]
TOML = """
[[provider]]
name = "bedrock"
[[route]]
match = "nova"
provider = "bedrock"
model = "bedrock/amazon.nova-lite-v1:0"
via = "litellm"
"""


def without(folder: Path, *packages: str) -> dict[str, str]:
    """An environment in which everything is installed that is here, but those packages."""
    site = folder / "site"
    site.mkdir()
    for name in ("purelib", "platlib"):
        for each in Path(sysconfig.get_path(name)).iterdir():
            link = site / each.name
            if not each.name.lower().replace("-", "_").startswith(packages) and not link.is_symlink():
                link.symlink_to(each)
    return os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "joulegate.toml").write_text(TOML)
    command = [sys.executable, "-S", "-m", "proxy.cli", *arguments]
    environment = without(folder, "litellm", "boto3")
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def test_serve_without_it_ends_at_once_and_says_what_to_install(tmp_path: Path) -> None:
    ended = run(tmp_path, "serve", "--port", "0", "--console-port", "0")
    assert ended.returncode == 2
    assert "boto3 and litellm" in ended.stderr
    assert "requirements/translate.txt" in ended.stderr
    assert "joulegate[translate]" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_doctor_without_it_says_what_to_install_and_shows_the_way(tmp_path: Path) -> None:
    ended = run(tmp_path, "doctor", "--json")
    assert ended.returncode == 1
    overview = json.loads(ended.stdout)
    (finding,) = [each for each in overview["checks"] if each["what"] == "route nova"]
    assert finding["level"] == "error"
    assert "joulegate[translate]" in finding["says"]
    assert [route["via"] for route in overview["routes"]] == ["litellm"]
    # It has no origin: a translated call needs none.
    assert not [each for each in overview["checks"] if each["what"] == "provider bedrock"]


def test_doctor_shows_who_translates(tmp_path: Path) -> None:
    shown = run(tmp_path, "doctor").stdout
    assert "bedrock as bedrock/amazon.nova-lite-v1:0 via litellm" in shown


@pytest.mark.parametrize("version", ["1.82.7", "1.82.8"])
def test_a_release_with_malware_is_no_way_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    for name, number in (("litellm", version), ("boto3", "1.44.5")):
        folder = tmp_path / f"{name}-{number}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert metadata.version("litellm") == version
    (tmp_path / "joulegate.toml").write_text(TOML)
    monkeypatch.chdir(tmp_path)
    findings = {each.what: each for each in check_start(load(None, environment={}))}
    assert findings["route nova"].level == "error"
    assert "malware" in findings["route nova"].says
