"""``joulegate keys``: make a key for a team; only its hash is ever kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from proxy.config import load
from proxy.errors import ConfigError
from proxy.teams import digest, issue_key

keys = typer.Typer(name="keys", help="Keys that say which team calls.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ConfigPath = Annotated[Path, typer.Option("--config", help="The configuration file.")]


@keys.command("issue")
def issue(
    team: Annotated[str, typer.Argument(help="The team that will use the key.")],
    key_id: Annotated[str | None, typer.Option("--id", help="A name for the key; default: from its hash.")] = None,
    project: Annotated[str | None, typer.Option(help="A project that every call with the key belongs to.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown once; put the printed lines into the configuration and restart the gate.

    \b
    joulegate keys issue search
    joulegate keys issue search --id search-ci --project nightly --json
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    key = issue_key()
    sha256 = digest(key.encode())
    name = key_id or f"{team}-{sha256[:8]}"
    if as_json:
        typer.echo(json.dumps({"key": key, "team": team, "id": name, "sha256": sha256, "project": project}))
        return
    lines = ["[[team.key]]", f"id = {json.dumps(name)}", f'sha256 = "{sha256}"']
    if project is not None:
        lines.append(f"project = {json.dumps(project)}")
    typer.echo(f"Key for team {team}, shown only now:\n\n    {key}\n")
    typer.echo(f"Put this under [[team]] name = {json.dumps(team)} in your configuration:\n")
    typer.echo("\n".join(f"    {line}" for line in lines))


@keys.command("list")
def list_keys(config: ConfigPath = Path("joulegate.toml"), as_json: AsJson = False) -> None:
    """List the keys of a configuration: whose they are, never what they are.

    \b
    joulegate keys list --config joulegate.toml
    """  # noqa: D301
    if not config.exists():
        raise ConfigError(f"{config}: no such file; name it with --config")
    rows = [
        {"team": team.name, "id": key.id, "project": key.project, "user": key.user}
        for team in load(config).config.team
        for key in team.key
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    if not rows:
        typer.echo("No keys. Make one: joulegate keys issue TEAM")
    for row in rows:
        typer.echo(f"{row['team']}\t{row['id']}\t{row['project'] or '-'}\t{row['user'] or '-'}")
