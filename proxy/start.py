"""Starting a gate: its ports, what it needs, its processes, and what is said about them."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from proxy.checks import check_start, free_port, reason
from proxy.config import Loaded, split_listen
from proxy.errors import ConfigError
from proxy.gate_process import run_gate
from proxy.handover import Door, Handover, begin_anew, would_start
from proxy.in_force import Slot as RosterSlot
from proxy.in_force import slots as roster_slots
from proxy.lag import Lag
from proxy.roster import FILE, RosterError, budgets_in
from proxy.routing import Origin, Secret, Translator
from proxy.sections import Config
from proxy.supervisor import Child, Left, Lifeline, Supervisor
from proxy.unwritten import Slot, slots

if TYPE_CHECKING:
    from proxy.budgets.exposure import Exposure, Shared

log = logging.getLogger("joulegate")

CONSOLE_STOP_S = 60.0  # the recorder takes over what the journals hold
MIRROR_STOP_S = 10.0  # what it has not copied, the next start does
TRANSLATOR_STOP_S = 5.0  # the gates have ended before it, and with them its calls
PORT_STEP = 100  # from a port that is taken to the one proposed instead
COULD_NOT_START = 1
# Who is stopped together, and in which order: clients first, then gates, then what gates ask, then who records it all.
CLIENTS, GATES, BEHIND_GATES, RECORDER = range(4)


class Doors(NamedTuple):
    """The listening sockets; who connects before a process serves them waits there."""

    gate: socket.socket
    console: socket.socket


def listen_on(host: str, port: int) -> str:
    """Write ``HOST:PORT``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def open_doors(config: Config, command: str, target: str, before: Handover | None = None) -> Doors:
    """Open both ports, or take those that the program ``before`` this one has opened.

    Raises :class:`ConfigError` with what to type instead of ``command`` or ``make target``.
    """
    return Doors(
        gate=_taken(before.gate if before else None, config.gate.listen)
        or _open("gate", config.gate.listen, config, command, target),
        console=_taken(before.console if before else None, config.console.listen)
        or _open("console", config.console.listen, config, command, target),
    )


def look(loaded: Loaded, before: Handover | None) -> None:
    """Look whether a service of this configuration would start; raises :class:`ConfigError` where it would not.

    A port counts as free where a running service, which asks ``before`` it makes way, has it.
    """
    _require(loaded)
    config = loaded.config
    if before is not None:
        for door, listen in ((before.gate, config.gate.listen), (before.console, config.console.listen)):
            if door.listen != listen:
                free_port(listen)


def run(
    loaded: Loaded,
    doors: Doors,
    *,
    for_s: float | None,
    others: Callable[[str], tuple[Child, Child]] | None = None,
    before: Handover | None = None,
) -> None:
    """Run gates, recorder and console until told to stop; ``others`` makes a demo's traffic and simulator.

    ``before`` is what the program had whose place this one takes: its processes end when those of this one are at work.
    Raises :class:`ConfigError` before anything runs or is said where something needed is missing.
    """
    config = loaded.config
    _require(loaded)
    _raise_file_limit()
    gate_url, console_url = _url(doors.gate), _url(doors.console)
    translator, translating = _translation(config)
    said = slots(config.gate.workers)  # by each gate, for the console: what it cannot write to its journal
    rosters = roster_slots(config.gate.workers)  # by each gate, for the console: which keys are in force there
    lag = Lag()  # said by the recorder, for the gates
    mirror_lag = Lag() if config.mirror.url is not None else None  # said by the mirror, for the metrics
    exposure = _exposure(config, before)  # to budgets, between gates and recorder
    gates = [
        Child(
            name=f"gate {number}",
            run=partial(
                run_gate,
                config,
                doors.gate,
                str(number),
                slot=slot,
                lag=lag,
                translator=translator,
                roster_slot=roster_slot,
                exposure=exposure,
            ),
            stop_within_s=config.gate.shutdown_s + 5,
            stage=GATES,
            drain_s=config.gate.replaced_s,
            column=exposure.columns[number - 1],
        )
        for number, (slot, roster_slot) in enumerate(zip(said, rosters, strict=True), 1)
    ]
    console = Child(
        name="console",
        run=partial(_console, config, doors.console, gate_url, said, rosters, lag, mirror_lag, exposure, _file(loaded)),
        stop_within_s=CONSOLE_STOP_S,
        stage=RECORDER,
    )
    behind = [console, *_mirroring(config, mirror_lag)]
    children = [*gates, *translating, *behind]
    if others is not None:
        traffic, simulator = others(gate_url)
        children = [traffic, *gates, *translating, simulator, *behind]
    supervisor = Supervisor(children)
    supervisor.left_ended = partial(_vacate, exposure)
    if before is not None:
        supervisor.left, supervisor.pipe = list(before.left), before.lifeline
    if others is None:
        supervisor.begin_anew = partial(_begin_anew, config, doors, supervisor, said, exposure.shared)
    hopeless = supervisor.run(for_s=for_s, started=partial(_announce, config, gate_url, console_url))
    if hopeless is not None:
        typer.echo(f"joulegate: {hopeless}", err=True)
        raise typer.Exit(COULD_NOT_START)


def _open(what: str, listen: str, config: Config, command: str, target: str) -> socket.socket:
    host, port = split_listen(listen)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=4096)
    except OSError as error:
        option = "--port" if what == "gate" else "--console-port"
        said = f"the {what} cannot listen on {listen} ({reason(error)}); choose another port with {option}"
        if error.errno != errno.EADDRINUSE:
            raise ConfigError(f"{said}, or another address with --host") from None
        ports = f"--port {_another(config.gate.listen)} --console-port {_another(config.console.listen)}"
        raise ConfigError(f'{said}:\n  {command} {ports}\n  make {target} ARGS="{ports}"') from None


def _taken(door: Door | None, listen: str) -> socket.socket | None:
    """Take over an open port, if it is the one that is wanted; else close it."""
    if door is None:
        return None
    listening = socket.socket(fileno=door.fd)
    os.set_inheritable(door.fd, False)
    if door.listen == listen:
        return listening
    listening.close()
    return None


def _vacate(exposure: Exposure, left: Left) -> None:
    """Take note that a gate of before has ended, be it killed: none of its calls goes on."""
    if left.column is not None:
        exposure.vacate(left.column)


def _begin_anew(config: Config, doors: Doors, supervisor: Supervisor, said: Sequence[Slot], exposure: Shared) -> None:
    """Let the program as it is now, with the configuration as it is now, take the place of this one; no call is lost.

    Returns where that cannot be done, and says why.
    """
    handover = Handover(
        gate=Door(listen=config.gate.listen, fd=doors.gate.fileno()),
        console=Door(listen=config.console.listen, fd=doors.console.fileno()),
        lifeline=supervisor.pipe,
        left=tuple(supervisor.running()),
        exposure=exposure,
    )
    why = next((f"gate {n} cannot write its journal" for n, slot in enumerate(said, 1) if slot.said().problem), None)
    why = why or would_start(handover)  # in a process of its own: it may be another release
    if why is not None:
        log.error("not restarted, all goes on as it was: %s", why)
        return
    log.info("new processes take the place of these, which finish what they do")
    try:
        begin_anew(handover)
    except OSError as error:
        log.error("not restarted, all goes on as it was: %s", error)


def _another(listen: str) -> int:
    port = split_listen(listen)[1]
    return port + PORT_STEP if 0 < port <= 65535 - PORT_STEP else 0  # 0: any free one


def _require(loaded: Loaded) -> None:
    """Refuse to start without what is needed: better a message now than processes that die again and again."""
    findings = check_start(loaded)
    errors = [f"{finding.what}: {finding.says}" for finding in findings if finding.level == "error"]
    if errors:
        raise ConfigError("\n  ".join(errors if len(errors) == 1 else ["this keeps it from starting:", *errors]))
    for finding in findings:
        if finding.level == "warning":
            log.warning("%s: %s", finding.what, finding.says)


def _raise_file_limit() -> None:
    """Allow as many connections as the system lets this user have: two per call."""
    try:
        import resource
    except ImportError:  # not a Unix: no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _console(
    config: Config,
    listening: socket.socket,
    gate_url: str,
    said: Sequence[Slot],
    rosters: Sequence[RosterSlot],
    lag: Lag,
    mirror_lag: Lag | None,
    exposure: Exposure,
    budgets_file: str,
    lifeline: Lifeline,
) -> None:
    from proxy.console_process import run_console  # half a second of imports the gates do not need

    run_console(
        config,
        listening,
        gate_url,
        lifeline,
        gates=said,
        rosters=rosters,
        lag=lag,
        mirror_lag=mirror_lag,
        exposure=exposure,
        budgets_file=budgets_file,
    )


def _file(loaded: Loaded) -> str:
    """Say where the configuration is, for those at other machines."""
    return f"{loaded.file or 'none'} on {socket.gethostname()}"


def _exposure(config: Config, before: Handover | None) -> Exposure:
    """Make the memory in which budgets are kept, before anything is forked, or go on with that of the program before.

    Budgets that are known have their slots in new memory; in the other the recorder, which may not be alone yet, gives
    them.
    """
    from proxy.budgets.exposure import Exposure

    if before is not None and before.exposure is not None:
        os.set_inheritable(before.exposure.fd, False)
        occupied = [each.column for each in before.left if each.column is not None]
        try:
            return Exposure(config.gate.workers, shared=before.exposure, occupied=occupied)
        except (ValueError, OSError) as error:
            log.warning("gates that are replaced keep budgets by themselves until they have ended: %s", error)
            os.close(before.exposure.fd)
    made = Exposure(config.gate.workers)
    if before is not None:
        for each in before.left:
            each.column = None  # of other memory
    roster = Path(config.journal.directory) / FILE
    try:
        found = budgets_in(roster)
    except RosterError:  # gates and doctor say so
        found = None
    known = {each.name: each for each in [*(found[1] if found is not None else ()), *config.budget]}
    if known:
        from proxy.budgets.budget import BudgetError, budget_of  # time zones

        tags = set()
        for section in list(known.values())[: made.slots]:
            with contextlib.suppress(BudgetError):
                tags.add(budget_of(section).measure)
        for slot, tag in enumerate(tags):
            made.claim(slot, tag)
    return made


def _translation(config: Config) -> tuple[Translator | None, list[Child]]:
    """Make what carries translated calls, where a route asks for it; only the gates know the word it wants to hear."""
    if all(route.via is None for route in config.route):
        return None, []
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    word = secrets.token_hex(32).encode()
    child = Child(
        name="translator",
        run=partial(_translate, config, listening, word),
        stop_within_s=TRANSLATOR_STOP_S,
        stage=BEHIND_GATES,
        gives_way_last=True,
    )
    return Translator(origin=Origin.parse(_url(listening)), secret=Secret(word)), [child]


def _translate(config: Config, listening: socket.socket, word: bytes, lifeline: Lifeline) -> None:
    from proxy.translation.process import run_translator  # what it imports is for its own process only

    run_translator(config, listening, word, lifeline)


def _mirroring(config: Config, lag: Lag | None) -> list[Child]:
    if lag is None:
        return []
    return [Child(name="mirror", run=partial(_mirror, config, lag), stop_within_s=MIRROR_STOP_S, stage=RECORDER)]


def _mirror(config: Config, lag: Lag, lifeline: Lifeline) -> None:
    from proxy.mirror.process import run_mirror

    run_mirror(config, lag, lifeline)


def _announce(config: Config, gate_url: str, console_url: str) -> None:
    ledger = config.ledger.url
    if "@" in ledger:  # there may be a password in it
        from proxy.ledger.engine import shown

        ledger = shown(ledger)
    if config.log.format == "json":
        log.info("serving", extra={"fields": {"gate": gate_url, "console": console_url, "ledger": ledger}})
        return
    typer.echo(f"gate     {gate_url}/v1   point your SDK's base_url here")
    typer.echo(f"console  {console_url}/   metrics {console_url}/metrics")
    typer.echo(f"ledger   {ledger}   report: {sys.argv[0]} report cost --by team,model --database {ledger}")


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{listen_on(host, port)}"
