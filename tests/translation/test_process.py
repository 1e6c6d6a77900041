"""The translator's process stands alone: the SDK is in it and nowhere else, and nobody but the gates is served."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from tests.loopback import says
from tests.translation.conftest import KEY, Translating
from tests.translation.test_translating import ASK, MESSAGE, as_json

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[2]
LOOPBACK = "0100007F"  # as /proc/net/tcp writes 127.0.0.1


def holding_the_sdk(pids: list[int]) -> list[int]:
    """Those into which the SDK's own library, or the tokenizers that it loads, are mapped."""
    return [pid for pid in pids if re.search(r"/(litellm|tokenizers)/", Path(f"/proc/{pid}/maps").read_text())]


def resident_mib(pid: int) -> float:
    (kib,) = re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(kib) / 1024


def listening_ports(pid: int) -> dict[int, str]:
    """Port → address of every socket of a process that listens."""
    inodes = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes |= set(re.findall(r"socket:\[(\d+)\]", str(each.readlink())))
        except FileNotFoundError:  # closed since
            continue
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, state, inode = (line.split()[number] for number in (1, 3, 9))
        if state == "0A" and inode in inodes:
            address, port = local.split(":")
            found[int(port, 16)] = address
    return found


def translated_port(translating: Translating) -> int:
    own = {int(url.rpartition(":")[2]) for url in (translating.service.gate, translating.service.console)}
    ports = listening_ports(translating.service.process.pid)
    assert set(ports.values()) == {LOOPBACK}
    (port,) = ports.keys() - own
    return port


def test_the_sdk_is_in_one_process_and_in_no_gate(translating: Translating) -> None:
    translating.says(says(as_json(MESSAGE)))
    translating.client.chat.completions.create(model="claude-translated", messages=ASK)
    translating.row()
    pids = [translating.service.process.pid, *translating.service.children()["all"]]
    assert len(pids) == 5  # the supervisor, two gates, the translator, the console
    (translator,) = holding_the_sdk(pids)
    assert translator != translating.service.process.pid
    others = [resident_mib(pid) for pid in pids if pid != translator]
    assert resident_mib(translator) > max(others) + 50


@pytest.mark.parametrize("word", [None, "", "0" * 64])
def test_nobody_without_the_word_is_served(translating: Translating, word: str | None) -> None:
    headers = {"x-joulegate-route": "1", "x-joulegate-credential": "operator"}
    if word is not None:
        headers["x-joulegate-translator"] = word
    address = f"http://127.0.0.1:{translated_port(translating)}/v1/chat/completions"
    answer = httpx2.post(address, json={"model": "x", "messages": ASK}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_a_gate")
    assert translating.provider.seen == []


def test_a_client_cannot_pass_for_a_gate_through_a_gate(translating: Translating) -> None:
    translating.says(says(as_json(MESSAGE)))
    headers = {"authorization": f"Bearer {KEY}", "x-joulegate-route": "0", "x-joulegate-translator": "guess"}
    body = {"model": "claude-translated", "messages": ASK}
    answer = httpx2.post(f"{translating.service.gate}/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 200
    assert translating.seen.line.startswith(b"POST /v1/messages ")  # route 1, Anthropic's, and not 0, Bedrock's
    translating.row()


def test_a_translator_that_dies_is_started_again_and_calls_wait_for_it(translating: Translating) -> None:
    translating.says(says(as_json(MESSAGE)))
    (translator,) = holding_the_sdk(translating.service.children()["all"])
    os.kill(translator, signal.SIGKILL)
    while Path(f"/proc/{translator}").exists():
        time.sleep(0.02)
    completion = translating.client.chat.completions.create(model="claude-translated", messages=ASK)
    assert completion.choices[0].message.content == "High."
    assert len(translating.provider.seen) == 1
    translating.row()


AUDITED = """
import os, sys
reached = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        reached.append(str(arguments[1] if event == "socket.connect" else arguments[0]))
sys.addaudithook(watch)
from proxy.translation.surroundings import close_off
close_off(os.environ)
import proxy.translation.sdk
import litellm
seen = [name for name in os.environ if "SECRET" in name or "KEY" in name]
print(reached, seen, "env" if "FROM_DOTENV" in os.environ else "")
"""


def test_its_import_reaches_nobody_and_finds_no_credential(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("FROM_DOTENV=1\nOPENAI_API_KEY=sk-x\n")
    environment = os.environ | {"AWS_SECRET_ACCESS_KEY": "x", "ANTHROPIC_API_KEY": "x", "PYTHONPATH": str(ROOT)}
    said = subprocess.run(
        [sys.executable, "-c", AUDITED], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert (said.stdout.strip(), said.stderr) == ("[] []", "")
