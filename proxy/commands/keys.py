"""``joulegate keys``: keys of the directory, made, listed and ended; only their hashes are ever kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.commands.directory import PAGE, AsJson, ConfigPath, Database, day, directory, print_table, say_json
from proxy.commands.patience import patience
from proxy.config import load
from proxy.sections import KeySection
from proxy.teams import digest, issue_key

if TYPE_CHECKING:
    from proxy.directory.keys import Wanted
    from proxy.directory.rows import Key
    from proxy.directory.telling import KeyShown

keys = typer.Typer(name="keys", help="Keys that say which team calls.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The key's id, as `joulegate keys list` shows it.")]
NewId = Annotated[str | None, typer.Option("--id", help="A name for the key; default: made of the team's.")]
WHEN = "a date (UTC), a moment, or a time from now as 90d or 36h"


class State(StrEnum):
    """Whether a key works."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@keys.command("issue")
def issue(
    team: Annotated[str, typer.Argument(help="The team that will use the key.")],
    key_id: NewId = None,
    project: Annotated[str | None, typer.Option(help="A project that every call with the key belongs to.")] = None,
    user: Annotated[str | None, typer.Option(help="A user that every call with the key belongs to.")] = None,
    expires: Annotated[str | None, typer.Option(metavar="WHEN", help=f"Its end: {WHEN}.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only for these models (shell patterns).")] = None,
    provider: Annotated[list[str] | None, typer.Option(help="Only for these providers.")] = None,
    network: Annotated[list[str] | None, typer.Option(help="Only from these addresses, as 10.0.0.0/8.")] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print lines for the configuration; write nothing to the ledger.")
    ] = False,
    database: Database = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Make a key for a team. It is shown once, and works within seconds.

    \b
    joulegate keys issue search
    joulegate keys issue search --id search-ci --project nightly --json
    joulegate keys issue research --expires 90d --model "gpt-4o*" --provider openai --network 10.0.0.0/8
    joulegate keys issue search --print-config
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    from proxy.directory import keys as directory_keys

    asked = directory_keys.Wanted(
        team=team,
        id=key_id,
        project=project,
        user=user,
        expires=expires,
        providers=tuple(provider or ()),
        models=tuple(model or ()),
        networks=tuple(network or ()),
    )
    if print_config:
        _print_config(asked, config, as_json=as_json)
        return
    with directory(config, database) as here:
        made = directory_keys.issue(here.engine, asked, known_providers=here.providers, actor=here.actor, at=here.now)
        _say_issued(made.secret, made.key, here.now, as_json=as_json)


@keys.command("list")
def list_keys(
    team: Annotated[str | None, typer.Option(help="Only this team's.")] = None,
    state: Annotated[State | None, typer.Option(help="Only those.")] = None,
    database: Database = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """List keys: whose they are, what for and whether they work, never what they are.

    \b
    joulegate keys list
    joulegate keys list --team search --state active --json
    """  # noqa: D301
    from proxy.directory import keys as directory_keys
    from proxy.directory.log import last_used
    from proxy.directory.telling import key_shown

    found: list[KeyShown] = []
    after: str | None = ""
    with directory(config, database) as here, here.engine.connect() as connection, patience("reading keys"):
        used = last_used(connection, None, here.now)
        while after is not None:
            page, after = directory_keys.page(
                connection, team=team, state=None if state is None else state.value, after=after, limit=PAGE,
                now=here.now,
            )  # fmt: skip
            found += [key_shown(key, here.now, used) for key in page]
    if as_json:
        say_json(found)
    elif found:
        _print_table(found)
    else:
        typer.echo("No keys. Make one: joulegate keys issue TEAM")


@keys.command("show")
def show(key_id: KeyId, database: Database = None, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """Show one key, and what was changed of it.

    \b
    joulegate keys show search-ci
    """  # noqa: D301
    from proxy.directory import keys as directory_keys
    from proxy.directory import log
    from proxy.directory.telling import key_shown

    with directory(config, database) as here, here.engine.connect() as connection:
        key = directory_keys.key(connection, key_id)
        shown = key_shown(key, here.now, log.last_used(connection, [key.id], here.now))
        changes, _ = log.page(connection, subject=key.id, limit=PAGE)
    if as_json:
        say_json({"key": shown, "changes": [each for each in changes if each.kind == "key"]})
        return
    _print_table([shown])
    for each in changes:
        if each.kind == "key":
            typer.echo(f"{day(each.at)}  {each.action} by {each.actor}")


@keys.command("revoke")
def revoke(key_id: KeyId, database: Database = None, config: ConfigPath = None, as_json: AsJson = False) -> None:
    """End a key: within seconds it does not work any more. That cannot be taken back.

    \b
    joulegate keys revoke search-ci
    """  # noqa: D301
    from proxy.directory import keys as directory_keys

    with directory(config, database) as here:
        key = directory_keys.revoke(here.engine, key_id, actor=here.actor, at=here.now)
        _say(key, here.now, f"Key {key_id} of team {key.team} is revoked; no gate takes it in a few seconds.", as_json)


@keys.command("rotate")
def rotate(
    key_id: KeyId,
    grace: Annotated[str, typer.Option(metavar="TIME", help="How long the old key goes on: 7d, 36h, 30m, 0.")] = "0",
    new_id: NewId = None,
    expires: Annotated[
        str | None, typer.Option(metavar="WHEN", help=f"The new one's end, if not the old one's: {WHEN}.")
    ] = None,
    database: Database = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Make a key like another and end that one, at once or after a grace in which both work.

    \b
    joulegate keys rotate search-ci --grace 7d
    joulegate keys rotate search-ci --id search-ci-2 --expires 90d --json
    """  # noqa: D301
    from proxy.directory import keys as directory_keys
    from proxy.directory import wanted

    with directory(config, database) as here:
        made = directory_keys.rotate(
            here.engine,
            key_id,
            grace=wanted.duration(grace, "grace"),
            new_id=new_id,
            expires=expires,
            actor=here.actor,
            at=here.now,
        )
        _say_issued(made.secret, made.key, here.now, as_json=as_json)


@keys.command("expire")
def expire(
    key_id: KeyId,
    at: Annotated[str, typer.Argument(metavar="WHEN", help=f"Its end: {WHEN}; never.")],
    database: Database = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Give a key an end, another one, or none.

    \b
    joulegate keys expire search-ci 90d
    joulegate keys expire search-ci 2027-01-31T18:00+01:00
    joulegate keys expire search-ci never
    """  # noqa: D301
    from proxy.directory import keys as directory_keys

    with directory(config, database) as here:
        key = directory_keys.expire(here.engine, key_id, None if at == "never" else at, actor=here.actor, at=here.now)
        end = "has no end" if key.expires_at is None else f"ends on {day(key.expires_at)} UTC"
        _say(key, here.now, f"Key {key_id} of team {key.team} {end}.", as_json)


def _print_config(asked: Wanted, config: Path | None, *, as_json: bool) -> None:
    from proxy.directory.keys import checked

    known = [each.name for each in load(config).config.provider]
    key = checked(asked, known_providers=known, at=datetime.now(UTC))
    secret = issue_key()
    section = KeySection(
        id=key.id,
        sha256=digest(secret.encode()),
        project=key.project,
        user=key.user,
        expires=key.expires_at,
        networks=key.networks,
        providers=key.providers,
        models=key.models,
    )
    if as_json:
        shown = {name: getattr(section, name) for name in KeySection.__struct_fields__}
        say_json({"key": secret, "team": asked.team} | shown)
        return
    typer.echo(f"Key for team {asked.team}, shown only now:\n\n    {secret}\n")
    typer.echo(f"Put this under [[team]] name = {json.dumps(asked.team)} in your configuration, and send SIGHUP:\n")
    typer.echo("\n".join(f"    {line}" for line in _lines(section)))


def _lines(key: KeySection) -> list[str]:
    lines = ["[[team.key]]", f"id = {json.dumps(key.id)}", f'sha256 = "{key.sha256}"']
    lines += [f"{name} = {json.dumps(value)}" for name in ("project", "user") if (value := getattr(key, name))]
    if key.expires is not None:
        lines.append(f"expires = {key.expires.isoformat()}")
    lines += [
        f"{name} = {json.dumps(value)}" for name in ("networks", "providers", "models") if (value := getattr(key, name))
    ]
    return lines


def _say_issued(secret: str, key: Key, now: datetime, *, as_json: bool) -> None:
    from proxy.directory.telling import issued_shown

    if as_json:
        say_json(issued_shown(secret, key, now))
        return
    typer.echo(f"Key {key.id} for team {key.team}, shown only now:\n\n    {secret}\n")
    typer.echo("Gates take it in a few seconds; only its hash is kept.")


def _say(key: Key, now: datetime, words: str, as_json: bool) -> None:
    from proxy.directory.telling import key_shown

    if as_json:
        say_json(key_shown(key, now, {}))
    else:
        typer.echo(words)


def _print_table(found: list[KeyShown]) -> None:
    rows = (
        (key.id, key.team, key.state, day(key.expires_at), str(key.last_used_on or "-"), _limits(key)) for key in found
    )
    print_table(("key", "team", "state", "expires (UTC)", "used last", "for"), rows)


def _limits(key: KeyShown) -> str:
    parts = {
        "project": key.project,
        "user": key.user,
        "providers": ", ".join(key.providers),
        "models": ", ".join(key.models),
        "from": ", ".join(key.networks),
        "in place of": key.replaces,
    }
    said = [f"{name} {value}" for name, value in parts.items() if value]
    return "; ".join([*said, "in the configuration"] if key.managed_by == "configuration" else said)
