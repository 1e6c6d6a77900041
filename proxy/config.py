"""Configuration: one TOML file, decoded strictly, under environment variables, under flags.

Every value knows where it came from (``default``, the file's name, ``environment`` or ``flag``), so
``joulegate doctor`` can say it. Secrets are references (``env:NAME``, ``file:PATH``) until the
moment they are needed and never show in a ``repr``.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from importlib import resources
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from estimator import known_regions, known_zones
from proxy.errors import ConfigError
from proxy.sections import SETTINGS, Config, ConsoleSection, KeySection, ProviderSection, RouteSection, Section


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration and where each of its settings came from (``gate.listen`` → ``environment``)."""

    config: Config
    origins: dict[str, str]
    ignored: tuple[str, ...] = ()  # JOULEGATE_… variables that are no setting (Kubernetes makes such names)
    file: str | None = None  # its path, where there is one


_SECRET_OPTION = re.compile(r"(key|secret|token|password|credentials?|headers)(_id)?$")

TOKEN_CHARACTERS_AT_LEAST = 32
DEFAULT_PATH = Path("joulegate.toml")  # read where it stands in the working directory and no other is named


def load(
    path: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Loaded:
    """Read the configuration; raises :class:`ConfigError` naming the key, the file and the remedy.

    ``flags`` are dotted settings (``{"gate.listen": …}``); they override the environment
    (``JOULEGATE_<SECTION>_<KEY>``), which overrides the file, which overrides the defaults.
    """
    tree, source = _read(path)
    origins = {f"{section}.{key}": source for section in SETTINGS for key in _table(tree, section, source)}
    ignored: list[str] = []
    for name, text in (os.environ if environment is None else environment).items():
        if name.startswith("JOULEGATE_"):
            section, _, key = name.removeprefix("JOULEGATE_").lower().partition("_")
            if section not in SETTINGS or key not in SETTINGS[section].__struct_fields__:
                ignored.append(name)
                continue
            tree.setdefault(section, {})[key] = _from_text(section, key, text, name)
            origins[f"{section}.{key}"] = "environment"
    for dotted, value in (flags or {}).items():
        section, _, key = dotted.partition(".")
        tree.setdefault(section, {})[key] = value
        origins[dotted] = "flag"
    tree["provider"] = _merge_providers(tree.get("provider", []), source)
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_said(error, Config)}") from None
    config = _with_own_days(config)
    _check(config, source)
    nowhere = {provider.name for provider in config.provider if provider.origin is None} - _shipped_providers().keys()
    if nowhere:
        raise ConfigError(f'{source}: provider `{min(nowhere)}` is not a shipped one: set origin = "https://…"')
    file = path or (DEFAULT_PATH if DEFAULT_PATH.is_file() else None)
    return Loaded(
        config=config, origins=origins, ignored=tuple(ignored), file=None if file is None else str(file.absolute())
    )


def _with_own_days(config: Config) -> Config:
    """Let budgets that name no time zone go by the ledger's, as reports do."""
    replace = msgspec.structs.replace
    budgets = (each if each.tz is not None else replace(each, tz=config.ledger.tz) for each in config.budget)
    return replace(config, budget=tuple(budgets))


def split_listen(listen: str) -> tuple[str, int]:
    """``"127.0.0.1:8700"`` → ``("127.0.0.1", 8700)``; ``"[::1]:8700"`` too. Raises :class:`ConfigError`."""
    host, colon, port = listen.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f'listen = "{listen}" is not HOST:PORT, for example "127.0.0.1:8700"')
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


def resolve_secret(
    reference: str, *, owner: str, setting: str = "credential", environment: Mapping[str, str] | None = None
) -> bytes:
    """Fetch what ``env:NAME`` or ``file:PATH`` refers to; raises :class:`ConfigError` without the secret in it.

    ``owner`` and ``setting`` say whose it is and where it stands.
    """
    kind, _, where = reference.partition(":")
    if kind == "env":
        value = (os.environ if environment is None else environment).get(where, "")
        if not value:
            raise ConfigError(f"{owner}: {setting} = env:{where}, but {where} is not set; set it or remove the line")
    elif kind == "file":
        try:
            value = Path(where).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"{owner}: {setting} = file:{where} cannot be read: {error.strerror}") from None
        if not value:
            raise ConfigError(f"{owner}: {setting} = file:{where} is empty; write it there or remove the line")
    else:
        raise ConfigError(f"{owner}: {setting} is a reference, env:NAME or file:PATH, never the key itself")
    if not value.isascii() or not value.isprintable():
        raise ConfigError(f"{owner}: {setting} has characters that cannot stand in an HTTP header")
    return value.encode("ascii")


def console_tokens(section: ConsoleSection, *, environment: Mapping[str, str] | None = None) -> dict[str, bytes]:
    """Fetch the tokens of the console by their names; raises :class:`ConfigError` where one is missing or too short."""
    references = ({} if section.token is None else {"console": section.token}) | section.tokens
    found = {}
    for name, reference in references.items():
        found[name] = resolve_secret(reference, owner=f"console token `{name}`", environment=environment)
        if len(found[name]) < TOKEN_CHARACTERS_AT_LEAST:
            raise ConfigError(
                f"console token `{name}` has {len(found[name])} characters, too few to be no guess: make one of"
                f" {TOKEN_CHARACTERS_AT_LEAST} or more, with `openssl rand -hex 32` for example"
            )
    return found


def _read(path: Path | None) -> tuple[dict[str, Any], str]:
    if path is None:
        if not DEFAULT_PATH.is_file():
            return {}, "default"
        path = DEFAULT_PATH
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), path.name
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name}: not valid TOML: {error}") from None


def _table(tree: Mapping[str, Any], section: str, source: str) -> Mapping[str, Any]:
    table = tree.get(section, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{source}: `{section}` is a table: write [{section}]")
    return table


def _from_text(section: str, key: str, text: str, variable: str) -> object:
    try:
        # Environment values are text: strict=False reads numbers and booleans from it.
        return getattr(msgspec.convert({key: text}, SETTINGS[section], strict=False), key)
    except msgspec.ValidationError as error:
        raise ConfigError(f"environment: {variable}={text!r}: {_said(error, SETTINGS[section])}") from None


def _shipped_providers() -> dict[str, dict[str, Any]]:
    text = resources.files("proxy.data").joinpath("providers.toml").read_text(encoding="utf-8")
    return {row["name"]: row for row in tomllib.loads(text)["provider"]}


_PATHS_OF_OURS = frozenset({"v1", "v1beta", "healthz", "readyz"})


def _merge_providers(own: object, source: str) -> list[dict[str, Any]]:
    merged = _shipped_providers()
    if not isinstance(own, list):
        raise ConfigError(f"{source}: `provider` is a list of tables: write [[provider]]")
    for row in own:
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            raise ConfigError(f'{source}: every [[provider]] needs a name, for example name = "openai"')
        if row["name"] in _PATHS_OF_OURS:
            raise ConfigError(f"{source}: no provider can have the name `{row['name']}`: the gate's own paths begin so")
        under = merged.get(row["name"], {})
        if "region" in row:  # says the place better than the zone under it
            under.pop("zone", None)
        merged[row["name"]] = under | row
    for row in merged.values():
        if "surface" in row:
            row["dialect"] = row["surface"]
        try:
            msgspec.convert(row, ProviderSection)
        except msgspec.ValidationError as error:
            raise ConfigError(f"{source}: provider `{row['name']}`: {_said(error, ProviderSection)}") from None
    return list(merged.values())


def _said(error: msgspec.ValidationError, section: type[Section]) -> str:
    """Say what is wrong; where one of a few words is wanted (`$.gate.keys`), which they are."""
    said = str(error)
    wanted: object = msgspec.inspect.type_info(section)
    for name in re.findall(r"\.(\w+)", said.rpartition("`$")[2]):
        if isinstance(wanted, msgspec.inspect.VarTupleType):
            wanted = wanted.item_type
        if not isinstance(wanted, msgspec.inspect.StructType):
            return said
        wanted = next((field.type for field in wanted.fields if field.encode_name == name), None)
    if isinstance(wanted, msgspec.inspect.VarTupleType):
        wanted = wanted.item_type
    if isinstance(wanted, msgspec.inspect.UnionType):
        wanted = next((each for each in wanted.types if isinstance(each, msgspec.inspect.LiteralType)), None)
    if not isinstance(wanted, msgspec.inspect.LiteralType):
        return said
    return f"{said}; allowed are {', '.join(map(str, wanted.values))}"


def _check(config: Config, source: str) -> None:
    split_listen(config.gate.listen)
    split_listen(config.console.listen)
    if config.gate.listen == config.console.listen and not config.gate.listen.endswith(":0"):
        raise ConfigError(
            f"{source}: gate.listen and console.listen are both {config.gate.listen}; give them different ports"
        )
    _check_tz(config.ledger.tz, source)
    names = {provider.name for provider in config.provider}
    for provider in config.provider:
        if provider.origin is not None:
            _check_origin(provider.name, provider.origin, source)
        _check_zone(provider, source)
        _check_signing(provider, source)
    teams = {team.name for team in config.team}
    for route in config.route:
        for name in (route.provider, *route.fallback):
            if name not in names:
                known = ", ".join(sorted(names))
                raise ConfigError(f"{source}: route `{route.match}` names provider `{name}`; known are {known}")
        if route.team is not None and route.team not in teams:
            known = ", ".join(sorted(teams)) or "none"
            raise ConfigError(f"{source}: route `{route.match}` names team `{route.team}`; known are {known}")
        _check_translation(route, source)
    _check_estimating(config, names, source)
    _check_unique("team", [team.name for team in config.team], source)
    _check_unique("key id", [key.id for team in config.team for key in team.key], source)
    for key in (key for team in config.team for key in team.key):
        _check_scope(key, names, source)
    _check_notify(config, source)
    _check_unique("key", [key.sha256 for team in config.team for key in team.key], source)
    _check_budgets(config, source)


def _check_tz(tz: str | None, source: str) -> None:
    if tz is None:
        return
    from zoneinfo import ZoneInfo  # which nothing else needs at the start

    try:
        ZoneInfo(tz)
    except (KeyError, ValueError, OSError):
        raise ConfigError(
            f'{source}: ledger.tz = "{tz}" is no IANA time zone such as UTC, Europe/Berlin or Asia/Kolkata'
        ) from None


def _check_budgets(config: Config, source: str) -> None:
    if not config.budget:
        return
    from proxy.budgets.budget import budgets_of  # time zones, which nothing else needs at the start

    _check_unique("budget", [budget.name for budget in config.budget], source)
    try:
        budgets_of(config.budget)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


def _check_scope(key: KeySection, providers: Collection[str], source: str) -> None:
    for network in key.networks:
        try:
            ip_network(network)
        except ValueError as error:
            raise ConfigError(f"{source}: key `{key.id}`: {error}; write 10.0.0.0/8 or 2001:db8::/32") from None
    for name in key.providers:
        if name not in providers:
            known = ", ".join(sorted(providers))
            raise ConfigError(f"{source}: key `{key.id}` names provider `{name}`; known are {known}")


def _check_translation(route: RouteSection, source: str) -> None:
    where = f"{source}: route `{route.match}`"
    if route.via is None:
        if route.options:
            raise ConfigError(f'{where} has options, which only a translated route has: set via = "litellm"')
        return
    if route.model is None:  # a client that chose it could have the operator's credential sent anywhere
        raise ConfigError(
            f'{where} goes via {route.via}: set model to its name there, such as "bedrock/amazon.nova-lite-v1:0"'
        )
    if route.fallback:
        raise ConfigError(f"{where} goes via {route.via} and has a fallback: only a route without `via` can have one")
    for name in route.options:
        if _SECRET_OPTION.search(name):
            raise ConfigError(
                f"{where}: options.{name} looks like a secret: set credential in "
                f'[[provider]] name = "{route.provider}", as a reference'
            )


def _check_origin(name: str, origin: str, source: str) -> None:
    parts = urlsplit(origin)
    try:
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise ConfigError(
            f'{source}: provider `{name}`: origin = "{origin}" must be scheme, host and port only, '
            'for example "https://api.openai.com"'
        )


def _check_signing(provider: ProviderSection, source: str) -> None:
    """Raise ConfigError where a provider's requests are to be signed for AWS and something for that is missing."""
    signs = provider.credential_in == "sigv4" and provider.credential is not None
    where = f"{source}: provider `{provider.name}`"
    if signs and provider.secret_access_key is None:
        raise ConfigError(f'{where} signs its requests: set secret_access_key = "env:AWS_SECRET_ACCESS_KEY"')
    if signs and not (provider.region or "").startswith("aws:"):
        raise ConfigError(f'{where} signs its requests for a region: set region = "aws:eu-north-1" or another')
    if not signs and (provider.secret_access_key or provider.session_token):
        raise ConfigError(
            f"{where} has a secret_access_key or session_token that nothing is signed with: "
            'set credential_in = "sigv4" and credential = "env:AWS_ACCESS_KEY_ID"'
        )


def _check_zone(provider: ProviderSection, source: str) -> None:
    where = f"provider `{provider.name}`"
    if provider.zone is not None and provider.region is not None:
        message = f'zone = "{provider.zone}" and region = "{provider.region}" both say where it runs: keep one'
        raise ConfigError(f"{source}: {where}: {message}")
    _check_zones([provider.zone], where, source)
    if provider.region is not None and provider.region not in known_regions():
        message = f'region = "{provider.region}" is not known: say it like "aws:eu-north-1", or give its zone'
        raise ConfigError(f"{source}: {where}: {message}")


def _check_zones(zones: Iterable[str | None], where: str, source: str) -> None:
    for zone in zones:
        if zone is not None and zone not in known_zones():
            message = f'zone = "{zone}" is not a zone there is a figure for: say it as ISO 3166-1 alpha-3 (FRA)'
            raise ConfigError(f"{source}: {where}: {message}")


def _check_estimating(config: Config, providers: Collection[str], source: str) -> None:
    _check_zones([config.estimate.zone], "[estimate]", source)
    for alias in config.alias:
        if alias.provider is not None and alias.provider not in providers:
            raise ConfigError(f"{source}: alias `{alias.name}` names provider `{alias.provider}`, which there is not")
    _check_unique(
        "alias", [f"{alias.name.lower()} at {alias.provider or 'any provider'}" for alias in config.alias], source
    )
    for grid in config.grid:
        _check_zones((*grid.zones, *grid.codes), f"grid `{grid.source}`", source)
    _check_unique("grid zone", [zone for grid in config.grid for zone in grid.zones], source)


def _check_notify(config: Config, source: str) -> None:
    _check_unique("notify", [each.name for each in config.notify], source)
    for each in config.notify:
        where = f"{source}: notify `{each.name}`"
        ways = [
            way
            for way, value in (("webhook", each.webhook), ("mail", each.mail), ("directory", each.directory))
            if value
        ]
        if len(ways) != 1:
            raise ConfigError(f"{where} needs one of webhook, mail and directory, and has {', '.join(ways) or 'none'}")
        if each.secret is not None and each.webhook is None:
            raise ConfigError(f"{where} has a secret that nothing is signed with: it goes with a webhook")
        if each.mail and (config.mail.host is None or config.mail.sender is None):
            raise ConfigError(
                f'{where} is told by mail: set host and sender in [mail], sender = "joulegate@example.com"'
            )


def _check_unique(what: str, values: list[str], source: str) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ConfigError(f"{source}: {what} `{value}` is there twice")
