"""Which provider a call goes to, and at which path: by the path, by the configuration, by the model's name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from proxy.config import resolve_secret
from proxy.errors import ConfigError, Refusal
from proxy.sections import Config, ProviderSection, RouteSection, zone_of
from proxy.sigv4 import AwsCredential

_TARGETS_KEPT = 4096  # for a model at a path…
_PATH_BYTES_KEPT = 256  # …of at most this length: those of the APIs are shorter
_ACTION = re.compile(rb"(?::|%3[aA])[a-z]+[A-Z]\w*$")  # models/…:generateContent, not the name of models/llama3:8b


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a provider listens."""

    tls: bool
    host: str
    port: int
    authority: bytes  # the Host header's value

    @classmethod
    def parse(cls, url: str) -> Origin:
        """Read ``https://host[:port]``; the URL was checked when the configuration was read."""
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        authority = parts.netloc.rpartition("@")[2].encode("idna" if not parts.netloc.isascii() else "ascii")
        return cls(tls=tls, host=parts.hostname or "", port=parts.port or (443 if tls else 80), authority=authority)


class Secret:
    """Bytes that do not show when printed."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Give the bytes, for the one place that sends them."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Translator:
    """The process that carries calls to providers without an API like OpenAI's, and the word it knows its gates by."""

    origin: Origin
    secret: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """What the translator is told of a call: the number of its route, and the word."""

    route: int
    secret: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider, ready to be called."""

    name: str
    origin: Origin | None
    base: bytes
    credential: Secret | None
    credential_in: bytes
    aws: AwsCredential | None  # set: requests are signed with it, instead of carrying the credential
    asks_for_usage: bool  # its streams carry usage only if asked, and asking is allowed
    drains: bool
    zone: str | None  # of electricity
    translation: Translation | None = None  # set: ``origin`` is the translator's

    def require_origin(self) -> Origin:
        """Give the origin; raises :class:`Refusal` where the operator still has to say it."""
        if self.origin is None:
            message = f'Provider {self.name} has no origin of its own: set origin in [[provider]] name = "{self.name}".'
            raise Refusal(404, "provider_not_configured", message)
        return self.origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A provider and the path there; ``model`` where the name sent upstream differs from the one asked for."""

    provider: Provider
    path: bytes
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """Where calls for a model go: to the first of the providers that can be reached, under which name."""

    providers: tuple[Provider, ...]
    model: str | None = None


class Routes:
    """The configured and shipped ways from a request to a provider."""

    def __init__(self, config: Config, translator: Translator | None = None) -> None:
        self._providers = {row.name: _provider(row, config.estimate.zone) for row in config.provider}
        self._by_segment = {name.encode(): provider for name, provider in self._providers.items()}
        asking = {row.name for row in config.provider if row.inject_usage == "auto"}
        self._own = [
            (route.match, route.team, self._way(number, route, translator, asks_for_usage=route.provider in asking))
            for number, route in enumerate(config.route)
        ]
        self._by_model = [
            (pattern, _Way(providers=self._named(row.name))) for row in config.provider for pattern in row.models
        ]
        self._teams = frozenset(route.team for route in config.route if route.team is not None)
        self._chosen: dict[tuple[str | None, str, bytes], tuple[Target, ...] | None] = {}

    def by_path(self, raw_path: bytes) -> Target | None:
        """``/{provider}/{rest}`` → that provider and ``/{rest}``, byte for byte; None for the common ``/v1`` door.

        Raises :class:`Refusal` 404 for a path that is neither.
        """
        head, slash, rest = raw_path[1:].partition(b"/")
        provider = self._by_segment.get(head)
        if provider is not None:
            return Target(provider=provider, path=slash + rest if slash else b"/")
        if head in (b"v1", b"v1beta"):
            return None
        known = ", ".join(sorted(self._providers))
        named = head.decode("latin-1")[:40]
        raise Refusal(404, "unknown_provider", f"No provider `{named}` here; use /v1/… or one of: {known}.")

    def by_model(
        self, raw_path: bytes, model: str | None, headers: Iterable[tuple[bytes, bytes]], *, team: str | None = None
    ) -> tuple[Target, ...]:
        """Choose for ``/v1/…`` by the model's name; of several targets each is tried where the one before is away.

        Raises :class:`Refusal` 404 where no route fits.
        """
        if model is None:
            return (_target(self._without_model(raw_path, headers), raw_path, None),)
        asked = (team if team in self._teams else None, model, raw_path)
        if asked in self._chosen:
            targets = self._chosen[asked]
        else:
            way = self._choose(*asked[:2])
            targets = None if way is None else tuple(_target(each, raw_path, way.model) for each in way.providers)
            # Clients choose the names: bounds keep them from filling memory.
            if len(self._chosen) < _TARGETS_KEPT and len(raw_path) < _PATH_BYTES_KEPT:
                self._chosen[asked] = targets
        if targets is None:
            message = (
                f"No route for model `{model[:80]}`. Ask for `provider/{model[:80]}`, use the path /provider/v1/…, "
                'or add [[route]] match = "…" to the configuration.'
            )
            raise Refusal(404, "model_not_found", message)
        return targets

    def _choose(self, team: str | None, model: str) -> _Way | None:
        for pattern, only, way in self._own:
            if only in (None, team) and fnmatchcase(model, pattern):
                return way
        first, slash, rest = model.partition("/")
        if slash and rest and first in self._providers:
            return _Way(providers=self._named(first), model=rest)
        for pattern, way in self._by_model:
            if fnmatchcase(model, pattern):
                return way
        return None

    def _way(self, number: int, route: RouteSection, translator: Translator | None, *, asks_for_usage: bool) -> _Way:
        if route.via is None:
            return _Way(providers=self._named(route.provider, *route.fallback), model=route.model)
        if translator is None:
            raise ConfigError(f"route `{route.match}` is translated, which needs a process beside the gate: use serve")
        provider = replace(
            self._providers[route.provider],
            origin=translator.origin,
            translation=Translation(route=number, secret=translator.secret),
            asks_for_usage=asks_for_usage,  # a translated stream carries usage only if asked, whoever its provider is
        )
        return _Way(providers=(provider,), model=route.model)

    def _named(self, *names: str) -> tuple[Provider, ...]:
        return tuple(self._providers[name] for name in names)

    def _without_model(self, raw_path: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Provider:
        """Choose by wire format where a request names no model (``GET /v1/models``, files, batches)."""
        for pattern, team, way in self._own:
            if pattern == "*" and team is None:
                return way.providers[0]
        if raw_path.startswith(b"/v1beta"):
            return self._providers["gemini"]
        if raw_path.startswith((b"/v1/messages", b"/v1/complete")) and not raw_path.startswith(b"/v1/completions"):
            return self._providers["anthropic"]
        if any(name == b"anthropic-version" for name, _ in headers):
            return self._providers["anthropic"]
        return self._providers["openai"]


def _target(provider: Provider, raw_path: bytes, model: str | None) -> Target:
    # An action after a colon is Google's own API, which its client asks for under /v1: it lives at no other base.
    googles = _ACTION.search(raw_path) is not None
    path = provider.base + raw_path[3:] if raw_path.startswith(b"/v1/") and not googles else raw_path
    return Target(provider=provider, path=path, model=model)


def _provider(row: ProviderSection, zone: str | None) -> Provider:
    """Make a provider ready; ``zone`` is where one stands that does not say."""
    return Provider(
        name=row.name,
        origin=Origin.parse(row.origin) if row.origin else None,
        base=row.base.rstrip("/").encode("ascii"),
        credential=Secret(resolve_secret(row.credential, owner=f"provider {row.name}")) if row.credential else None,
        credential_in=row.credential_in.encode("ascii"),
        aws=aws_credential(row),
        asks_for_usage=row.inject_usage == "auto" and row.stream_usage == "on_request",
        drains=row.on_abort == "drain",
        zone=zone_of(row, zone),
    )


def aws_credential(row: ProviderSection) -> AwsCredential | None:
    """Fetch what a provider's requests are signed with; None where they are not."""
    if row.credential_in != "sigv4" or row.credential is None:
        return None

    def secret(reference: str | None) -> str | None:
        return None if reference is None else resolve_secret(reference, owner=f"provider {row.name}").decode()

    return AwsCredential(
        access_key_id=secret(row.credential) or "",
        secret_access_key=secret(row.secret_access_key) or "",
        session_token=secret(row.session_token),
        region=(row.region or "").removeprefix("aws:"),
    )
