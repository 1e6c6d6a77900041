"""The container files, checked where no container runs: each service's configuration by itself."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SPECIFICATION = json.loads(
    resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text()
)


def mounts() -> list[tuple[str, str, str]]:
    """Service, source and target of every volume in the short form ``source:target[:mode]``."""
    return [
        (name, *volume.split(":")[:2]) for name, service in SERVICES.items() for volume in service.get("volumes", [])
    ]


def test_the_compose_file_is_valid_by_the_compose_specification():
    jsonschema.validate(COMPOSE, SPECIFICATION)


@pytest.mark.parametrize("wrong", [{"imagee": "postgres"}, {"ports": "8700"}, {"healthcheck": {"interval": 5}}])
def test_the_specification_notices_a_mistake(wrong):
    broken = {**COMPOSE, "services": {**SERVICES, "postgres": {**SERVICES["postgres"], **wrong}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, SPECIFICATION)


def test_the_four_services_are_there_each_pinned_and_watched():
    assert set(SERVICES) == {"joulegate", "postgres", "prometheus", "grafana"}
    for name, service in SERVICES.items():
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+[\w.-]*", service["image"]), f"{name}: the tag is not pinned"
        assert "healthcheck" in service or (name == "joulegate" and "HEALTHCHECK" in DOCKERFILE)


def test_ports_are_published_on_loopback_only():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_secrets_come_from_the_environment_and_have_no_default():
    secrets = [
        (key, value)
        for service in SERVICES.values()
        for key, value in service.get("environment", {}).items()
        if "PASSWORD" in key or "://" in value
    ]
    assert secrets
    for key, value in secrets:
        assert re.search(r"\$\{[A-Z_]+:\?[^}]+\}", value), f"{key} does not ask for its secret"


def test_every_mounted_folder_and_named_volume_exists():
    for name, source, _ in mounts():
        if source.startswith("."):
            assert (ROOT / source).exists(), f"{name} mounts {source}, which is not there"
        else:
            assert source in COMPOSE["volumes"], f"{name} mounts the volume {source}, which is not declared"


def test_dependencies_name_services():
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_prometheus_scrapes_the_console_by_its_service_name():
    configuration = yaml.safe_load((ROOT / "dashboards/prometheus/prometheus.yml").read_text())
    targets = [
        target
        for job in configuration["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    ]
    assert "joulegate:8701" in targets
    inside = {target: target for _, source, target in mounts() if source == "./dashboards/prometheus"}
    for rules in configuration.get("rule_files", []):
        folder = ROOT / "dashboards/prometheus"
        pattern = rules.removeprefix(f"{next(iter(inside))}/")
        assert list(folder.glob(pattern)), f"no rule file matches {rules}"


def test_gate_and_prometheus_have_the_consoles_token_from_one_secret():
    assert COMPOSE["secrets"] == {"console_token": {"environment": "CONSOLE_TOKEN"}}
    assert [name for name, service in SERVICES.items() if service.get("secrets") == ["console_token"]] == [
        "joulegate",
        "prometheus",
    ]
    where = "/run/secrets/console_token"
    assert SERVICES["joulegate"]["environment"]["JOULEGATE_CONSOLE_TOKEN"] == f"file:{where}"
    configuration = yaml.safe_load((ROOT / "dashboards/prometheus/prometheus.yml").read_text())
    (job,) = [each for each in configuration["scrape_configs"] if each["job_name"] == "joulegate"]
    assert job["authorization"] == {"credentials_file": where}


def test_grafana_finds_its_datasource_and_dashboards():
    targets = {
        target: ROOT / source for name, source, target in mounts() if name == "grafana" and source.startswith(".")
    }
    provisioning = targets["/etc/grafana/provisioning"]
    (datasources,) = [
        yaml.safe_load(path.read_text())["datasources"] for path in provisioning.glob("datasources/*.y*ml")
    ]
    assert [source["url"] for source in datasources if source["type"] == "prometheus"] == ["http://prometheus:9090"]
    for path in provisioning.glob("dashboards/*.y*ml"):
        for provider in yaml.safe_load(path.read_text())["providers"]:
            folder = targets[provider["options"]["path"]]
            assert list(folder.glob("*.json")), f"no dashboard in {folder.name}"


def test_the_gate_in_the_container_is_configured_by_settings_that_exist():
    from proxy.config import load

    written = SERVICES["joulegate"]["environment"] | dict(re.findall(r"(JOULEGATE_\w+)=(\S+)", DOCKERFILE))
    loaded = load(None, environment={key: re.sub(r"\$\{[^}]+\}", "secret", value) for key, value in written.items()})
    assert loaded.ignored == ()
    assert set(loaded.origins.values()) == {"environment"}
    assert len(loaded.origins) == len(written)
    assert loaded.config.ledger.url.startswith("postgresql+psycopg://")
    ports = {port.rsplit(":", 1)[1] for port in SERVICES["joulegate"]["ports"]}
    assert ports == {listen.rsplit(":", 1)[1] for listen in (loaded.config.gate.listen, loaded.config.console.listen)}


def test_the_image_runs_unprivileged_from_locked_packages_without_build_tools():
    final = DOCKERFILE.rsplit("\nFROM ", 1)[1]
    assert re.search(r"^USER (?!root)\w+", final, re.MULTILINE)
    assert "pip install" not in final
    assert len(re.findall(r"^FROM python:\d+\.\d+\.\d+-slim-\w+", DOCKERFILE, re.MULTILINE)) == 2
    installs = re.findall(r"pip install ([^&\n]*)", DOCKERFILE)
    assert all("--require-hashes" in install or "--no-index" in install for install in installs)


def test_what_the_dockerfile_copies_is_sent_to_it():
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied == sent
    assert [source for source in copied if not (ROOT / source).exists()] == []


@pytest.mark.heavy
def test_the_steps_of_the_image_make_a_gate_that_answers(tmp_path):
    """The Dockerfile's own commands, run where no container runs: same lines, other folders."""
    build, final = DOCKERFILE.rsplit("\nFROM ", 1)
    source = tmp_path / "src"
    for copied in re.findall(r"^COPY (.+) \S+$", build, re.MULTILINE):
        for name in copied.split():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, target)
    for step in re.findall(r"^RUN ((?:.*\\\n)*.*)$", build, re.MULTILINE):
        command = step.replace("\\\n", " ").replace("/opt/", f"{tmp_path}/opt/").replace("/dist", f"{tmp_path}/dist")
        command = re.sub(r"(?<!/)\bpython -m venv", f"{sys.executable} -m venv", command)
        subprocess.run(["sh", "-ec", command], cwd=source, check=True, capture_output=True)
    program = tmp_path / "opt" / "joulegate" / "bin" / "joulegate"
    assert not (program.parent / "pip").exists()
    assert not (program.parent / "hatchling").exists()

    home = tmp_path / "home"
    home.mkdir()
    entry = json.loads(re.search(r"^ENTRYPOINT (.+)$", final, re.MULTILINE)[1])
    command = [str(program), *entry[1:], *json.loads(re.search(r"^CMD (.+)$", final, re.MULTILINE)[1])]
    with socket.socket() as gate, socket.socket() as console:
        gate.bind(("127.0.0.1", 0))
        console.bind(("127.0.0.1", 0))
        ports = gate.getsockname()[1], console.getsockname()[1]
    listening = {name: f"127.0.0.1:{port}" for name, port in zip(("GATE", "CONSOLE"), ports, strict=True)}
    environment = {"PATH": os.environ["PATH"], "CONSOLE_TOKEN": "t" * 32} | {
        f"JOULEGATE_{name}_LISTEN": where for name, where in listening.items()
    }
    with subprocess.Popen(command, cwd=home, env=environment, stderr=subprocess.PIPE) as running:
        try:
            probe = re.search(r"CMD \[\"python\", \"-c\", \"(.+)\"\]$", DOCKERFILE, re.MULTILINE)[1]
            probe = probe.replace("127.0.0.1:8700", listening["GATE"])
            probed = [sys.executable, "-c", probe]
            assert wait_until(lambda: subprocess.run(probed, capture_output=True).returncode == 0)
            assert wait_until((home / "joulegate.db").exists)
        finally:
            running.terminate()
            log = running.stderr.read().decode()
        assert running.wait(30) == 0, log


def wait_until(true, *, patience_s=30):
    deadline = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True
