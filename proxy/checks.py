"""What a gate needs before it can start, looked at one by one: by ``serve`` at its start, by ``doctor`` when asked.

Nothing is left behind, and only what is about to happen anyway is tried: a file is written where the
journal will be, the ledger's driver is loaded, a credential is fetched and forgotten.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from proxy.config import Loaded, console_tokens, split_listen
from proxy.errors import ConfigError, LedgerError
from proxy.finding import Finding, tried
from proxy.key_checks import ANSWER_WITHIN_S, USUAL_LEDGER, impatient, keys_in_both
from proxy.roster import FILE
from proxy.routing import Routes
from proxy.sections import Config, ConsoleSection, ProviderSection
from proxy.space import space
from proxy.tail import SET_ASIDE

if TYPE_CHECKING:
    from sqlalchemy import Engine

LOOPBACK = ("127.0.0.1", "::1", "localhost")
LEDGER_FORMS = "sqlite:///path/joulegate.db or postgresql+psycopg://user:password@host/database"
INSTALL = (
    "install it with: pip install --require-hashes --no-deps -r requirements/translate.txt, "
    'or pip install "joulegate[translate]"'
)
UNDER_LITELLM = {"bedrock": "boto3", "sagemaker": "boto3", "vertex_ai": "google-auth"}  # what signs for a family
MALICIOUS_LITELLM = ("1.82.7", "1.82.8")  # of 24 March 2026; BerriAI/litellm issue 24512
PROBE_BYTES = 64 * 1024  # a disk that has not even these is full
ROOM_BYTES = 1024**3  # for a journal, which an hour of 500 calls a second without a ledger fills
FILES_WANTED = 4096  # descriptors: some two thousand calls at once


class _Health(msgspec.Struct, frozen=True):
    """What ``/api/health`` says, as far as it is shown."""

    status: str
    problem: str | None
    missing_calls: int


def check_start(loaded: Loaded) -> list[Finding]:
    """Look at all that a start needs but the ports, which only one process can have."""
    config = loaded.config
    return [
        *_exposure(config),
        tried("journal.directory", lambda: _journal(Path(config.journal.directory))),
        tried("ledger.url", lambda: _ledger(config.ledger.url)),
        *keys_in_both(config),
        *_mirror(config.mirror.url),
        *(finding for row in config.provider for finding in _provider(row, config)),
        *_translation(config),
        tried("estimates", lambda: _estimates(config)),
        *_notify(config),
        *_descriptors(),
        *(Finding("environment", "warning", f"{name} is no setting, so it is ignored") for name in loaded.ignored),
    ]


def check_ports(config: Config) -> list[Finding]:
    """Try to open the ports, or ask the service that has them; not for a process that is about to open them itself."""
    return [
        _running("gate.listen", config.gate.listen, "/readyz")
        or tried("gate.listen", lambda: free_port(config.gate.listen)),
        _running("console.listen", config.console.listen, "/api/health", _token(config.console))
        or tried("console.listen", lambda: free_port(config.console.listen)),
    ]


def check_journal(folder: Path) -> list[Finding]:
    """Say what waits in a journal, and what was wrong with it."""
    found = space(folder)
    findings = [Finding("journal", "ok", f"holds {found.segment_bytes:,} bytes in {found.segments} segments")]
    aside = len(list((folder / SET_ASIDE).glob("*"))) if (folder / SET_ASIDE).is_dir() else 0
    if aside:
        says = f"{aside} segments with something that could not be recorded are kept in {folder / SET_ASIDE}"
        findings.append(Finding("journal", "warning", says))
    if found.free_bytes is not None and found.free_bytes < ROOM_BYTES:
        says = f"its disk has room for {found.free_bytes:,} bytes only: it grows while the ledger is away"
        findings.append(Finding("journal", "warning", says))
    return findings


def check_ledger(config: Config) -> Iterator[Finding]:
    """Ask a ledger whose URL can be used how it is; takes seconds where it is away, so a start does without."""
    from proxy.ledger.revision import revisions

    engine = impatient(config.ledger.url)
    try:
        state = revisions(engine)
        if state.fits:
            fits = "of a newer release that lets this one go on" if state.expanded else "as this release needs it"
            yield Finding("ledger", "ok", f"is at revision {state.current}, {fits}")
            yield from _days(engine, config.ledger.tz)
        elif not state.known:
            says = f"is at revision {state.current}, newer than this release's {state.head}: upgrade Joulegate"
            yield Finding("ledger", "error", says)
        elif state.current is None:
            yield Finding("ledger", "ok", "is not there yet; serve makes it")
        else:
            yield Finding("ledger", "ok", f"is at revision {state.current}; serve brings it to {state.head}")
    except LedgerError as error:
        why = _line(getattr(error.__cause__, "orig", None) or error)
        yield Finding("ledger", "warning", f"does not answer ({why}); until it does, calls wait in the journal")
    finally:
        engine.dispose()


def _days(engine: Engine, tz: str | None) -> Iterator[Finding]:
    """Compare the time zone whose days the ledger keeps sums of with the one that is configured."""
    from sqlalchemy.exc import SQLAlchemyError

    from proxy.ledger.local_days import days_kept
    from proxy.ledger.rollup_tables import EPOCH, moment

    try:
        with engine.connect() as connection:
            days = days_kept(connection)
    except SQLAlchemyError:  # it was there a moment ago: what is wrong is said the next time
        return
    kept, said = "UTC" if days.last is None else days.last.key, tz or "UTC"
    if kept != said:
        says = f"is {said}, and the ledger keeps days of {kept}: all machines should say the same"
        yield Finding("ledger.tz", "warning", f"{says}; serve changes what is kept" if tz else says)
    elif days.last is not None:
        since = moment(days.zones[-1][0])
        of = "of all calls" if since == EPOCH else f"of calls from {since:%Y-%m-%d %H:%M} UTC on"
        yield Finding("ledger.tz", "ok", f"sums are kept by days of {kept} too, {of}")


def _exposure(config: Config) -> Iterator[Finding]:
    """Warn of what strangers reach, and of a gate that nobody can pass."""
    if config.gate.keys == "open" and split_listen(config.gate.listen)[0] not in LOOPBACK:
        says = f'the gate listens on {config.gate.listen} and needs no key; set keys = "required" in [gate]'
        yield Finding("gate.keys", "warning", says)
    roster = Path(config.journal.directory) / FILE
    if config.gate.keys == "required" and not any(team.key for team in config.team) and not roster.exists():
        says = "every call needs a key, and no team has one; make one: joulegate keys issue TEAM"
        yield Finding("gate.keys", "warning", says)
    if config.console.token is not None or config.console.tokens:
        yield tried("console.token", lambda: _tokens(config.console))
    elif split_listen(config.console.listen)[0] not in LOOPBACK:
        says = (
            f"the console listens on {config.console.listen}, where others reach it, and has no token: "
            'set token = "env:NAME" or "file:PATH" in [console], or listen on 127.0.0.1'
        )
        yield Finding("console.listen", "error", says)


def _tokens(section: ConsoleSection) -> str:
    names = sorted(console_tokens(section))
    return f"the console asks for a token; {len(names)} {'is' if len(names) == 1 else 'are'} good: {', '.join(names)}"


def free_port(listen: str) -> str:
    """Try to open a port; raises :class:`ConfigError` where that cannot be done."""
    host, port = split_listen(listen)
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return f"{listen} is free"
    except OSError as error:
        message = f"{listen} cannot be opened ({reason(error)}); is a gate running there already?"
        raise ConfigError(message) from None


def gate_says(config: Config) -> str | None:
    """Ask the gate of a configuration how it and its ledger are doing; None where none of ours answers."""
    found = _running("gate", config.gate.listen, "/readyz")
    return None if found is None else found.says


def _token(section: ConsoleSection) -> bytes | None:
    with contextlib.suppress(ConfigError):  # which is said elsewhere
        return next(iter(console_tokens(section).values()), None)
    return None


def _running(what: str, listen: str, path: str, token: bytes | None = None) -> Finding | None:
    """Ask the service that has a port how it is doing; None where none of ours answers."""
    host, port = split_listen(listen)
    host = "127.0.0.1" if host == "0.0.0.0" else "::1" if host == "::" else host  # noqa: S104 - of any address, ours
    if not port:
        return None
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_WITHIN_S)
    try:
        headers = {} if token is None else {"authorization": f"Bearer {token.decode()}"}
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        said = reply.read(PROBE_BYTES).decode()
    except (OSError, http.client.HTTPException, UnicodeDecodeError):
        return None
    finally:
        connection.close()
    if path == "/readyz":
        if not said.startswith(("ready", "the journal", "the ledger")):
            return None
        return Finding(what, "ok" if reply.status == 200 else "warning", f"a gate runs on {listen}: {said.strip()}")
    try:
        health = msgspec.json.decode(said, type=_Health)
    except msgspec.MsgspecError:
        return None
    says = f"a console runs on {listen}, the metering is {health.status}"
    says += f": {health.problem}" if health.problem else ""
    says += f"; {health.missing_calls} calls are missing from the ledger" if health.missing_calls else ""
    return Finding(what, "ok" if health.status == "ok" else "warning", says)


def _descriptors() -> Iterator[Finding]:
    """Warn of a limit that calls would meet."""
    try:
        import resource
    except ImportError:  # not a Unix: no such limit
        return
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if files != resource.RLIM_INFINITY and files < FILES_WANTED:
        says = f"a process may open {files} files, two a call: raise the limit (ulimit -n, LimitNOFILE)"
        yield Finding("files", "warning", says)


def _journal(folder: Path) -> str:
    try:
        _write_in(folder)
    except OSError as error:
        message = f"{folder} cannot be written ({reason(error)}); name another folder: directory = … in [journal]"
        raise ConfigError(message) from None
    return f"{folder} can be written"


def _ledger(url: str) -> str:
    """See whether its driver is there and its file can be written; a server that is away is no error, journals wait."""
    usual = USUAL_LEDGER.fullmatch(url)
    said, file = (url, Path(usual[1]).absolute()) if usual is not None else _engine(url)
    if file is not None:
        try:
            _sqlite(file)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"{said} cannot be written ({reason(error)}); name another one with --database") from None
    return f"{said} can be used"


def _engine(url: str) -> tuple[str, Path | None]:
    """Load a ledger's driver; gives the URL as it may be shown, and the file where it is one."""
    import sqlalchemy as sa  # most of a start's time, where it is needed

    from proxy.ledger.engine import open_engine, shown
    from proxy.ledger.file import sqlite_file

    said = shown(url)
    try:
        backend = sa.make_url(url).get_backend_name()
    except Exception:  # its message may quote a password
        backend = ""
    if backend not in ("sqlite", "postgresql"):
        raise ConfigError(f"{said} is no ledger: say {LEDGER_FORMS}")
    try:
        engine = open_engine(url)
        file = sqlite_file(engine)
    except LedgerError as error:
        remedy = "; psycopg comes with joulegate[postgres]" if isinstance(error.__cause__, ImportError) else ""
        raise ConfigError(f"{_line(error)}{remedy}") from None
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{said} cannot be used: {_line(error)}") from None
    if engine.dialect.is_async:
        raise ConfigError(f"{said} cannot be used, its driver is asynchronous: say {LEDGER_FORMS}")
    if backend == "sqlite" and file is None:
        raise ConfigError(f"{said} would be gone with the process that made it: name a file, {LEDGER_FORMS}")
    return said, file


def _mirror(url: str | None) -> Iterator[Finding]:
    """See whether its client is there; a server that is away is no error, the mirror follows when it is back."""
    if url is None:
        return
    from proxy.ledger.engine import shown
    from proxy.mirror.clickhouse import open_mirror

    try:
        open_mirror(url)
    except LedgerError as error:
        yield Finding("mirror.url", "error", _line(error))
    else:
        yield Finding("mirror.url", "ok", f"{shown(url)} can be used")


def _sqlite(file: Path) -> None:
    _write_in(file.parent)  # SQLite writes files of its own beside it
    if file.exists():
        if not os.access(file, os.R_OK | os.W_OK):
            raise OSError(f"{file} may not be read and written")
        with contextlib.closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA schema_version")


def _write_in(folder: Path) -> None:
    """Write a file where ``folder`` is or would be made, and remove it again; raises ``OSError``."""
    nearest = next(each for each in (folder, *folder.parents) if os.path.lexists(each))
    probe = nearest / f".joulegate-{secrets.token_hex(8)}"
    try:
        probe.mkdir()
        (probe / "probe").write_bytes(bytes(PROBE_BYTES))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(nearest.absolute())) from None
    finally:
        shutil.rmtree(probe, ignore_errors=True)


def _provider(row: ProviderSection, config: Config) -> Iterator[Finding]:
    """See whether calls can be sent to a provider; a shipped one that nothing was said about is not worth a line."""
    what = f"provider {row.name}"
    try:
        Routes(msgspec.structs.replace(config, provider=(row,), route=()))
    except (ConfigError, UnicodeError) as error:
        yield Finding(what, "error", str(error).removeprefix(f"{what}: "))
    else:
        if row.credential is not None:
            yield Finding(what, "ok", f"credential {row.credential} is there")
    if row.origin is None:
        direct = [route for route in config.route if route.via is None]
        sent = [f"route {route.match}" for route in direct if row.name in (route.provider, *route.fallback)]
        sent += [f"model name {pattern}" for pattern in row.models]
        remedy = f'set origin in [[provider]] name = "{row.name}"'
        if sent:
            yield Finding(what, "error", f"has no origin, but {sent[0]} sends calls there; {remedy}")
        elif row.credential is not None and all(route.provider != row.name for route in config.route):
            yield Finding(what, "warning", f"has a credential but no origin, so calls to it are refused; {remedy}")


def _translation(config: Config) -> Iterator[Finding]:
    """See whether there is what translates, without importing it: that takes seconds."""
    translated = [route for route in config.route if route.via is not None]
    if translated:
        yield tried(f"route {translated[0].match}", lambda: _translating([route.model or "" for route in translated]))


def _translating(models: list[str]) -> str:
    under = {name for family, name in UNDER_LITELLM.items() if any(each.startswith(family) for each in models)}
    missing = []
    for name in sorted({"litellm"} | under):
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if name == "litellm" and installed in MALICIOUS_LITELLM:
            message = f"litellm {installed} carries malware: remove it, revoke what this machine could read, {INSTALL}"
            raise ConfigError(message)
    if missing:
        message = f"translates via litellm and needs {' and '.join(missing)}, which is not installed: {INSTALL}"
        raise ConfigError(message)
    return f"is translated by litellm {metadata.version('litellm')}, in a process of its own"


def _notify(config: Config) -> Iterator[Finding]:
    if config.notify:
        from proxy.notices.targets import targets_of

        yield tried("notify", lambda: ", ".join(targets_of(config, lambda _: lambda _: None)))


def _estimates(config: Config) -> str:
    """Make the estimator that gates and recorder will make, without asking any source of the grid's hours."""
    from proxy.estimating import ConfiguredEstimator, open_hours

    ConfiguredEstimator(config)
    try:
        hours = open_hours(config)
    except ModuleNotFoundError as error:
        message = f"the grid's hours need {error.name}, which is not installed; it comes with joulegate[grids]"
        raise ConfigError(message) from None
    if hours is not None:
        hours.close()
    return "prices, deployments and what else was said of them can be used"


def reason(error: Exception) -> str:
    """Say what failed and where, without the number of the error and what Python's own library adds."""
    if not isinstance(error, OSError) or not error.errno:
        return str(error)
    why = os.strerror(error.errno) if error.errno > 0 else str(error.strerror)  # below 0: of looking up a name
    return f"{error.filename}: {why}" if error.filename else why


def _line(error: Exception) -> str:
    """Give the first line of a message: drivers and SQLAlchemy go on with hints of their own."""
    return str(error).partition("\n")[0]
