"""The whole service: a call of the official SDK is seen in the ledger, the metrics, the console and the report."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import openai
import pytest

from proxy.simulator import in_thread
from proxy.teams import digest, issue_key
from tests.service.running import Service, get, post, service

PROVIDER_KEY = "sk-canary-7f3a91c2e5d84b60"
PROMPT_WORD = "zanzibar-quokka-prompt"


@pytest.fixture(scope="module")
def provider():
    with in_thread() as origin:
        yield origin


def _toml(origin: str, key: str = "", *, gate: str = "") -> str:
    lines = [f"[gate]\n{gate}", f'[[provider]]\nname = "openai"\norigin = "{origin}"\nzone = "FRA"']
    if key:
        lines[1] += '\ncredential = "file:credential"'
        lines.append(f'[[team]]\nname = "search"\n[[team.key]]\nid = "search-1"\nsha256 = "{digest(key.encode())}"')
    return "\n".join(lines)


def _eventually(look, within_s: float = 10.0):
    deadline = time.monotonic() + within_s
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def test_a_call_is_seen_everywhere(tmp_path: Path, provider: str) -> None:
    key = issue_key()
    (tmp_path / "credential").write_text(PROVIDER_KEY)
    with service(tmp_path, _toml(provider, key, gate='keys = "required"')) as running:
        client = openai.OpenAI(base_url=f"{running.gate}/v1", api_key=key)
        reply = client.chat.completions.with_raw_response.create(
            model="gpt-4o", messages=[{"role": "user", "content": PROMPT_WORD}]
        )
        usage = reply.parse().usage
        assert usage is not None
        (row,) = running.wait_for_calls(1)
        assert row["id"] == reply.headers["x-joulegate-call-id"]
        assert (row["team"], row["key_id"], row["provider"]) == ("search", "search-1", "openai")
        assert (row["input_tokens"], row["output_tokens"]) == (usage.prompt_tokens, usage.completion_tokens)
        assert row["usage_source"] == "reported"
        assert row["zone"] == "FRA"
        assert row["flops"] > 0
        assert row["joules_low"] < row["joules"] < row["joules_high"]
        assert row["grams_co2e"] > 0
        # The header told the client the same before the row was there.
        assert float(reply.headers["x-joulegate-energy-joules"]) == pytest.approx(row["joules"], rel=1e-4)
        assert float(reply.headers["x-joulegate-co2e-grams"]) == pytest.approx(row["grams_co2e"], rel=1e-4)

        metrics = _eventually(
            lambda: (text := get(f"{running.console}/metrics").text) and 'model="gpt-4o' in text and text
        )
        assert metrics, (get(f"{running.console}/metrics").text, running.output)
        assert 'outcome="ok"' in metrics
        page = get(f"{running.console}/").text
        assert "gpt-4o" in page
        assert "search" in page
        report = subprocess.run(
            [sys.executable, "-m", "proxy.cli", "report", "cost", "--by", "team,model", "--json"],
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
        assert reply.headers["x-joulegate-cost-usd"] in report.stdout.decode()
        assert running.stop() == 0
    _no_canary(running, key)


def _no_canary(running: Service, key: str) -> None:
    """Nothing of a key, a prompt or a reply lies anywhere."""
    secret = [PROVIDER_KEY.encode(), key.encode(), key[3:].encode(), PROMPT_WORD.encode()]
    looked_at = 0
    for file in running.folder.rglob("*"):
        if file.is_file() and file.name != "credential":
            content = file.read_bytes()
            looked_at += 1
            for each in secret:
                assert each not in content, file
    assert looked_at >= 2  # the ledger and the output at least


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_reach_no_sink_even_where_things_go_wrong(tmp_path: Path, provider: str, form: str) -> None:
    key = issue_key()
    (tmp_path / "credential").write_text(PROVIDER_KEY)
    toml = _toml(provider, key, gate='keys = "required"') + f'\n[log]\nformat = "{form}"\n'
    with service(tmp_path, toml) as running:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": PROMPT_WORD}]}
        slots = [
            {"authorization": f"Bearer {key}"},
            {"x-api-key": key},
            {"api-key": key},
            {"x-goog-api-key": key},
            {"x-joulegate-key": key, "authorization": f"Bearer {PROVIDER_KEY}"},
            {"authorization": "Bearer jg-wrong" + key[3:]},
            {"authorization": f"Bearer {key}", "x-simulate-status": "401"},
            {"authorization": f"Bearer {key}", "x-simulate-error-after": "2"},
            {"authorization": f"Bearer {key}", "content-type": "text/plain; " + PROMPT_WORD},
        ]
        answers = [post(f"{running.gate}/v1/chat/completions", json=body, headers=slot) for slot in slots]
        answers.append(post(f"{running.gate}/openai/v1/chat/completions?key={key}", json=body))
        answers.append(post(f"{running.gate}/v1/chat/completions?key={key}", content=PROMPT_WORD.encode()))
        answers.append(get(f"{running.gate}/v1/models", headers={"authorization": f"Bearer {key}"}))
        running.wait_for_calls(len(answers))
        shown = [
            get(running.console + path).text
            for path in ("/", "/metrics", "/api/calls", "/api/totals?by=team,model", "/api/health", "/api/openapi.json")
        ]
        shown += [answer.text for answer in answers if answer.status_code in (401, 404) and "jg-" not in answer.text]
        for secret in (PROVIDER_KEY, key, key[3:], PROMPT_WORD):
            assert not any(secret in text for text in shown), secret
        for pid in running.children()["all"]:  # so that there is something to be said
            os.kill(pid, signal.SIGKILL)
        _eventually(lambda: running.output.count(b"started again") == 2)
        assert running.stop() == 0
    _no_canary(running, key)
    said = running.output.decode().splitlines()
    if form == "json":
        assert {json.loads(line)["level"] for line in said} >= {"info", "error"}
    assert len(said) >= 3


def test_every_finished_reply_survives_kill_nine(tmp_path: Path, provider: str) -> None:
    finished: list[str] = []
    stop = threading.Event()
    with service(tmp_path, _toml(provider)) as first:

        def load(number: int) -> None:
            client = openai.OpenAI(base_url=f"{first.gate}/v1", api_key="sk", max_retries=0)
            while not stop.is_set():
                try:
                    if number % 2:
                        reply = client.chat.completions.with_raw_response.create(
                            model="gpt-4o-mini", messages=[{"role": "user", "content": "plain"}]
                        )
                        reply.parse()
                        finished.append(reply.headers["x-joulegate-call-id"])
                    else:
                        stream = client.chat.completions.create(
                            model="gpt-4o-mini", messages=[{"role": "user", "content": "stream"}], stream=True
                        )
                        call_id = stream.response.headers["x-joulegate-call-id"]
                        for _ in stream:
                            pass
                        finished.append(call_id)
                except openai.APIError:
                    return
                except httpx2.HTTPError:
                    return

        threads = [threading.Thread(target=load, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        _eventually(lambda: len(finished) > 100)
        first.kill()
        stop.set()
        for thread in threads:
            thread.join(20)
    assert len(finished) > 100
    with service(tmp_path, _toml(provider)) as second:
        _eventually(lambda: {row["id"] for row in second.calls()} >= set(finished))
        rows = second.calls()
    ids = [row["id"] for row in rows]
    assert len(ids) == len(set(ids))
    assert set(finished) <= set(ids)
    by_id = {row["id"]: row for row in rows}
    assert {by_id[each]["outcome"] for each in finished} == {"ok"}
    assert {by_id[each]["usage_source"] for each in finished} == {"reported"}
    assert {row["outcome"] for row in rows} <= {"ok", "interrupted", "aborted"}


def test_a_dead_gate_is_started_again(tmp_path: Path, provider: str) -> None:
    with service(tmp_path, _toml(provider)) as running:
        before = set(running.children()["all"])
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        assert _eventually(lambda: len(set(running.children()["all"]) - before) == len(before), 15)
        assert _eventually(lambda: _answers(running), 15)
        running.wait_for_calls(1)


def _answers(running: Service) -> bool:
    asked = {"model": "text-embedding-3-small", "input": "x"}
    try:
        # A call that the client gives up is a row as well: only one that nobody takes is tried again.
        reply = post(f"{running.gate}/v1/embeddings", json=asked, timeout=120)
    except httpx2.HTTPError:
        return False
    return reply.status_code == 200


def test_children_end_when_their_parent_is_killed(tmp_path: Path, provider: str) -> None:
    with service(tmp_path, _toml(provider)) as running:
        children = running.children()["all"]
        running.process.kill()
        running.process.wait(10)
        assert _eventually(lambda: not any(_alive(pid) for pid in children), 15)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_taken_port_is_said_clearly(tmp_path: Path, provider: str) -> None:
    with service(tmp_path, _toml(provider)) as running:
        port = running.gate.rsplit(":", 1)[1]
        second = subprocess.run(
            [sys.executable, "-m", "proxy.cli", "serve", "--port", port],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert second.returncode == 2
    assert "choose another port with --port" in second.stderr
    assert "Traceback" not in second.stderr


def test_the_demo_meters_its_own_traffic(tmp_path: Path) -> None:
    ports = ["--port", "0", "--console-port", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "proxy.cli", "serve", "--demo", "--for", "6", *ports],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    report = subprocess.run(
        [sys.executable, "-m", "proxy.cli", "report", "cost", "--by", "team", "--json", "--database",
         "sqlite:///joulegate-demo/demo.db"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )  # fmt: skip
    assert json.loads(report.stdout)
    assert "search" in done.stdout or "support" in done.stdout
