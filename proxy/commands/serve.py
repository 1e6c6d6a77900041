"""``joulegate serve``: the gate, the recorder and the console."""

from __future__ import annotations

import logging
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from proxy.config import Config, Loaded, load, split_listen
from proxy.errors import ConfigError
from proxy.gate_process import run_gate
from proxy.routing import Routes
from proxy.supervisor import Child, Lifeline, Supervisor

log = logging.getLogger("joulegate")

CONSOLE_STOP_S = 60.0  # the recorder takes over what the journals hold
DEMO_FOLDER = Path("joulegate-demo")


def serve(
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Configuration; default: joulegate.toml here.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address of the gate and the console.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of the gate; 0: any free one.")] = None,
    console_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of the console; 0: any.")] = None,
    database: Annotated[str | None, typer.Option(metavar="URL", help="Where calls are kept.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Gate processes; one per core is plenty.")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="A simulated provider and live traffic of four teams.")] = False,
    for_s: Annotated[float | None, typer.Option("--for", metavar="SECONDS", help="End by itself.")] = None,
) -> None:
    """Run the gate (8700) and the console (8701) until Ctrl-C. Works without any configuration.

    \b
    joulegate serve
    joulegate serve --config joulegate.toml --workers 4
    joulegate serve --demo --for 30

    Then point an SDK at it: OpenAI(base_url="http://127.0.0.1:8700/v1")
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    # Warnings of anybody, and what this program itself has to say; never a line per call.
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    log.setLevel(logging.INFO)
    flags = _flags(host, port, console_port, database, workers)
    if demo:
        _demo(config, flags, for_s)
        return
    loaded = load(config, flags=flags)
    for name in loaded.ignored:
        log.warning("%s is no setting of Joulegate and is ignored", name)
    _run(loaded, for_s=for_s)


def _flags(
    host: str | None, port: int | None, console_port: int | None, database: str | None, workers: int | None
) -> dict[str, object]:
    flags: dict[str, object] = {}
    if host is not None or port is not None:
        flags["gate.listen"] = _listen(host or "127.0.0.1", 8700 if port is None else port)
    if host is not None or console_port is not None:
        flags["console.listen"] = _listen(host or "127.0.0.1", 8701 if console_port is None else console_port)
    if database is not None:
        flags["ledger.url"] = database
    if workers is not None:
        flags["gate.workers"] = workers
    return flags


def _listen(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _run(loaded: Loaded, *, for_s: float | None, others: Callable[[str], tuple[Child, Child]] | None = None) -> None:
    config = loaded.config
    Routes(config)  # fails here, with a message, rather than in a worker
    _raise_file_limit()
    gate_socket = _open("gate", config.gate.listen)
    console_socket = _open("console", config.console.listen)
    gate_url, console_url = _url(gate_socket), _url(console_socket)
    gates = [
        Child(
            name=f"gate {number}",
            run=partial(run_gate, config, gate_socket, str(number)),
            stop_within_s=config.gate.shutdown_s + 5,
        )
        for number in range(1, config.gate.workers + 1)
    ]
    console = Child(
        name="console", run=partial(_console, config, console_socket, gate_url), stop_within_s=CONSOLE_STOP_S
    )
    children = [*gates, console]
    if others is not None:
        traffic, simulator = others(gate_url)
        children = [traffic, *gates, simulator, console]
    # In this order they are started and stopped: the console last, it records what the others did.
    Supervisor(children).run(for_s=for_s, started=partial(_announce, config, gate_url, console_url))


def _console(config: Config, listening: socket.socket, gate_url: str, lifeline: Lifeline) -> None:
    from proxy.console_process import run_console  # half a second of imports the gates do not need

    run_console(config, listening, gate_url, lifeline)


def _announce(config: Config, gate_url: str, console_url: str) -> None:
    typer.echo(f"gate     {gate_url}/v1   point your SDK's base_url here")
    typer.echo(f"console  {console_url}/   metrics {console_url}/metrics")
    ledger = _without_password(config.ledger.url)
    typer.echo(f"ledger   {ledger}   report: {sys.argv[0]} report cost --by team,model --database {ledger}")
    for what, listen in (("gate", config.gate.listen), ("console", config.console.listen)):
        if split_listen(listen)[0] not in ("127.0.0.1", "::1", "localhost"):
            if what == "console":
                log.warning("the console listens on %s: whoever reaches it reads every team's figures", listen)
            elif config.gate.keys == "open":
                log.warning('the gate listens on %s and needs no key; set keys = "required" in [gate]', listen)


def _without_password(url: str) -> str:
    scheme, divided, rest = url.partition("://")
    return f"{scheme}://…@{rest.rpartition('@')[2]}" if divided and "@" in rest else url


def _open(what: str, listen: str) -> socket.socket:
    host, port = split_listen(listen)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=4096)
    except OSError as error:
        option = "--port" if what == "gate" else "--console-port"
        message = f"the {what} cannot listen on {listen} ({error.strerror}); choose another port with {option}"
        raise ConfigError(message) from None


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{_listen(host, port)}"


def _raise_file_limit() -> None:
    """Allow as many connections as the system lets this user have: two per call."""
    try:
        import resource
    except ImportError:  # not a Unix: no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _demo(path: Path | None, flags: dict[str, object], for_s: float | None) -> None:
    """Run everything on one machine: a simulated provider, four teams with keys, SQLite in its own folder."""
    if path is not None:
        raise ConfigError("--demo brings its own configuration; leave out --config")
    from proxy.demo import TEAMS, demo_config_toml
    from proxy.simulator import listen, origin_of
    from proxy.teams import issue_key

    DEMO_FOLDER.mkdir(exist_ok=True)
    for left in (*DEMO_FOLDER.glob("demo.db*"), *DEMO_FOLDER.glob("journal/*")):
        left.unlink()
    provider = listen("127.0.0.1", 0)
    keys = {team: issue_key() for team in TEAMS}
    with tempfile.TemporaryDirectory() as folder:
        credential = Path(folder, "credential")
        credential.write_text(f"sk-simulated-{secrets.token_hex(8)}")
        file = Path(folder, "demo.toml")
        file.write_text(demo_config_toml(origin_of(provider), keys=keys, credential=f"file:{credential}"))
        flags.setdefault("ledger.url", f"sqlite:///{DEMO_FOLDER}/demo.db")
        flags["journal.directory"] = str(DEMO_FOLDER / "journal")
        loaded = load(file, flags=flags)

        def others(gate_url: str) -> tuple[Child, Child]:
            return (
                Child(name="traffic", run=partial(_traffic, gate_url, keys), stop_within_s=5),
                Child(name="simulator", run=partial(_simulate, provider), stop_within_s=5),
            )

        started = time.monotonic()
        _run(loaded, for_s=for_s, others=others)
    typer.echo(f"\nThe demo ran {time.monotonic() - started:.0f} s. What it cost:\n")
    from proxy.commands.report import Form, Name, report

    report(Name.COST, by="team,model", form=Form.TABLE, database=loaded.config.ledger.url)


def _simulate(listening: socket.socket, lifeline: Lifeline) -> None:
    from proxy.simulator import serve

    lifeline.terminate_with_parent()
    serve(listening)


def _traffic(gate_url: str, keys: dict[str, str], lifeline: Lifeline) -> None:
    import asyncio

    from proxy.demo import drive

    async def run() -> None:
        until = asyncio.Event()
        lifeline.watch(asyncio.get_running_loop(), until.set)
        await drive(gate_url, keys=keys, until=until)

    asyncio.run(run())
