"""docs/reference/facts.md says what the data says: every row it should have, and none besides."""

from collections import Counter
from pathlib import Path

import pytest

from estimator import resolve, sources
from estimator.deployments import find_gpu
from estimator.equivalences import equivalences
from estimator.facts import read_toml
from estimator.models import known_models
from estimator.overheads import known_operators, overheads
from estimator.training import trainings

PAGE = Path(__file__).parents[2].joinpath("docs/reference/facts.md").read_text(encoding="utf-8")


def cells(*values):
    return f"| {' | '.join(str(value) for value in values)} |"


def of_sources():
    for source in sources().values():
        name = f"[{source.name}]({source.url})" if source.url else source.name
        yield cells(f"`{source.id}`", name, source.licence or "–", source.checked)


def of_models():
    cards = [card for card in map(resolve, known_models()) if card is not None]
    counts = Counter((card.maker, card.weights, kind(card)) for card in cards)
    for maker in sorted({card.maker for card in cards}):
        yield cells(
            maker,
            *(counts[maker, weights, what] for weights, what in COLUMNS),
        )


COLUMNS = (("open", "shape"), ("open", "size"), ("closed", "size"), ("closed", "none"))


def kind(card):
    if card.total_params is None:
        return "none"
    return "shape" if card.architecture is not None and card.weights == "open" else "size"


def of_hardware():
    for name, row in read_toml("hardware.toml").items():
        gpu = find_gpu(name)
        yield cells(
            name,
            f"{gpu.bf16_flops / 1e12:g}",
            "–" if gpu.fp8_flops is None else f"{gpu.fp8_flops / 1e12:g}",
            f"{gpu.bandwidth / 1e12:g}",
            f"{gpu.memory / 1e9:g}",
            f"{gpu.tdp_w:g}" + (" (assumed)" if row.get("tdp_assumed") else ""),
            f"{gpu.embodied_kg:g}" + ("" if "embodied_source" in row else " (assumed)"),
        )


def of_operators():
    for name in sorted(known_operators()):
        found = overheads(name)
        market = "–" if found.market_grams_per_kwh is None else f"{found.market_grams_per_kwh:g}"
        pue, water = found.pue, found.site_liters_per_kwh
        yield cells(
            name,
            found.operator,
            f"{pue.mid:g} ({pue.low:g}–{pue.high:g})",
            f"{water.mid:g} ({water.low:g}–{water.high:g})",
            found.zone,
            market,
        )


def of_comparisons():
    for like in equivalences():
        unit, amount = ("Wh", like.joules_or_grams / 3600) if like.of == "energy" else ("g CO2e", like.joules_or_grams)
        yield cells(like.name, f"{amount:g} {unit}", like.year, f"`{like.source}`", like.page)


def of_trainings():
    for training in trainings():
        tonnes = "–" if training.tonnes_co2e is None else f"{training.tonnes_co2e:g}"
        hours = "–" if training.gpu_hours is None else f"{training.gpu_hours / 1e6:g} million"
        yield cells(", ".join(training.models), tonnes, hours, training.boundary, training.year, f"`{training.source}`")


TABLES = {
    "Sources": of_sources,
    "Models": of_models,
    "Hardware": of_hardware,
    "Operators": of_operators,
    "Comparisons": of_comparisons,
    "Training": of_trainings,
}


@pytest.mark.parametrize("title", TABLES)
def test_a_table_has_the_rows_of_the_data(title):
    section = PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    table = [line for line in section.splitlines() if line.startswith("| ")]
    assert table[2:] == list(TABLES[title]())
