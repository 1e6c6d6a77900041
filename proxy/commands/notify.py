"""``joulegate notify``: try whom ``[[notify]]`` names, and see what was told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from proxy.aligned import Column
from proxy.commands.directory import AsJson, ConfigPath, Database, directory, print_listed, say_json
from proxy.config import load
from proxy.errors import ConfigError

notify = typer.Typer(name="notify", help="Who is told of budgets, anomalies and statements.", no_args_is_help=True)


@notify.command("test")
def try_out(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of a [[notify]].")],
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Configuration; default: joulegate.toml here.")
    ] = None,
) -> None:
    """Send a notice to see that it arrives; exit status 1 where it cannot be sent.

    \b
    joulegate notify test finops
    """  # noqa: D301
    from proxy.notices.notice import Notice
    from proxy.notices.sending import SendingError
    from proxy.notices.targets import targets_of

    loaded = load(config).config
    if name not in {each.name for each in loaded.notify}:
        known = ", ".join(each.name for each in loaded.notify) or "none"
        raise ConfigError(f"no [[notify]] is named {name!r}; there are {known}")
    now = datetime.now(UTC)
    notice = Notice(
        event="test",
        subject=name,
        period=f"{now:%Y-%m-%dT%H:%M:%S}",
        title="A test from Joulegate",
        text="Somebody wants to see whether notices arrive here; there is nothing to do.",
        facts={},
    )
    try:
        targets_of(loaded, lambda _: lambda _: None)[name].send(notice, now)
    except SendingError as error:
        typer.echo(f"{name} could not be told: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{name} was told.")


@notify.command("list")
def list_notices(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the latest first.")] = 50,
    database: Database = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """List what was told, and what still waits and why.

    \b
    joulegate notify list
    joulegate notify list --limit 10 --json
    """  # noqa: D301
    from proxy.notices.outbox import Outbox

    with directory(config, database) as here:
        found = [dict(row._mapping) for row in Outbox(here.engine).latest(limit)]
    if as_json:
        say_json(found)
        return
    if not found:
        typer.echo("Nothing was told yet.")
        return
    rows = []
    for each in found:
        stands = f"sent {each['sent_at']:%Y-%m-%d %H:%M}" if each["sent_at"] else _waits(each)
        rows.append((f"{each['created_at']:%Y-%m-%d %H:%M}", each["event"], each["title"], each["target"], stands))
    titles = ("found (UTC)", "event", "what", "told", "how it stands")
    print_listed([Column(title=title) for title in titles], rows)


def _waits(row: dict[str, object]) -> str:
    if not row["attempts"]:
        return "waits"
    return f"{row['attempts']} attempts, {row['problem'] or 'no answer yet'}; next at {row['next_at']:%Y-%m-%d %H:%M}"
