"""What an operator's configuration says beside the facts: names, machines, meters, prices and zones of their own.

The calculator then reckons as the service estimates, on a day at noon. ``static/model.js`` has the same rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any

from estimator import Deployment, Estimate, ModelCard, PriceList, resolve
from estimator.deployments import find_gpu, find_precision
from estimator.dollars import LOCAL, Terms, price_of
from estimator.estimate import Unknown
from estimator.overheads import known_operators
from estimator.price import Price, price_lists
from proxy.estimating import CallTerms, ConfiguredEstimator, Stated
from proxy.sections import Config, zone_of

MACHINE = (
    *("gpu", "n_gpus", "precision", "batch", "tensor_parallel", "kv_bytes", "host_share", "reserve", "pue"),
    "market_grams_per_kwh",
)
_PATTERN = frozenset("*?[")


class Own:
    """A configuration as the calculator takes it; ``at`` is when its prices hold."""

    def __init__(self, config: Config, at: datetime) -> None:
        self.at, self._config = at.replace(hour=12, minute=0, second=0, microsecond=0), config
        self._estimator = ConfiguredEstimator(config)

    @classmethod
    def of(cls, config: Config, at: datetime) -> Own | None:
        """Take a configuration; ``None`` where it says nothing that a call's figures depend on."""
        placed = config.estimate.zone or any(row.zone or row.region for row in config.provider)
        beside = config.alias or config.deployment or config.evidence or config.estimate.unknown == "widest"
        said = config.estimate.price_list or beside or placed
        return cls(config, at) if said else None

    @property
    def price_list(self) -> PriceList | None:
        """The price list of one's own."""
        return self._estimator.price_list

    @property
    def unknown(self) -> Unknown:
        """What a model nobody knows gets."""
        return self._estimator.unknown

    @cached_property
    def names(self) -> dict[str, str]:
        """The models that are known by the configuration alone, aliases and what it has a price for; by lower case."""
        priced = () if self.price_list is None else (term.model for term in self.price_list.prices)
        plain = (name for name in priced if not _PATTERN & set(name) and resolve(name) is None)
        return {name.lower(): name for name in (*plain, *(row.name for row in self._config.alias))}

    @cached_property
    def providers(self) -> tuple[str, ...]:
        """Every seller that can be chosen."""
        named = {row.name for row in self._config.provider}
        listed = (
            ()
            if self.price_list is None
            else (*(t.provider for t in self.price_list.prices), *self.price_list.priced_as)
        )
        own = {each for each in listed if not _PATTERN & set(each)}
        return tuple(sorted(named | own | price_lists() | known_operators() | LOCAL))

    def terms(self, model: str, provider: str | None) -> CallTerms:
        """Say what holds for calls of a model at a seller."""
        return self._estimator.terms(model, provider)

    def zone(self, provider: str | None) -> str | None:
        """Say where a seller's machines stand, where the configuration does."""
        return self.zones.get(provider or "", self._config.estimate.zone)

    @cached_property
    def zones(self) -> dict[str, str]:
        """The zones that are configured, by seller."""
        found = ((row.name, zone_of(row, None)) for row in self._config.provider)
        return {name: zone for name, zone in found if zone is not None}

    def machine(self, model: str, provider: str | None, stated: Deployment) -> Deployment:
        """Put what is stated over what is configured. Tensor parallelism is of the number of accelerators beside it."""
        configured = self.terms(model, provider).deployment
        if configured is None:
            return stated
        given = {name: value for name in MACHINE if (value := getattr(stated, name)) is not None and name != "kv_bytes"}
        if "n_gpus" in given:
            given["tensor_parallel"] = None
        return replace(configured, speculation=stated.speculation, **given)

    def price(self, name: str, card: ModelCard | None, provider: str | None) -> Price | None:
        """Give the price of a model at a seller, as the service takes it."""
        region = None if provider is None else self.terms(name, provider).region
        return price_of(name, card, Terms(provider, self.at, None, region, self.price_list))[0]

    def said(self, made: Estimate, model: str, provider: str | None, stated_zone: str | None, *, priced: bool) -> str:
        """Put into words what of the configuration a call is reckoned with; nothing where that is nothing."""
        terms = self.terms(model, provider)
        machine = {} if terms.deployment is None else stated_of(terms.deployment)
        zone = self.zone(provider) if stated_zone is None else None
        parts = [
            *([f"{model} is {terms.model}"] if terms.model != model else []),
            *([f"machine {', '.join(f'{name} {_plain(each)}' for name, each in machine.items())}"] if machine else []),
            *([f"joules of {made.evidence.source}"] if made.evidence is not None else []),
            *(["the widest prior there is"] if made.tier == "unknown" and made.joules is not None else []),
            *([f"zone {zone}"] if zone is not None else []),
            *([f"prices {self.price_list.name}"] if priced and self.price_list is not None else []),
        ]
        return f"Of your configuration: {'; '.join(parts)}." if parts else ""

    def document(self) -> dict[str, Any]:
        """Write all of it but the prices for the browser."""
        aliases: dict[str, dict[str, tuple[str, str | None]]] = {}
        for row in self._config.alias:
            target = self.terms(row.name, row.provider).model
            card = resolve(target, row.provider)
            known_as = (target, None if card is None else card.id)
            aliases.setdefault(row.name.lower(), {}).setdefault(row.provider or "", known_as)
        return {
            "aliases": aliases,
            "machines": [
                {"model": row.model.lower(), "provider": row.provider, "machine": stated_of(machine)}
                for row, machine in self._estimator.machines
            ],
            "evidence": [_evidence(each) for each in self._estimator.evidence],
            "unknown": self.unknown,
            "zones": self.zones,
            "zone": self._config.estimate.zone,
            "priced_as": {} if self.price_list is None else dict(self.price_list.priced_as),
            "price_list": None if self.price_list is None else self.price_list.name,
        }

    def priced(self) -> Iterator[tuple[str, ModelCard | None]]:
        """Give what has prices beside the shipped models: what aliases stand for, and names of the price list."""
        for row in self._config.alias:
            target = self.terms(row.name, row.provider).model
            yield target, resolve(target, row.provider)
        for name in self.names.values():
            yield name, resolve(name)


def _evidence(stated: Stated) -> dict[str, Any]:
    row = stated.row
    return {
        "model": row.model.lower(),
        "provider": row.provider,
        "kind": row.kind,
        "scope": row.scope,
        "source": row.source,
        "rates": stated.rates,
        "band": stated.band,
        "per_call": stated.per_call,
    }


def stated_of(machine: Deployment) -> dict[str, Any]:
    """Give what a machine states, by the names that the calculator and the browser have for it."""
    found = {name: value for name in MACHINE if (value := getattr(machine, name)) is not None}
    if machine.gpu is not None:
        found["gpu"] = find_gpu(machine.gpu).name
    if machine.precision is not None:
        found["precision"] = find_precision(machine.precision).name
    if machine.kv_bytes == Deployment().kv_bytes:
        del found["kv_bytes"]
    return found


def _plain(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
