"""The ``joulegate`` command: each subcommand lives in a file of its own under ``proxy.commands``."""

from __future__ import annotations

import errno
import os
import signal
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from proxy.commands.doctor import doctor
from proxy.commands.estimate import estimate
from proxy.commands.export import export
from proxy.commands.facts import facts
from proxy.commands.keys import keys
from proxy.commands.migrate import migrate
from proxy.commands.mirror import mirror
from proxy.commands.recompute import recompute
from proxy.commands.reconcile import reconcile
from proxy.commands.report import report
from proxy.commands.retention import retention
from proxy.commands.serve import serve
from proxy.commands.simulate import simulate
from proxy.errors import JoulegateError

_CANNOT_PRINT = (errno.ENOSPC, errno.EBADF, errno.EIO)

app = typer.Typer(
    name="joulegate",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"joulegate {metadata.version('joulegate')}")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def joulegate(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and end.")
    ] = False,
) -> None:
    """Meter LLM traffic in FLOPs, joules, CO2e, water and dollars."""


for command in (serve, simulate, estimate, report, recompute, reconcile, migrate, retention, mirror, doctor):
    app.command()(command)
for group in (facts, keys, export):
    app.add_typer(group)


def main() -> None:
    """Run the command line; an error made for people is printed as its message, with exit status 2."""
    if sys.argv[1:2] not in (["serve"], ["simulate"]):  # those hold sockets, whose ends are no end of theirs
        # Where the reader has left (`| head`), end as every other command of a pipe does: quietly, status 141.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if sys.stdout is None:  # closed by who called: nothing is to be printed
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it lasts as long as the process
    try:
        app()
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
