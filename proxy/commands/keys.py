"""``joulegate keys``: make a key for a team; only its hash is ever kept."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from proxy.config import load
from proxy.errors import ConfigError
from proxy.sections import KeySection
from proxy.teams import digest, issue_key

keys = typer.Typer(name="keys", help="Keys that say which team calls.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ConfigPath = Annotated[Path, typer.Option("--config", help="The configuration file.")]


@keys.command("issue")
def issue(
    team: Annotated[str, typer.Argument(help="The team that will use the key.")],
    key_id: Annotated[str | None, typer.Option("--id", help="A name for the key; default: from its hash.")] = None,
    project: Annotated[str | None, typer.Option(help="A project that every call with the key belongs to.")] = None,
    user: Annotated[str | None, typer.Option(help="A user that every call with the key belongs to.")] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Its end: a date (UTC), a moment, or days from now as 90d.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only for these models (shell patterns).")] = None,
    provider: Annotated[list[str] | None, typer.Option(help="Only for these providers.")] = None,
    network: Annotated[list[str] | None, typer.Option(help="Only from these addresses, as 10.0.0.0/8.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown once; put the printed lines into the configuration and restart the gate.

    \b
    joulegate keys issue search
    joulegate keys issue search --id search-ci --project nightly --json
    joulegate keys issue research --expires 90d --model "gpt-4o*" --provider openai --network 10.0.0.0/8
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    key = issue_key()
    sha256 = digest(key.encode())
    section = KeySection(
        id=key_id or f"{team}-{sha256[:8]}",
        sha256=sha256,
        project=project,
        user=user,
        expires=None if expires is None else _moment(expires, datetime.now(UTC)),
        networks=tuple(map(_network, network or ())),
        providers=tuple(provider or ()),
        models=tuple(model or ()),
    )
    if as_json:
        typer.echo(json.dumps({"key": key, "team": team} | _shown(section) | {"sha256": sha256}))
        return
    typer.echo(f"Key for team {team}, shown only now:\n\n    {key}\n")
    typer.echo(f"Put this under [[team]] name = {json.dumps(team)} in your configuration:\n")
    typer.echo("\n".join(f"    {line}" for line in _lines(section)))


@keys.command("list")
def list_keys(config: ConfigPath = Path("joulegate.toml"), as_json: AsJson = False) -> None:
    """List the keys of a configuration: whose they are and what for, never what they are.

    \b
    joulegate keys list --config joulegate.toml
    """  # noqa: D301
    if not config.exists():
        raise ConfigError(f"{config}: no such file; name it with --config")
    now = datetime.now(UTC)
    rows = [
        {"team": team.name} | _shown(key) | {"expired": key.expires is not None and key.expires <= now}
        for team in load(config).config.team
        for key in team.key
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    if not rows:
        typer.echo("No keys. Make one: joulegate keys issue TEAM")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("team", "key", "project", "user", "expires", "only for", "only from"):
        table.add_column(title, overflow="fold")
    for row in rows:
        only_for = ", ".join((*row["providers"], *row["models"]))
        end = "-" if row["expires"] is None else row["expires"][:16] + (" (over)" if row["expired"] else "")
        cells = (row["team"], row["id"], row["project"], row["user"], end, only_for, ", ".join(row["networks"]))
        table.add_row(*(escape(cell or "-") for cell in cells))
    Console().print(table)


def _moment(text: str, now: datetime) -> datetime:
    """Read a date, whose day is the first without the key, a moment, or a number of days from now."""
    days = re.fullmatch(r"([1-9]\d{0,4})d", text)
    try:
        found = now.replace(microsecond=0) + timedelta(days=int(days[1])) if days else datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"`{text}` is no date; write 2027-01-31, 2027-01-31T18:00+01:00 or 90d") from None
    found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    if found <= now:
        raise typer.BadParameter(f"`{text}` is over already")
    return found


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise typer.BadParameter(f"{error}; write 10.0.0.0/8 or 2001:db8::/32") from None


def _shown(key: KeySection) -> dict[str, Any]:
    return {
        "id": key.id,
        "project": key.project,
        "user": key.user,
        "expires": None if key.expires is None else key.expires.astimezone(UTC).isoformat(),
        "networks": key.networks,
        "providers": key.providers,
        "models": key.models,
    }


def _lines(key: KeySection) -> list[str]:
    lines = ["[[team.key]]", f"id = {json.dumps(key.id)}", f'sha256 = "{key.sha256}"']
    lines += [f"{name} = {json.dumps(value)}" for name in ("project", "user") if (value := getattr(key, name))]
    if key.expires is not None:
        lines.append(f"expires = {key.expires.isoformat()}")
    lines += [
        f"{name} = {json.dumps(value)}" for name in ("networks", "providers", "models") if (value := getattr(key, name))
    ]
    return lines
