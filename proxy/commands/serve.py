"""``joulegate serve``: the gate, the recorder and the console."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from proxy.checks import reason
from proxy.config import load
from proxy.errors import ConfigError
from proxy.handover import received
from proxy.log import set_up
from proxy.start import BEHIND_GATES, CLIENTS, listen_on, look, open_doors, run
from proxy.supervisor import Child, Lifeline


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
    check: Annotated[bool, typer.Option("--check", help="Only look whether it would start.")] = False,
    for_s: Annotated[float | None, typer.Option("--for", metavar="SECONDS", help="End by itself.")] = None,
) -> None:
    """Run the gate (8700) and the console (8701) until Ctrl-C. Works without any configuration.

    \b
    joulegate serve
    joulegate serve --config joulegate.toml --workers 4
    joulegate serve --demo --for 30
    joulegate serve --demo --port 8800 --console-port 8801

    Then point an SDK at it: OpenAI(base_url="http://127.0.0.1:8700/v1")
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    set_up("text")
    flags = _flags(host, port, console_port, database, workers)
    before = received()
    if demo:
        _demo(config, flags, for_s)
        return
    loaded = load(config, flags=flags)
    set_up(loaded.config.log.format)
    if check:
        look(loaded, before)
        typer.echo("joulegate serve would start.")
        return
    run(loaded, open_doors(loaded.config, "joulegate serve", "serve", before), for_s=for_s, before=before)


def _flags(
    host: str | None, port: int | None, console_port: int | None, database: str | None, workers: int | None
) -> dict[str, object]:
    flags: dict[str, object] = {}
    if host is not None or port is not None:
        flags["gate.listen"] = listen_on(host or "127.0.0.1", 8700 if port is None else port)
    if host is not None or console_port is not None:
        flags["console.listen"] = listen_on(host or "127.0.0.1", 8701 if console_port is None else console_port)
    if database is not None:
        flags["ledger.url"] = database
    if workers is not None:
        flags["gate.workers"] = workers
    return flags


def _demo(path: Path | None, flags: dict[str, object], for_s: float | None) -> None:
    """Run everything on one machine: a simulated provider, four teams with keys, SQLite in its own folder."""
    if path is not None:
        raise ConfigError("--demo brings its own configuration; leave out --config")
    try:
        from proxy.demo import TEAMS, demo_config_toml
    except ModuleNotFoundError as error:
        message = f"the demo's traffic needs {error.name}, which is not installed; it comes with joulegate[demo]"
        raise ConfigError(message) from None
    from proxy.demo_folder import demo_folder
    from proxy.simulator import listen, origin_of
    from proxy.teams import issue_key

    # The ports first: where a demo cannot start, nothing of an earlier one is touched.
    doors = open_doors(load(Path(os.devnull), flags=flags).config, "joulegate serve --demo", "demo")
    provider = listen("127.0.0.1", 0)
    keys = {team: issue_key() for team in TEAMS}

    def others(gate_url: str) -> tuple[Child, Child]:
        return (
            Child(name="traffic", run=partial(_traffic, gate_url, keys), stop_within_s=5, stage=CLIENTS),
            Child(name="simulator", run=partial(_simulate, provider), stop_within_s=5, stage=BEHIND_GATES),
        )

    with contextlib.ExitStack() as until_the_end:
        try:
            folder = until_the_end.enter_context(demo_folder())
            credential, file = folder / "credential", folder / "demo.toml"
            credential.write_text(f"sk-simulated-{secrets.token_hex(8)}")
            file.write_text(demo_config_toml(origin_of(provider), keys=keys, credential=f"file:{credential}"))
        except OSError as error:
            raise ConfigError(f"the demo cannot write here ({reason(error)}); start it in another folder") from None
        own: dict[str, object] = {"ledger.url": f"sqlite:///{folder}/demo.db", "journal.directory": f"{folder}/journal"}
        loaded = load(file, flags=own | flags)
        set_up(loaded.config.log.format)
        started = time.monotonic()
        run(loaded, doors, for_s=for_s, others=others)
        ran = f"\nThe demo ran {time.monotonic() - started:.0f} s."
        if not (folder / "demo.db").exists():
            typer.echo(f"{ran} That was too short to record a call.")
            return
        typer.echo(f"{ran} What it cost:\n")
        from proxy.commands.report import Form, Name, report

        report(Name.COST, by="team,model", form=Form.TABLE, config=file, database=loaded.config.ledger.url)


def _simulate(listening: socket.socket, lifeline: Lifeline) -> None:
    from proxy.simulator import serve_on

    lifeline.terminate_with_parent()
    serve_on(listening)


def _traffic(gate_url: str, keys: dict[str, str], lifeline: Lifeline) -> None:
    import asyncio

    from proxy.demo import drive

    async def run() -> None:
        until = asyncio.Event()
        lifeline.watch(asyncio.get_running_loop(), until.set)
        await drive(gate_url, keys=keys, until=until)

    asyncio.run(run())
