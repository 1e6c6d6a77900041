"""What a key of ours may be used for: until when, from which addresses, at which providers, for which models."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from proxy.errors import Refusal
from proxy.routing import Target
from proxy.sections import KeySection

_ASKS_ONLY = frozenset(("GET", "HEAD", "OPTIONS"))  # these generate nothing, so they may leave the model open


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Limits of one key; an empty one is none."""

    expires_at: float | None  # seconds since the Unix epoch
    networks: tuple[IPv4Network | IPv6Network, ...]
    providers: frozenset[str]
    models: tuple[str, ...]  # shell patterns

    @classmethod
    def of(cls, key: KeySection) -> Scope | None:
        """Read a key's limits; ``None``: it has none."""
        if key.expires is None and not (key.networks or key.providers or key.models):
            return None
        return cls(
            expires_at=None if key.expires is None else key.expires.timestamp(),
            networks=tuple(map(ip_network, key.networks)),
            providers=frozenset(key.providers),
            models=key.models,
        )

    def require_here_and_now(self, address: Callable[[], str | None], now: Callable[[], float] = time.time) -> None:
        """Raise :class:`Refusal` where the key has expired, or its caller is elsewhere than it may be."""
        if self.expires_at is not None and now() >= self.expires_at:
            at = datetime.fromtimestamp(self.expires_at, UTC)
            raise Refusal(401, "expired_api_key", f"This Joulegate key expired at {at:%Y-%m-%d %H:%M} UTC.")
        if self.networks:
            caller = address()
            if caller is None or not _lies_in(caller, self.networks):
                message = f"This Joulegate key may not be used from {caller or 'an unknown address'}."
                raise Refusal(403, "address_not_allowed", message)

    def within(self, method: str, targets: Iterable[Target], models: Iterable[str | None]) -> tuple[Target, ...]:
        """Give the targets that the key may use; raises :class:`Refusal` where it may not use the first, or a model.

        ``models`` are the names that the client asks for: its path may name another than its body, and which of them
        counts is the provider's to say. A request that names none may only look things up: a file of requests, for
        one, could name any.
        """
        chosen, *others = targets
        if self.providers and chosen.provider.name not in self.providers:
            message = f"This Joulegate key may not be used for provider {chosen.provider.name}."
            raise Refusal(403, "provider_not_allowed", message)
        if self.models:
            self._require_models(method, [model for model in models if model is not None], chosen.provider.name)
        return (chosen, *(each for each in others if not self.providers or each.provider.name in self.providers))

    def _require_models(self, method: str, models: Collection[str], provider: str) -> None:
        refused = next((f"model `{model[:80]}`" for model in models if not self._allows(model, provider)), None)
        if not models and method not in _ASKS_ONLY:
            refused = "a request that names no model"
        if refused is not None:
            raise Refusal(403, "model_not_allowed", f"This Joulegate key may not be used for {refused}.")

    def _allows(self, model: str, provider: str) -> bool:
        names = (model, model.removeprefix(f"{provider}/"))  # the provider may be part of what is asked for
        return any(fnmatchcase(name, pattern) for name in names for pattern in self.models)


def _lies_in(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    found = ip_address(address.partition("%")[0])  # without the interface of a link-local one
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in networks)
