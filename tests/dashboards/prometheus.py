"""A real Prometheus (Debian's package) with the shipped configuration and rules, but quicker."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.dashboards.boards import folder

SHIPPED = folder("prometheus")


def run(tool: str, *arguments: str, cwd: Path = SHIPPED) -> str:
    """Run a program of Prometheus; gives what it says."""
    ran = subprocess.run([_found(tool), *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def _found(tool: str) -> str:
    found = shutil.which(tool)
    assert found, f"needs {tool} (Debian package prometheus)"
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextlib.contextmanager
def prometheus(home: Path, *targets: int) -> Iterator[str]:
    """Run it with a scrape every second and sums of five seconds in the place of minutes; gives its URL."""
    configuration = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
    rules = (SHIPPED / "joulegate.rules.yml").read_text()
    (home / "joulegate.rules.yml").write_text(
        rules.replace("interval: 5m", "interval: 5s").replace("[5m]", "[5s]").replace("offset 5m", "offset 5s")
    )
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (home / "token").write_text("that the consoles of tests do not ask for")
    configuration["scrape_configs"][0]["authorization"] = {"credentials_file": f"{home}/token"}
    configuration["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{each}" for each in targets]}]
    (home / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    port = free_port()
    compose = yaml.safe_load((SHIPPED.parent.parent / "docker-compose.yml").read_text())
    folders = {"/etc/prometheus/": f"{home}/", "=/prometheus": f"={home}/tsdb"}
    command = [f"--web.listen-address=127.0.0.1:{port}"]
    for argument in compose["services"]["prometheus"]["command"]:
        inside = next(folder for folder in (*folders, "") if folder in argument)
        command.append(argument.replace(inside, folders[inside]) if inside else argument)
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([_found("prometheus"), *command], stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def ask(url: str, path: str, **parameters: str) -> Any:
    """Ask Prometheus' API."""
    with urllib.request.urlopen(f"{url}{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as reply:
        return json.load(reply)["data"]


def query(url: str, expr: str) -> list[dict[str, Any]]:
    """Ask for the values of a moment."""
    found: list[dict[str, Any]] = ask(url, "/api/v1/query", query=expr)["result"]
    return found


def numbers(url: str, expr: str, *, step_s: int = 0) -> list[float]:
    """Give all numbers of now, or of the last minute at multiples of the step, as Grafana asks."""
    if not step_s:
        return [float(series["value"][1]) for series in query(url, expr)]
    end = int(time.time())
    start = (end - 60) // step_s * step_s
    answer = ask(url, "/api/v1/query_range", query=expr, start=str(start), end=str(end), step=str(step_s))
    return [float(value) for series in answer["result"] for _, value in series["values"]]


def wait(what: str, condition: Callable[[], object], *, seconds: float = 60.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            if condition():
                return
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.2)
