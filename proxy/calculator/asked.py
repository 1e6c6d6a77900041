"""What somebody asks the calculator: a model, tokens, and what is known of its machines; read from an address."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from estimator import Deployment, Estimate, Intensity, Speculation, Usage, estimate, resolve
from estimator.deployments import find_gpu, find_precision
from estimator.errors import EstimatorError
from estimator.grid import grid
from estimator.intensity import Boundary
from proxy.errors import JoulegateError

if TYPE_CHECKING:
    from proxy.calculator.own import Own

MOST_TOKENS: Final = 10_000_000  # of a call: ten times the longest context there is
MOST_CALLS: Final = 10**12  # a day
MOST_GPUS: Final = 1_024
MOST_BATCH: Final = 65_536
MOST_PUE: Final = 5.0
MOST_DRAFT: Final = 16
MOST_GRAMS: Final = 3_000.0  # of a kWh, beyond what any fuel emits
ACCEPTANCE: Final = 0.7  # chance that a drafted token is kept
DRAFT_COST: Final = 0.1  # of a drafted token, against a plain step
_WHENEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)  # who states a grid's grams does not say of which time
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{1,256}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedGrid(Intensity):
    """What a kWh emits by who asks: of an hour that they know, or of electricity of their own."""

    zone: str = ""
    boundary: Boundary = "life_cycle"
    start: datetime = _WHENEVER
    end: datetime = _WHENEVER
    source: str = "stated"

    @property
    def sentence(self) -> str:
        """What an estimate says of it among its assumptions."""
        return f"grid at {self.grams_per_kwh:g} g/kWh, as stated"


class AskedError(JoulegateError):
    """The address asks for what cannot be; the message says which part and what would be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call and how often a day; ``None`` is not stated, and the estimator assumes what it states."""

    model: str = "gpt-4o"  # a card's id, or a name without a card
    provider: str | None = None
    input: int = 2_000
    cached: int = 0
    output: int = 1_000
    calls: int = 1_000_000  # a day
    gpu: str | None = None
    n_gpus: int | None = None
    precision: str | None = None
    batch: float | None = None
    draft: int | None = None  # tokens that a smaller model proposes for each step
    pue: float | None = None
    zone: str | None = None
    grams: float | None = None  # of CO2e for a kWh, in the place of the zone's year

    @property
    def of_another_machine(self) -> bool:
        """Whether it states a machine, so that joules which somebody measured on theirs say nothing of it."""
        stated = (self.gpu, self.n_gpus, self.precision, self.batch, self.draft)
        return any(each is not None for each in stated)

    def estimate(self, own: Own | None = None, *, modelled: bool = False) -> Estimate:
        """Estimate the call as ``joulegate estimate`` would; with a configuration, as the service does.

        ``modelled``: without the joules that the configuration states.
        """
        known = Deployment(
            gpu=self.gpu,
            n_gpus=self.n_gpus,
            precision=self.precision,
            batch=self.batch,
            speculation=None if self.draft is None else drafting(self.draft),
            pue=self.pue,
        )
        usage = Usage(input_tokens=self.input, cached_input_tokens=self.cached, output_tokens=self.output)
        intensity = None if self.grams is None else StatedGrid(grams_per_kwh=self.grams)
        if own is None:
            return estimate(
                usage, self.model, provider=self.provider, deployment=known, zone=self.zone, intensity=intensity
            )
        terms = own.terms(self.model, self.provider)
        stated = None if modelled or self.of_another_machine else terms.evidence
        return estimate(
            usage,
            terms.model,
            provider=self.provider,
            deployment=own.machine(self.model, self.provider, known),
            zone=self.zone or own.zone(self.provider),
            at=own.at,
            region=terms.region,
            price_list=own.price_list,
            intensity=intensity,
            evidence=None if stated is None else stated.of(usage),
            unknown=own.unknown,
        )

    def query(self) -> str:
        """Write the address's query: what is not stated is left out."""
        given = {name: getattr(self, name) for name in _READ}
        return urlencode({name: _plain(value) for name, value in given.items() if value is not None})


def drafting(tokens: int) -> Speculation:
    """Return speculative decoding as ``joulegate estimate`` takes it where nothing else is said."""
    return Speculation(draft_tokens=tokens, acceptance=ACCEPTANCE, draft_cost=DRAFT_COST)


def asked_of(query: Mapping[str, str], own: Own | None = None) -> Asked:
    """Read a query; what it leaves out (or empty) is as by default, what is no name of ours is passed over.

    A name of the configuration stays as it is, though it may be a name of another model too.

    Raises:
        AskedError: a value cannot be read, or cannot be.

    """
    read: dict[str, Any] = {}
    for name, parse in _READ.items():
        text = query.get(name, "").strip()
        if text:
            read[name] = parse(name, text)
            if name == "model" and own is not None:
                read[name] = own.names.get(text.lower(), read[name])
    asked = Asked(**read)
    if asked.cached > asked.input:
        raise AskedError(f"cached={asked.cached} is more than input={asked.input}: cached tokens are part of the input")
    return asked


def _plain(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _whole(least: int, most: int) -> Callable[[str, str], int]:
    def parse(name: str, text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text[:20]) <= most):
            raise AskedError(f"{name}={text!r}: give a whole number from {least} to {most}")
        return int(text)

    return parse


def _number(least: float, most: float) -> Callable[[str, str], float]:
    def parse(name: str, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise AskedError(f"{name}={text!r}: give a number from {least:g} to {most:g}")
        return value

    return parse


def _text(name: str, text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise AskedError(f"{name}: give a name of up to 256 characters")
    return text


def _model(name: str, text: str) -> str:
    card = resolve(_text(name, text))
    return text if card is None else card.id


def _provider(name: str, text: str) -> str:
    return _text(name, text).lower()


def _existing(find: Callable[[str], str]) -> Callable[[str, str], str]:
    def parse(name: str, text: str) -> str:
        try:
            return find(_text(name, text))
        except EstimatorError as error:
            raise AskedError(f"{name}={text!r}: {error}") from error

    return parse


_READ: Final[dict[str, Callable[[str, str], object]]] = {
    "model": _model,
    "provider": _provider,
    "input": _whole(0, MOST_TOKENS),
    "cached": _whole(0, MOST_TOKENS),
    "output": _whole(0, MOST_TOKENS),
    "calls": _whole(0, MOST_CALLS),
    "gpu": _existing(lambda text: find_gpu(text).name),
    "n_gpus": _whole(1, MOST_GPUS),
    "precision": _existing(lambda text: find_precision(text).name),
    "batch": _number(1, MOST_BATCH),
    "draft": _whole(1, MOST_DRAFT),
    "pue": _number(1, MOST_PUE),
    "zone": _existing(lambda text: grid(text).zone),
    "grams": _number(0, MOST_GRAMS),
}
