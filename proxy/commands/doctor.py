"""``joulegate doctor``: the configuration in effect and whether what it needs is there."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proxy.checks import check_journal, check_ledger, check_ports, check_start
from proxy.config import DEFAULT_PATH, Loaded, load, resolve_secret
from proxy.errors import ConfigError
from proxy.finding import Finding
from proxy.key_checks import check_keys, check_roster
from proxy.sections import SETTINGS, ProviderSection, RouteSection

ANSWER_IS_NO = 1
STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}
NO_LIMIT = 10_000  # characters in a line


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A setting and where its value comes from: default, environment, a flag or the name of the file."""

    setting: str
    value: str | int | float | bool | None
    origin: str = msgspec.field(name="from")


class ProviderLine(msgspec.Struct, frozen=True, kw_only=True):
    """A provider; ``credential`` is the reference, never what it refers to."""

    name: str
    origin: str | None
    dialect: str
    credential: str | None
    credential_present: bool | None  # None: there is none to be present, the client's own passes through
    zone: str | None
    region: str | None
    models: tuple[str, ...]


class TeamLine(msgspec.Struct, frozen=True, kw_only=True):
    """A team and how many keys it has."""

    name: str
    keys: int


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """All that the command shows, as ``--json`` gives it."""

    version: str
    configuration: str | None  # the file that was read
    settings: tuple[Setting, ...]
    providers: tuple[ProviderLine, ...]
    routes: tuple[RouteSection, ...]
    teams: tuple[TeamLine, ...]
    checks: tuple[Finding, ...]


def doctor(
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Configuration; default: joulegate.toml here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show settings, providers, routes and teams, and check what a start needs. Secrets are not shown.

    Exit status 1 where something would keep the gate from working.

    \b
    joulegate doctor
    joulegate doctor --config joulegate.toml --json
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    file = config or (DEFAULT_PATH if DEFAULT_PATH.is_file() else None)
    overview = _look(load(config), file)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(overview), indent=1))
    else:
        _show(overview, Console())
    if any(finding.level == "error" for finding in overview.checks):
        raise typer.Exit(ANSWER_IS_NO)


def _look(loaded: Loaded, file: Path | None) -> Overview:
    config = loaded.config
    checks = [*check_ports(config), *check_start(loaded), *check_journal(Path(config.journal.directory))]
    checks += check_roster(Path(config.journal.directory))
    if not any(finding.what == "ledger.url" and finding.level == "error" for finding in checks):
        checks += [*check_ledger(config), *check_keys(config)]
    return Overview(
        version=metadata.version("joulegate"),
        configuration=str(file) if file is not None else None,
        settings=tuple(_settings(loaded)),
        providers=tuple(map(_provider, config.provider)),
        routes=config.route,
        teams=tuple(TeamLine(name=team.name, keys=len(team.key)) for team in config.team),
        checks=tuple(checks),
    )


def _settings(loaded: Loaded) -> list[Setting]:
    from proxy.ledger.engine import shown  # SQLAlchemy takes most of a second to import

    settings = []
    for section, kind in SETTINGS.items():
        for key in kind.__struct_fields__:
            name = f"{section}.{key}"
            value = getattr(getattr(loaded.config, section), key)
            value = shown(value) if name in ("ledger.url", "mirror.url") and value is not None else value
            value = ", ".join(f"{who} = {where}" for who, where in value.items()) if isinstance(value, dict) else value
            settings.append(Setting(setting=name, value=value, origin=loaded.origins.get(name, "default")))
    return settings


def _provider(row: ProviderSection) -> ProviderLine:
    present = None
    if row.credential is not None:
        try:
            present = bool(resolve_secret(row.credential, owner=row.name))
        except (ConfigError, UnicodeError):
            present = False
    return ProviderLine(
        name=row.name,
        origin=row.origin,
        dialect=row.dialect,
        credential=row.credential,
        credential_present=present,
        zone=row.zone,
        region=row.region,
        models=row.models,
    )


def _show(overview: Overview, console: Console) -> None:
    settings = _table("setting", "value", "from")
    for each in overview.settings:
        value = str(each.value).lower() if isinstance(each.value, bool) else str(each.value)
        settings.add_row(
            Text(each.setting),
            _quiet("not set") if each.value in (None, "") else Text(value),
            _quiet(each.origin, each.origin == "default"),
        )
    providers = _table("name", "origin", "dialect", "credential", "zone")
    for row in overview.providers:
        place = row.region or row.zone
        providers.add_row(
            Text(row.name),
            _quiet(row.origin or "not set", row.origin is None),
            Text(row.dialect),
            _credential(row),
            _quiet(place or "unknown", place is None),
        )
    routes = _table("", "model", "provider")
    for number, route in enumerate(overview.routes, start=1):
        routes.add_row(Text(str(number)), *map(Text, _route(route)))
    routes.add_row("", _quiet("provider/model"), _quiet("the provider it names"))
    routes.add_row("", _quiet("any other"), _quiet("the provider whose models are called so"))
    teams = _table("name", "keys")
    for team in overview.teams:
        teams.add_row(Text(team.name), Text(str(team.keys), justify="right"))
    checks = _table("", "", "")
    checks.show_header = False
    for finding in overview.checks:
        checks.add_row(Text(finding.level, style=STYLES[finding.level]), Text(finding.what), Text(finding.says))
    parts = {"Settings": settings, "Providers": providers, "Routes": routes, "Teams": teams, "Checks": checks}
    if not console.is_terminal:  # a file, or a program that looks for lines: they stay whole
        options = console.options.update(max_width=NO_LIMIT)
        console.width = max(console.measure(part, options=options).maximum for part in parts.values())
    read_from = f"configuration {overview.configuration}" if overview.configuration else "no configuration file"
    with console.capture() as page:
        console.print(Text(f"Joulegate {overview.version}, {read_from}", style="bold"), "", sep="\n")
        for title, part in parts.items():
            console.print(Text(title, style="bold"), part if part.row_count else _quiet("none"), "", sep="\n")
        console.print(_verdict(overview.checks))
    for line in page.get().splitlines():
        typer.echo(line.rstrip())


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in ("dialect", "credential", "zone"))
    return table


def _quiet(text: str, quiet: bool = True) -> Text:
    return Text(text, style="dim" if quiet else "")


def _route(route: RouteSection) -> tuple[str, str]:
    """Say which calls a route takes, and where to."""
    calls = route.match if route.team is None else f"{route.match} of team {route.team}"
    first = route.provider if route.model is None else f"{route.provider} as {route.model}"
    if route.via is not None:
        first += f" via {route.via}"
    return calls, ", else ".join((first, *route.fallback))


def _credential(row: ProviderLine) -> Text:
    """Say whose it is; the reference of one stands under the checks, where there is room for it."""
    if row.credential is None:
        return _quiet("caller's")
    return Text("present", style=STYLES["ok"]) if row.credential_present else Text("missing", style=STYLES["error"])


def _verdict(checks: tuple[Finding, ...]) -> Text:
    errors, warnings = (sum(finding.level == level for finding in checks) for level in ("error", "warning"))
    noted = f"{warnings} warning{'s' if warnings != 1 else ''}" if warnings else ""
    if not errors:
        return Text(f"Ready for joulegate serve{f', with {noted}' if noted else ''}.", style=STYLES["ok"])
    said = f"{errors} error{'s' if errors != 1 else ''}{f' and {noted}' if noted else ''}"
    return Text(f"{said}: joulegate serve would not start.", style=STYLES["error"])
