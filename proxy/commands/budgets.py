"""``joulegate budgets``: the budgets of a ledger, made, changed and taken out of use, and how they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from proxy.aligned import Column
from proxy.budgets.units import ESTIMATED
from proxy.commands.directory import AsJson, ConfigPath, Database, Directory, day, directory, print_listed, say_json
from proxy.errors import ConfigError
from proxy.reports.figures import amount

if TYPE_CHECKING:
    from proxy.ledger.budget_states import BudgetShown, Crossing

budgets = typer.Typer(name="budgets", help="Budgets and rate limits, and how they stand.", no_args_is_help=True)


Name = Annotated[str, typer.Argument(metavar="BUDGET", help="The budget's name.")]
Limit = Annotated[str | None, typer.Option(metavar="AMOUNT", help="How much of the unit, in each window.")]
Span = Annotated[str | None, typer.Option(metavar="WINDOW", help="minute, hour, day, week, month, or 90m, 24h, 30d.")]
Zone = Annotated[
    str | None, typer.Option(metavar="ZONE", help="Whose days, weeks and months; of a new one ledger.tz, else UTC.")
]
Mode = Annotated[str | None, typer.Option(help="soft: tells (the default); hard: refuses calls beyond it.")]
Thresholds = Annotated[
    list[str] | None,
    typer.Option("--threshold", metavar="SHARE", help="Of the limit, told when passed: 0.8; may be repeated."),
]


@budgets.command("add")
def add(
    name: Name,
    unit: Annotated[str, typer.Option(help="usd, kwh, gco2e, liters, tokens, requests or concurrent_requests.")],
    limit: Limit = None,
    window: Span = None,
    team: Annotated[str | None, typer.Option(help="Of calls of this team.")] = None,
    project: Annotated[str | None, typer.Option(help="Of this project.")] = None,
    user: Annotated[str | None, typer.Option(help="Of this user.")] = None,
    key: Annotated[str | None, typer.Option(metavar="ID", help="Of this key of ours.")] = None,
    mode: Mode = None,
    tz: Zone = None,
    threshold: Thresholds = None,
    unseen: Annotated[bool, typer.Option("--unseen", help="The project is yet to come.")] = False,
    database: Database = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Make a budget, on all machines of the ledger within seconds; the calls of its window so far are counted.

    \b
    joulegate budgets add search-month --team search --unit usd --limit 500 --window month
    joulegate budgets add nightly-rate --key search-ci --unit tokens --limit 200000 --window minute --mode hard
    """  # noqa: D301
    from proxy.directory import budgets as directory_budgets

    said = {"name": name, "unit": unit, "limit": _amount(limit), "window": window, "team": team,
            "project": project, "user": user, "key": key, "mode": mode, "tz": tz, "unseen": unseen,
            "thresholds": _shares(threshold)}  # fmt: skip
    with directory(config, database) as here:
        told = {each: value for each, value in said.items() if value is not None}
        asked = directory_budgets.wanted(told, tz=here.tz)
        directory_budgets.add(here.engine, asked, actor=here.actor, at=here.now)
        _say(here, name, "is there", as_json=as_json)


@budgets.command("set")
def change(
    name: Name,
    limit: Limit = None,
    window: Span = None,
    mode: Mode = None,
    tz: Zone = None,
    threshold: Thresholds = None,
    database: Database = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Give a budget another limit, window, mode or thresholds, on all machines within seconds.

    Another limit is for what is used already, too; with another window or zone the calls there are are counted anew.

    \b
    joulegate budgets set search-month --limit 800
    joulegate budgets set search-month --mode hard --threshold 0.5 --threshold 0.9
    """  # noqa: D301
    from proxy.directory import budgets as directory_budgets

    said = {"limit": _amount(limit), "window": window, "mode": mode, "tz": tz,
            "thresholds": _shares(threshold)}  # fmt: skip
    asked = directory_budgets.change_wanted({each: value for each, value in said.items() if value is not None})
    with directory(config, database) as here:
        directory_budgets.change(here.engine, name, asked, actor=here.actor, at=here.now)
        _say(here, name, "is changed", as_json=as_json)


@budgets.command("remove")
def remove(name: Name, database: Database = None, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Take a budget out of use, on all machines within seconds; what calls have used stays in every report.

    \b
    joulegate budgets remove search-month
    """  # noqa: D301
    from proxy.directory import budgets as directory_budgets

    with directory(config, database) as here:
        directory_budgets.remove(here.engine, name, actor=here.actor, at=here.now)
    if as_json:
        say_json({"removed": name})
    else:
        typer.echo(f"Budget {name} is out of use.")


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
        typer.echo("No budgets. Make one: joulegate budgets add NAME --team TEAM --unit usd --limit 500 --window month")


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


def _say(here: Directory, name: str, what: str, *, as_json: bool) -> None:
    from proxy.ledger.budget_states import states

    with here.engine.connect() as connection:
        found = states(connection, here.now, (name,))
    if as_json:
        say_json(found[0])
        return
    typer.echo(f"Budget {name} {what}; gates go by it within seconds.")
    _print_table(found)


def _amount(text: str | None) -> float | None:
    from proxy.directory.budgets import number

    return None if text is None else float(number(text, "limit"))


def _shares(texts: list[str] | None) -> list[float] | None:
    from proxy.directory.budgets import number

    return [float(number(text, "threshold")) for text in texts] if texts else None


def _print_table(found: list[BudgetShown]) -> None:
    titles = ("budget", "of", "mode", "limit", "used", "left", "forecast", "window", "state")
    rows = []
    for each in found:
        whose = ", ".join(
            f"{kind} {who}"
            for kind, who in (("team", each.team), ("project", each.project), ("user", each.user), ("key", each.key))
            if who is not None
        )
        limit = f"{amount(each.limit)} {each.unit.replace('_', ' ')}"
        estimated = each.unit in ESTIMATED
        unknown = f" ({each.unknown_calls} calls unknown)" if each.unknown_calls else ""
        used = f"{amount(each.used, estimated=estimated)}{unknown}"
        left, forecast = amount(each.left, estimated=estimated), amount(each.forecast, estimated=True)
        state = "-" if each.state is None else f"{each.state.replace('_', ' ')}, {each.used_ratio or 0:.0%}"
        window = "-" if each.window is None else f"{each.window} to {day(each.window_ends)}".removesuffix(" to -")
        rows.append((each.name, whose, each.mode, limit, used, left, forecast, window, state))
    print_listed([Column(title=title, right=title in ("limit", "used", "left", "forecast")) for title in titles], rows)


def _crossed(each: Crossing) -> str:
    used = amount(each.used, estimated=each.unit in ESTIMATED)
    return f"{day(each.at)}  {each.threshold:.0%} passed: {used} of {amount(each.limit)} {each.unit}"
