"""The ``joulegate`` command: each subcommand lives in a file of its own under ``proxy.commands``."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterable
from importlib import import_module, metadata
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from proxy.errors import JoulegateError

# Each is called as its file under ``proxy.commands``, a function or a group of them, in the order of ``--help``.
COMMANDS = (
    "serve", "simulate", "estimate", "calculator", "report", "recompute", "reconcile", "migrate", "retention", "mirror",
    "doctor", "facts", "teams", "budgets", "keys", "changes", "notify", "export",
)  # fmt: skip
_CANNOT_PRINT = (errno.ENOSPC, errno.EBADF, errno.EIO)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"joulegate {metadata.version('joulegate')}")
        raise typer.Exit


def _joulegate(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and end.")
    ] = False,
) -> None:
    """Meter LLM traffic in FLOPs, joules, CO2e, water and dollars."""


def command_line(commands: Iterable[str] = COMMANDS) -> typer.Typer:
    """Make the command line of some of the commands: to read all of them takes longer than to begin to serve."""
    app = typer.Typer(
        name="joulegate",
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        add_completion=False,
    )
    app.callback(no_args_is_help=True)(_joulegate)
    for name in commands:
        command = getattr(import_module(f"proxy.commands.{name}"), name)
        if isinstance(command, typer.Typer):
            app.add_typer(command)
        else:
            app.command()(command)
    return app


def main() -> None:
    """Run the command line; an error made for people is printed as its message, with exit status 2."""
    if sys.argv[1:2] not in (["serve"], ["simulate"]):  # those hold sockets, whose ends are no end of theirs
        # Where the reader has left (`| head`), end as every other command of a pipe does: quietly, status 141.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if sys.stdout is None:  # closed by who called: nothing is to be printed
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it lasts as long as the process
    try:
        command_line([name for name in COMMANDS if name in sys.argv[1:2]] or COMMANDS)()
    except JoulegateError as error:
        sys.stderr.write(f"joulegate: {error}\n")
        sys.exit(2)
    except OSError as error:
        if error.errno not in _CANNOT_PRINT or error.filename is not None:
            raise
        _cannot_print(error)
    except SystemExit:
        try:
            sys.stdout.flush()
        except (OSError, ValueError) as error:
            _cannot_print(error)
        raise


def _cannot_print(error: Exception) -> NoReturn:
    """End with a word where the output cannot be written (a full disk, a closed descriptor)."""
    sys.stderr.write(f"joulegate: the output cannot be written: {getattr(error, 'strerror', None) or error}\n")
    sys.stderr.flush()
    os._exit(1)  # an ordinary end would try to write it once more


if __name__ == "__main__":
    main()
