"""What is measured: how each proxy is installed, configured and started in front of the same two mock providers."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.exchange import CANNED_MODEL, PACED_MODEL, reply
from bench.processes import free_port

HERE = Path(__file__).parent
CHAT = "/v1/chat/completions"
NGINX = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {servers}
}}
"""
CANNED = """
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ default_type application/json; return 200 '{reply}'; }}
    }}
"""
PROXY = """
    upstream provider{upstream} {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://provider{upstream};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
"""
LITELLM = """
model_list:
  - model_name: {canned_model}
    litellm_params: {{model: openai/{canned_model}, api_base: "http://127.0.0.1:{canned}/v1", api_key: sk-upstream}}
  - model_name: {paced_model}
    litellm_params: {{model: openai/{paced_model}, api_base: "http://127.0.0.1:{paced}/v1", api_key: sk-upstream}}
general_settings: {{master_key: {key}}}
"""
JOULEGATE = """
[gate]
listen = "127.0.0.1:{port}"
keys = "required"
[console]
listen = "127.0.0.1:{console}"
[ledger]
url = "sqlite:///{folder}/joulegate.db"
[journal]
directory = "{folder}/journal"
[[provider]]
name = "canned"
origin = "http://127.0.0.1:{canned}"
surface = "openai"
credential = "env:BENCH_PROVIDER_KEY"
zone = "USA"
[[provider]]
name = "paced"
origin = "http://127.0.0.1:{paced}"
surface = "openai"
credential = "env:BENCH_PROVIDER_KEY"
zone = "USA"
[[route]]
match = "{canned_model}"
provider = "canned"
[[route]]
match = "{paced_model}"
provider = "paced"
[[team]]
name = "bench"
[[team.key]]
id = "bench"
sha256 = "{digest}"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Providers:
    """Ports of the two mock providers."""

    canned: int
    paced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A command, and where the proxy it starts answers."""

    command: tuple[str, ...]
    whole_url: str
    stream_url: str
    environment: dict[str, str]
    key: str = "sk-client"


Target = Callable[[Path, Providers], Launch]


def canned_provider(folder: Path, port: int) -> tuple[str, ...]:
    return _nginx(folder, CANNED.format(port=port, reply=reply().decode()))


def paced_provider(port: int) -> tuple[str, ...]:
    return (sys.executable, "-m", "bench.paced", str(port))


def nginx(folder: Path, providers: Providers) -> Launch:
    """A plain reverse proxy: no metering, no keys."""
    whole, stream = free_port(), free_port()
    servers = PROXY.format(upstream=providers.canned, port=whole) + PROXY.format(upstream=providers.paced, port=stream)
    return Launch(
        command=_nginx(folder, servers),
        whole_url=f"http://127.0.0.1:{whole}{CHAT}",
        stream_url=f"http://127.0.0.1:{stream}{CHAT}",
        environment=plain_environment(),
    )


def litellm(folder: Path, providers: Providers) -> Launch:
    """LiteLLM's proxy with a key, one worker, no database, quiet."""
    port, key = free_port(), "sk-bench-0123456789"
    configuration = folder / "litellm.yaml"
    models = {"canned_model": CANNED_MODEL, "paced_model": PACED_MODEL}
    configuration.write_text(LITELLM.format(canned=providers.canned, paced=providers.paced, key=key, **models))
    program = litellm_environment() / "bin" / "litellm"
    command = (str(program), "--config", str(configuration), "--host", "127.0.0.1", "--port", str(port))
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    url = f"http://127.0.0.1:{port}{CHAT}"
    return Launch(
        command=(*command, "--num_workers", "1", "--telemetry", "False"),
        whole_url=url,
        stream_url=url,
        environment=plain_environment() | quiet,
        key=key,
    )


def joulegate(folder: Path, providers: Providers) -> Launch:
    """Everything on: a key, the journal, estimates, SQL rows and metrics; gate, recorder and console counted."""
    port, key = free_port(), "jg-bench-0123456789"
    models = {"canned_model": CANNED_MODEL, "paced_model": PACED_MODEL}
    configuration = folder / "joulegate.toml"
    configuration.write_text(
        JOULEGATE.format(
            port=port,
            console=free_port(),
            folder=folder,
            canned=providers.canned,
            paced=providers.paced,
            digest=hashlib.sha256(key.encode()).hexdigest(),
            **models,
        )
    )
    url = f"http://127.0.0.1:{port}{CHAT}"
    return Launch(
        command=(str(Path(sys.executable).parent / "joulegate"), "serve", "--config", str(configuration)),
        whole_url=url,
        stream_url=url,
        environment=plain_environment() | {"BENCH_PROVIDER_KEY": "sk-upstream"},
        key=key,
    )


TARGETS: dict[str, Target] = {"nginx": nginx, "litellm": litellm, "joulegate": joulegate}


def plain_environment() -> dict[str, str]:
    """What every target gets: nothing that switches a proxy's behaviour."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}


def litellm_environment() -> Path:
    """Where LiteLLM is installed for this interpreter, outside the repository; made from the lock on first use."""
    lock = HERE / "litellm.txt"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "joulegate-bench"
    made_of = lock.read_bytes() + f"{sys.base_prefix} {sys.version}".encode()
    folder = cache / f"litellm-{hashlib.sha256(made_of).hexdigest()[:12]}"
    ready = folder / ".ready"
    if not ready.exists():
        print(f"Installing LiteLLM into {folder} …", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        # The lock is complete; --no-deps because LiteLLM asks for a certifi that was never published.
        install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--no-deps", "--require-hashes", "--requirement", str(lock)], check=True)
        ready.touch()
    return folder


def _nginx(folder: Path, servers: str) -> tuple[str, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # its workers must reach the folder
    configuration.write_text(NGINX.format(user=user, folder=folder, servers=servers))
    return ("nginx", "-p", str(folder), "-c", str(configuration))
