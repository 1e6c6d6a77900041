"""Calls as older facts had them, to be estimated anew, and what is stored of them."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa

from estimator import facts_version
from estimator.usage import Usage, UsageLine
from proxy.config import load
from proxy.estimating import ConfiguredEstimator
from proxy.ledger.recomputing import Generation, Recomputing, Stretch, look
from proxy.ledger.rollup_tables import (
    calls_by_day,
    calls_by_four_hours,
    calls_by_hour,
    calls_by_local_day,
    calls_by_quarter,
    details_by_day,
    details_by_local_day,
    local_days,
    quarter_of,
)
from proxy.ledger.row import Composed, composed
from proxy.ledger.sources import DIMENSIONS
from proxy.ledger.tables import (
    CallRow,
    LineRow,
    call_columns,
    calls,
    estimate_generations,
    facts_versions,
    former_estimates,
    rows_of,
    usage_lines,
)
from proxy.ledger.write import Beside, Ledger
from proxy.recomputation import restating_by, settings
from proxy.sections import Config
from tests.ledger.test_rollups import same
from tests.records import AT_US, closed, opened

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
START = datetime(2026, 11, 17, tzinfo=UTC)
END = datetime(2026, 11, 22, tzinfo=UTC)
KEPT_FROM = datetime(2026, 11, 18, 18, 15, tzinfo=UTC)  # midnight in Kathmandu
SUMS = (
    *(calls_by_quarter, calls_by_hour, calls_by_four_hours, calls_by_day, details_by_day),
    *(calls_by_local_day, details_by_local_day),
)
MODELS = ("gpt-4o", "claude-sonnet-4-5", "llama-3.1-8b-instant", "no-such-model", "o3")
PROVIDERS = {"gpt-4o": "openai", "o3": "openai", "claude-sonnet-4-5": "anthropic", "llama-3.1-8b-instant": "groq"}


def configured(tmp_path, text: str = "") -> Config:
    path = tmp_path / "joulegate.toml"
    path.write_text(text)
    return load(path).config


def stretch_of(config: Config, start: datetime = START, end: datetime = END) -> Stretch:
    return Stretch(start=start, end=end, facts_version=facts_version(), settings=settings(config))


def some_calls(config: Config, number: int, seed: int = 1) -> list[Composed]:
    """Calls of all kinds over three days, as the recorder composes them under a configuration."""
    draw = random.Random(seed)
    estimate = ConfiguredEstimator(config)
    zones = {row.name: row.zone for row in config.provider}
    made = []
    for _ in range(number):
        model = draw.choice(MODELS)
        provider = PROVIDERS.get(model, "openai")
        begun = opened(
            started_at_us=AT_US + draw.randrange(3 * 86_400 * 10**6),
            team=draw.choice(("search", "ads", None)),
            provider=provider,
            model_requested=model,
            zone=zones[provider],
        )
        tokens = draw.randrange(1, 5000)
        usage = Usage(input_tokens=tokens, cached_input_tokens=tokens // 3, output_tokens=draw.randrange(2000))
        lines = (UsageLine(kind="compaction", usage=Usage(input_tokens=900, output_tokens=30)),)
        kinds = (
            {},
            {},
            {"usage": None, "usage_source": "absent", "reason": "usage.not_reported"},
            {"usage": Usage(input_tokens=10)},
            {"usage": Usage(units={"searches": 2.0}), "usage_source": "counted"},
            {"lines": lines},
            {"lines": lines, "usage": None, "usage_source": "absent"},
            {"calls": 700, "usage": Usage(input_tokens=70_001, output_tokens=7_003), "service_tier": "batch"},
            {"region": "us"},
            {"outcome": "aborted", "model": None, "usage_source": "counted"},
        )
        end = closed(begun, **{"model": model, "usage": usage} | draw.choice(kinds))
        made.append(composed(end, estimate, estimate.known))
    return made


def of_old(made: Composed) -> Composed:
    """The same call as older facts had it: other figures, other prices, here and there none."""
    draw = random.Random(made.row.id)
    changes = {"facts_version": "old", "price_id": "old"}
    row = made.row
    if row.usage_source == "absent" and not made.lines:
        return made
    if row.cost_usd is not None:
        changes["cost_usd"] = draw.choice((None, row.cost_usd * 3, row.cost_usd + Decimal("0.000000000001")))
    else:
        changes["cost_usd"] = draw.choice((None, Decimal("0.25"), Decimal(0)))
    if row.joules is not None and draw.random() < 0.5:
        changes |= {name: getattr(row, name) * 1.7 for name in ("joules", "joules_low", "joules_high", "flops")}
        changes["liters"] = None
    elif row.joules is None:
        changes |= {"joules": 3.0, "joules_low": 1.0, "joules_high": 9.0, "estimate_key": "old@old", "zone": "FRA"}
    lines = tuple(msgspec.structs.replace(line, cost_usd=Decimal(7), price_id="old") for line in made.lines)
    return Composed(msgspec.structs.replace(row, **changes), lines, False)


def put(engine: sa.Engine, made: list[Composed]) -> None:
    """Record calls, in a ledger that keeps the days of Kathmandu from the second of theirs on."""
    with engine.begin() as connection:
        connection.execute(sa.delete(local_days))
        connection.execute(sa.insert(local_days).values(quarter=quarter_of(KEPT_FROM), tz="Asia/Kathmandu"))
    beside = {each.row.id: Beside(lines=each.lines) for each in made if each.lines}
    committed = Ledger(engine).commit([each.row for each in made], journal="j", positions={}, at=NOW, beside=beside)
    assert len(committed.new) == len(made)


def run(engine: sa.Engine, config: Config, *, stop_after: int | None = None, at_once: int = 50) -> Generation:
    """Recompute; ``stop_after`` so many steps it is broken off."""
    stretch = stretch_of(config)
    recomputing = Recomputing(engine, stretch)
    generation = recomputing.begin(NOW)
    steps = look(engine, stretch, restating_by(config), generation.done_to, at_once=at_once)
    for number, looked in enumerate(steps):
        if number == stop_after:
            return generation
        generation = recomputing.write(generation, looked, NOW)
    recomputing.end(generation, NOW)
    return generation


def stored(engine: sa.Engine) -> list[CallRow]:
    with engine.connect() as connection:
        return rows_of(connection.execute(sa.select(*call_columns).order_by(calls.c.id)))


def lines_stored(engine: sa.Engine) -> list[LineRow]:
    with engine.connect() as connection:
        found = connection.execute(sa.select(usage_lines).order_by(usage_lines.c.call_id)).mappings()
        return [LineRow(**each) for each in found]


def everything(engine: sa.Engine) -> list[object]:
    tables = (calls, usage_lines, former_estimates, estimate_generations, facts_versions)
    with engine.connect() as connection:
        return [sorted(map(repr, connection.execute(sa.select(table)))) for table in (*tables, *SUMS)]


def sums_are_those_of_the_rows(engine: sa.Engine) -> None:
    for by in ((), ("team", "model"), ("day",), ("day", "user"), ("hour", "model"), tuple(DIMENSIONS)):
        same(engine, by, START, END, ZoneInfo("Asia/Kathmandu"))
    with engine.connect() as connection:
        for table in SUMS:
            assert connection.scalar(sa.select(sa.func.min(table.c.calls))) > 0


def by_id(made: list[Composed]) -> list[CallRow]:
    return sorted((each.row for each in made), key=lambda row: row.id)
