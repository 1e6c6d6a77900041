"""``joulegate doctor``: the configuration in effect and whether what it needs is there."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from proxy.config import SETTINGS, Config, load, resolve_secret, split_listen
from proxy.errors import ConfigError


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at."""

    what: str
    ok: bool
    says: str


def doctor(
    config: Annotated[Path | None, typer.Option("--config", help="The configuration file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show each setting with its origin, and check ports, folders and credentials. Secrets are not shown.

    Exit status 1 where something would keep the gate from working.

    \b
    joulegate doctor
    joulegate doctor --config joulegate.toml --json
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    loaded = load(config)
    settings = []
    for section, kind in SETTINGS.items():
        values = getattr(loaded.config, section)
        for key in kind.__struct_fields__:
            name = f"{section}.{key}"
            settings.append((name, _shown(getattr(values, key)), loaded.origins.get(name, "default")))
    findings = [*_check(loaded.config), *(_ignored(name) for name in loaded.ignored)]
    if as_json:
        rows = [{"setting": name, "value": value, "from": origin} for name, value, origin in settings]
        typer.echo(json.dumps({"settings": rows, "checks": msgspec.to_builtins(findings)}))
    else:
        for name, value, origin in settings:
            typer.echo(f"{name:26} {value:40} {origin}")
        typer.echo("")
        for finding in findings:
            typer.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.what}: {finding.says}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _shown(value: object) -> str:
    text = str(value)
    scheme, divided, rest = text.partition("://")
    if divided and "@" in rest:  # a database URL with a password
        return f"{scheme}://…@{rest.rpartition('@')[2]}"
    return text


def _check(config: Config) -> list[Finding]:
    findings = [
        _port("gate.listen", config.gate.listen),
        _port("console.listen", config.console.listen),
        _folder(Path(config.journal.directory)),
    ]
    for provider in config.provider:
        if provider.credential is None:
            continue
        try:
            resolve_secret(provider.credential, owner=f"provider {provider.name}")
            findings.append(Finding(f"credential of {provider.name}", True, f"{provider.credential} is there"))
        except ConfigError as error:
            findings.append(Finding(f"credential of {provider.name}", False, str(error)))
    return findings


def _port(what: str, listen: str) -> Finding:
    host, port = split_listen(listen)
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return Finding(what, True, f"{listen} is free")
    except OSError as error:
        return Finding(what, False, f"{listen} cannot be opened ({error.strerror}); is a gate running there already?")


def _folder(folder: Path) -> Finding:
    nearest = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return Finding("journal.directory", True, f"{folder} can be written")
    return Finding(
        "journal.directory", False, f"{folder} cannot be written: {nearest} is not a folder open to this user"
    )


def _ignored(name: str) -> Finding:
    return Finding("environment", True, f"{name} is no setting of Joulegate and is ignored")
