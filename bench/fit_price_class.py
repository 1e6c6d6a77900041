"""Draw the lines of ``estimator/data/price_class.toml``; run ``python -m bench.fit_price_class [--cross]``.

Least squares of the logarithm of parameters, total and active, on that of the list price of a million tokens out at
the model's own maker; every maker weighs alike, however many models it sells. Each maker is left out in turn: the
factor around the line holds nine of ten models of the makers left out. A model with several names and one price
counts once; names that move on to other models (``-latest``) and models that draw or speak do not count.
``--cross`` prints how each maker's models fare while it is left out, in parameters and in joules.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time

from estimator import ModelCard, Usage, estimate, known_models, resolve
from estimator.price import Price, find_price, own_shop
from estimator.price_class import fitted

SIZES = ("total", "active")
QUANTILE = 0.90
CONVERSATION = Usage(input_tokens=2_000, output_tokens=1_000)
_LATER = {"qwen"}  # makers whose prices came after the shipped lines were drawn: the next ones learn from them
_OTHER = ("latest", "image", "tts", "transcribe", "voxtral")  # no chat model of one size at one price


@dataclass(frozen=True, slots=True)
class Sized:
    """A model with a known or published size and a price at its maker."""

    card: ModelCard
    usd_out: float
    total_b: float
    active_b: float

    def log(self, which: str) -> float:
        """Return ln of its parameters in billions."""
        return math.log(self.total_b if which == "total" else self.active_b)


@dataclass(frozen=True, slots=True)
class Line:
    """Billions of parameters at a dollar, and how they rise with the price."""

    at_one_dollar_b: float
    power: float

    def at(self, usd_out: float) -> float:
        """Return the billions of parameters at a price."""
        return float(self.at_one_dollar_b * usd_out**self.power)


def sized() -> list[Sized]:
    """Return the models to learn from, by name."""
    found: dict[tuple[object, ...], Sized] = {}
    for name in sorted(known_models()):
        card = resolve(name)
        if card is None or card.list_price is not None or card.maker in _LATER or any(w in name for w in _OTHER):
            continue
        price = _price(card)
        if price is None or card.total_params is None or card.active_params is None:
            continue
        usd = float(price.rate("output", 0) or 0) * 1e6
        total, active = (math.sqrt(low * high) / 1e9 for low, high in (card.total_params, card.active_params))
        if usd > 0:
            found.setdefault((card.maker, card.weights, total, active, f"{usd:.6g}"), Sized(card, usd, total, active))
    return list(found.values())


def _price(card: ModelCard) -> Price | None:
    shop, noon = own_shop(card.maker), datetime.combine(fitted()["day"], time(12), tzinfo=UTC)
    prices = (find_price(name, shop, at=noon) for name in (card.id, *card.aliases))
    return next((price for price in prices if price is not None), None)


def fit(models: list[Sized], which: str) -> Line:
    """Return the line of least squares, every maker of the same weight."""
    counts = Counter(model.card.maker for model in models)
    weights = [1 / counts[model.card.maker] for model in models]
    xs, ys = [math.log(model.usd_out) for model in models], [model.log(which) for model in models]
    total = sum(weights)
    mx, my = (sum(w * v for w, v in zip(weights, values, strict=True)) / total for values in (xs, ys))
    slope = sum(w * (x - mx) * (y - my) for w, x, y in zip(weights, xs, ys, strict=True)) / sum(
        w * (x - mx) ** 2 for w, x in zip(weights, xs, strict=True)
    )
    return Line(math.exp(my - slope * mx), slope)


def left_out(models: list[Sized], which: str, of: Callable[[Sized], str] = lambda m: m.card.maker) -> dict[str, float]:
    """Return ln(known / judged) of every model, judged by the line through what is of another ``of``."""
    errors = {}
    for group in {of(model) for model in models}:
        line = fit([model for model in models if of(model) != group], which)
        errors |= {
            model.card.id: model.log(which) - math.log(line.at(model.usd_out)) for model in models if of(model) == group
        }
    return errors


def factor(errors: Iterable[float]) -> float:
    """Return the factor that holds 90 % of the errors."""
    size = sorted(abs(error) for error in errors)
    return math.exp(size[math.ceil(QUANTILE * len(size)) - 1])


def judged(models: list[Sized], model: Sized) -> ModelCard:
    """Return the card that ``model`` would have if only the others' sizes and its price were known."""
    spans = []
    for which in SIZES:
        errors = left_out(models, which)
        middle, around = fit(models, which).at(model.usd_out) * 1e9, factor(errors.values())
        spans.append((middle / around, middle * around))
    return ModelCard(
        id=f"{model.card.id} by its price",
        maker=model.card.maker,
        kind="moe",
        weights="closed",
        total_params=spans[0],
        active_params=spans[1],
        source="price-class",
    )


def joules_left_out(models: list[Sized]) -> Iterator[tuple[Sized, float, bool]]:
    """Yield each model with ln(judged / known joules), its maker left out, and whether its own lie in the band."""
    for model in models:
        own = estimate(CONVERSATION, model.card).joules
        made = estimate(CONVERSATION, judged([m for m in models if m.card.maker != model.card.maker], model)).joules
        if own is not None and made is not None:
            yield model, math.log(made.mid / own.mid), own.mid in made


def main() -> None:
    """Print the lines as the data file holds them, or with ``--cross`` the errors left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cross", action="store_true", help="leave each maker out, and print how its models fare")
    models = sized()
    if parser.parse_args().cross:
        _cross(models)
        return
    prices = [model.usd_out for model in models]
    print(f"day = {fitted()['day']}\nmodels = {len(models)}\nusd_out = [{min(prices):.3g}, {max(prices):.3g}]")
    for which in SIZES:
        line, known = fit(models, which), [math.exp(model.log(which)) for model in models]
        around = factor(left_out(models, which).values())
        print(
            f"\n[{which}]\nat_one_dollar_b = {line.at_one_dollar_b:.3g}\npower = {line.power:.3f}\n"
            f"factor = {around:.3g}\nknown_b = [{min(known):.3g}, {max(known):.3g}]"
        )


def _cross(models: list[Sized]) -> None:
    inside = {which: left_out(models, which) for which in SIZES}
    joules = {model.card.id: (error, held) for model, error, held in joules_left_out(models)}
    groups = {
        "all": models,
        **{weights: [m for m in models if m.card.weights == weights] for weights in ("open", "closed")},
        **{maker: [m for m in models if m.card.maker == maker] for maker in sorted({m.card.maker for m in models})},
    }
    print(f"{'left out':12} {'n':>4}  active in range  total in range  joules in band  joules judged/known")
    for name, group in groups.items():
        held = [
            sum(abs(inside[which][m.card.id]) <= math.log(fitted()[which]["factor"]) for m in group) / len(group)
            for which in ("active", "total")
        ]
        energy = [joules[m.card.id] for m in group]
        inband, bias = (sum(ok for _, ok in energy) / len(group), math.exp(sum(e for e, _ in energy) / len(group)))
        print(f"{name:12} {len(group):4}  {held[0]:15.0%}  {held[1]:14.0%}  {inband:14.0%}  {bias:19.2f}")


if __name__ == "__main__":
    main()
