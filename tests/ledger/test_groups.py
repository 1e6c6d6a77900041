from __future__ import annotations

import math
import random
from decimal import Decimal

import pytest

from estimator.uncertainty import Group, Total
from proxy.ledger.groups import Answer, Totals
from proxy.ledger.rollup_tables import DEVIATING, FIGURES

NAMES = ("day", "team", "model")


def drawn(draw: random.Random, *, alike: int) -> list[list[object]]:
    """Draw rows as a database answers them: a few days, teams and models, and what errs alike, unknown ones too."""

    def figure(name: str) -> object:
        if name == "calls" or name.endswith("calls"):
            return draw.randrange(9)
        if not draw.randrange(5):
            return None
        if name.endswith("_tokens"):
            return draw.randrange(10**6)
        return Decimal(draw.randrange(10**9)).scaleb(-12) if name == "cost_usd" else draw.random() * 10**9

    def row() -> list[object]:
        sums = {name: figure(name) for name in FIGURES}
        for name in ("joules", "grams_co2e"):
            for part in DEVIATING:  # known where the figure is; squares may fall below zero by a rounding
                value = draw.uniform(-1e-9 if part.startswith("own") else 0.0, 10.0**8)
                sums[f"{name}_{part}"] = None if sums[name] is None else value
        errs = draw.choice([None, *(f"model-{number}@house" for number in range(alike))])
        return [draw.randrange(3), draw.choice(["ads", None]), draw.choice(["o3", "o4", None]), errs, *sums.values()]

    return [row() for _ in range(draw.randrange(60))]


def one_by_one(rows: list[list[object]], by: tuple[str, ...]) -> dict[tuple[str | None, ...], dict[str, object]]:
    """Put the same rows together figure by figure, as one would by hand."""

    def summed(values: list[object]) -> object:
        known = [each for each in values if each is not None]
        return None if not known else math.fsum(known) if isinstance(known[0], float) else sum(known)

    found: dict[tuple[str | None, ...], dict[str, list[list[object]]]] = {}
    for day, team, model, errs, *sums in rows:
        of = {"day": f"day {day}", "team": team, "model": model}
        found.setdefault(tuple(of[name] for name in by), {}).setdefault(errs or "", []).append(sums)
    made = {}
    for key, by_alike in found.items():
        alike = {
            errs: dict(zip(FIGURES, map(summed, zip(*several, strict=True)), strict=True))
            for errs, several in by_alike.items()
        }
        figures = {name: summed([sums[name] for sums in alike.values()]) for name in FIGURES}
        for name in ("joules", "grams_co2e"):
            groups = {
                errs: Group(sums[name], *(max(0.0, sums[f"{name}_{part}"]) for part in DEVIATING))
                for errs, sums in alike.items()
                if sums[name] is not None
            }
            if groups:
                band = Total(groups).range
                figures |= {f"{name}_low": band.low, f"{name}_high": band.high}
        figures["joules_by_estimate_key"] = {
            errs: sums["joules"] for errs, sums in alike.items() if sums["joules"] is not None
        }
        made[key] = {name: figures[name] for name in figures.keys() & set(Totals.__struct_fields__)}
    return made


@pytest.mark.parametrize("alike", [0, 1, 4])
@pytest.mark.parametrize("by", [(), ("day",), ("team", "day"), NAMES])
def test_sums_are_those_that_adding_up_one_by_one_gives_to_the_last_digit(by, alike):
    draw = random.Random(f"{by} {alike}")
    for _ in range(40):
        rows = drawn(draw, alike=alike)
        answer = Answer(NAMES, FIGURES)
        for part in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):  # as several questions are answered
            answer.add(part, lambda name, value: f"{name} {value}")
        expected = one_by_one(rows, by)
        groups = answer.groups(by, banded=True)
        if not rows:
            assert groups == ([] if by else [Totals()])
            continue
        assert {group.key: group for group in groups} == {
            key: Totals(key=key, **figures) for key, figures in expected.items()
        }
        bandless = answer.groups(by, banded=False)
        assert [(each.key, each.joules, each.joules_low) for each in bandless] == [
            (each.key, each.joules, None) for each in groups
        ]
