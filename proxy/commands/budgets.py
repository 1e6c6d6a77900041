"""``joulegate budgets``: how the budgets of a ledger stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from proxy.commands.directory import AsJson, ConfigPath, Database, day, directory, say_json
from proxy.errors import ConfigError
from proxy.reports.figures import amount

if TYPE_CHECKING:
    from proxy.ledger.budget_states import BudgetShown, Crossing

budgets = typer.Typer(name="budgets", help="Budgets and rate limits, and how they stand.", no_args_is_help=True)


@budgets.command("list")
def list_budgets(database: Database = None, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """List budgets: what is used and left of each, and where its window will end at the pace so far.

    \b
    joulegate budgets list
    joulegate budgets list --json
    """  # noqa: D301
    from proxy.ledger.budget_states import states

    with directory(config, database) as here, here.engine.connect() as connection:
        found = states(connection, here.now)
    if as_json:
        say_json(found)
    elif found:
        _print_table(found)
    else:
        typer.echo("No budgets. Write [[budget]] into the configuration, and let the service start with it.")


@budgets.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="BUDGET", help="The budget's name.")],
    database: Database = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Show one budget, and which of its thresholds were passed.

    \b
    joulegate budgets show search-month
    """  # noqa: D301
    from datetime import UTC, datetime

    from proxy.ledger.budget_states import crossings, states

    with directory(config, database) as here, here.engine.connect() as connection:
        found = states(connection, here.now, (name,))
        passed = [each for each in crossings(connection, datetime(1970, 1, 1, tzinfo=UTC)) if each.budget == name]
    if not found:
        raise ConfigError(f"there is no budget {name!r} in use; joulegate budgets list names those there are")
    if as_json:
        say_json({"budget": found[0], "crossings": passed})
        return
    _print_table(found)
    for each in passed:
        typer.echo(_crossed(each))


def _print_table(found: list[BudgetShown]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("budget", "of", "mode", "limit", "used", "left", "forecast", "window", "state"):
        table.add_column(title, overflow="fold", justify="right" if title in ("limit", "used", "left") else "left")
    for each in found:
        whose = ", ".join(
            f"{kind} {who}"
            for kind, who in (("team", each.team), ("project", each.project), ("user", each.user), ("key", each.key))
            if who is not None
        )
        limit = f"{amount(each.limit)} {each.unit.replace('_', ' ')}"
        used = amount(each.used) + (f" ({each.unknown_calls} calls unknown)" if each.unknown_calls else "")
        state = "-" if each.state is None else f"{each.state.replace('_', ' ')}, {each.used_ratio or 0:.0%}"
        window = "-" if each.window is None else f"{each.window} to {day(each.window_ends)}".removesuffix(" to -")
        cells = (each.name, whose, each.mode, limit, used, amount(each.left), amount(each.forecast), window, state)
        table.add_row(*map(escape, cells))
    Console().print(table)


def _crossed(each: Crossing) -> str:
    return f"{day(each.at)}  {each.threshold:.0%} passed: {amount(each.used)} of {amount(each.limit)} {each.unit}"
