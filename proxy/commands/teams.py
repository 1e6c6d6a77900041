"""``joulegate teams``: teams of the directory, made, listed and archived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from proxy.commands.directory import PAGE, AsJson, ConfigPath, Database, day, directory, print_table, say_json
from proxy.commands.patience import patience

if TYPE_CHECKING:
    from proxy.directory.telling import TeamShown

teams = typer.Typer(name="teams", help="Teams, who pay for calls.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="TEAM", help="The team's name.")]


@teams.command("add")
def add(name: Name, database: Database = None, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Make a team, or take an archived one back into use.

    \b
    joulegate teams add search
    """  # noqa: D301
    from proxy.directory import teams as directory_teams
    from proxy.directory.telling import team_shown

    with directory(config, database) as here:
        made = directory_teams.add(here.engine, name, actor=here.actor, at=here.now)
    if as_json:
        say_json(team_shown(made, {}))
    else:
        typer.echo(f"Team {name} is there. A key for it: joulegate keys issue {name!r}")


@teams.command("list")
def list_teams(
    archived: Annotated[bool, typer.Option("--archived", help="Also those that are archived.")] = False,
    database: Database = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """List teams, and how many keys of each work.

    \b
    joulegate teams list
    joulegate teams list --archived --json
    """  # noqa: D301
    from proxy.directory import teams as directory_teams
    from proxy.directory.telling import team_shown

    found: list[TeamShown] = []
    after: str | None = ""
    with directory(config, database) as here, here.engine.connect() as connection, patience("reading teams"):
        while after is not None:
            page, after = directory_teams.page(connection, after=after, archived=archived, limit=PAGE)
            counts = directory_teams.key_counts(connection, [team.name for team in page], here.now)
            found += [team_shown(team, counts) for team in page]
    if as_json:
        say_json(found)
    elif found:
        _print_table(found)
    else:
        typer.echo("No teams. Make one: joulegate teams add TEAM")


@teams.command("show")
def show(name: Name, database: Database = None, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Show one team, and what was changed of it.

    \b
    joulegate teams show search
    """  # noqa: D301
    from proxy.directory import log
    from proxy.directory import teams as directory_teams
    from proxy.directory.telling import team_shown

    with directory(config, database) as here, here.engine.connect() as connection:
        team = directory_teams.team(connection, name)
        shown = team_shown(team, directory_teams.key_counts(connection, [name], here.now))
        changes = [each for each in log.page(connection, subject=name, limit=PAGE)[0] if each.kind == "team"]
    if as_json:
        say_json({"team": shown, "changes": changes})
        return
    _print_table([shown])
    for each in changes:
        typer.echo(f"{day(each.at)}  {each.action} by {each.actor}")


@teams.command("archive")
def archive(name: Name, database: Database = None, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """End a team's use: all its keys are revoked; what its calls cost stays in every report.

    \b
    joulegate teams archive search
    """  # noqa: D301
    from proxy.directory import teams as directory_teams
    from proxy.directory.telling import team_shown

    with directory(config, database) as here:
        made = directory_teams.archive(here.engine, name, actor=here.actor, at=here.now)
    if as_json:
        say_json(team_shown(made, {}))
    else:
        typer.echo(f"Team {name} is archived and its keys are revoked.")


def _print_table(found: list[TeamShown]) -> None:
    rows = (
        (team.name, str(team.active_keys), day(team.created_at), day(team.archived_at), team.managed_by)
        for team in found
    )
    print_table(("team", "keys that work", "since (UTC)", "archived", "managed by"), rows)
