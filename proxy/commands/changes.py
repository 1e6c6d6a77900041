"""``joulegate changes``: who changed which team, key or budget, and when."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from proxy.commands.directory import AsJson, ConfigPath, Database, directory, print_table, say_json


def changes(
    subject: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this team, key or budget.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the latest first.")] = 50,
    before: Annotated[int | None, typer.Option(metavar="NUMBER", min=1, help="Only those before this one.")] = None,
    database: Database = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """List changes of teams, keys and budgets, the latest first. Nothing is ever taken out of this log.

    \b
    joulegate changes
    joulegate changes --subject search-ci --limit 10 --json
    """  # noqa: D301
    from proxy.directory import log

    with directory(config, database) as here, here.engine.connect() as connection:
        found, more = log.page(connection, subject=subject, before=before, limit=limit)
    if as_json:
        say_json(found)
        return
    rows = (
        (str(each.number), f"{each.at:%Y-%m-%d %H:%M:%S}", each.actor, each.action, f"{each.kind} {each.subject}",
         _now(each.after))
        for each in found
    )  # fmt: skip
    print_table(("", "when (UTC)", "who", "what", "of", "now"), rows)
    if more is not None:
        typer.echo(f"There are earlier ones: --before {more}")


def _now(after: dict[str, Any] | None) -> str:
    said = {name: value for name, value in (after or {}).items() if value not in (None, []) and name != "managed_by"}
    return ", ".join(f"{name} {value}" for name, value in said.items() if name not in ("id", "name", "created_at"))
