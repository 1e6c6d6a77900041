"""Calls at random, over all that the calculator lets one ask."""

from __future__ import annotations

import random
from dataclasses import replace

from estimator import known_zones
from estimator.deployments import PRECISIONS, known_gpus
from proxy.calculator.asked import Asked
from proxy.calculator.own import Own
from proxy.calculator.tables import cards, providers


def calls_at_random(count: int, seed: int = 20261128, own: Own | None = None) -> list[Asked]:
    """Log-uniform token counts, every model, and each thing stated in about half of them.

    With a configuration every second call is of a model that it names, half of the sellers are those it names, and half
    of the calls state nothing of a machine, which leaves them to what is configured.
    """
    chance = random.Random(seed)
    models, sellers = list(cards()), [*providers(), "ollama", "house"]
    if own is not None:
        names = list(own.names.values())
        models = [each for number, card in enumerate(models) for each in (card, names[number % len(names)])]
        named = ("house", "gateway", "openai", "anthropic", "vllm")
        sellers = [*own.providers, *(named * (len(own.providers) // len(named)))]
    gpus, zones = [gpu.name for gpu in known_gpus()], sorted(known_zones())

    def maybe(value):
        return value if chance.random() < 0.5 else None

    def tokens(most: float) -> int:
        return 0 if chance.random() < 0.05 else int(10 ** chance.uniform(0, most))

    found = []
    for number in range(count):
        n_in = tokens(6)
        found.append(
            Asked(
                # Every card is met at least twice in a thousand.
                model=models[number % len(models)] if number % 50 else "nobody-knows",
                provider=maybe(chance.choice(sellers)),
                input=n_in,
                cached=maybe(chance.randint(0, n_in)) or 0,
                output=tokens(5),
                calls=tokens(9),
                gpu=maybe(chance.choice(gpus)),
                n_gpus=maybe(chance.choice((1, 2, 3, 4, 8, 16, 72))),
                precision=maybe(chance.choice(list(PRECISIONS))),
                batch=maybe(round(10 ** chance.uniform(0, 3.5), 2)),
                draft=maybe(chance.randint(1, 8)) if number % 3 == 0 else None,
                pue=maybe(round(chance.uniform(1, 2), 2)),
                zone=maybe(chance.choice(zones)),
                grams=maybe(round(chance.choice((0.0, 10 ** chance.uniform(0, 3.4))), 1)),
            )
        )
        if own is not None and chance.random() < 0.5:
            found[-1] = replace(found[-1], gpu=None, n_gpus=None, precision=None, batch=None, draft=None)
    return found
