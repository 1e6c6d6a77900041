"""What a conversation costs, model by model: compared, on several grids, and at scale.

A conversation is the mean call of a model in the ledger, or one of so many tokens as somebody assumes. These are the
tables of the audit page that the product grew out of, over one's own traffic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from estimator import Estimate, Usage
from estimator.carbon import operational_grams
from estimator.equivalences import count, equivalences
from estimator.errors import EstimatorError
from estimator.fits import constants
from estimator.grid import GridIntensity
from estimator.ranges import Range
from estimator.uncertainty import Total
from estimator.units import JOULES_PER_WH
from proxy.ledger.read import Totals
from proxy.reports import figures, notes
from proxy.reports.evidence import weakest
from proxy.reports.metering import metering_of
from proxy.reports.period import QuestionError
from proxy.reports.split import Split
from proxy.reports.table import Cell, Column, Report, bands_of

BY = ("model", "provider")
GRIDS = ("WOR", "GBR", "FRA")  # about what the audit page calls global, hyperscaler and green: 458, 217, 41 g/kWh
DAYS_A_YEAR = 365
_MANY = 1_000_000
_ASSUMED = re.compile(r"(?:(?P<model>.+)=)?(?P<read>\d{1,9})(?:/(?P<cached>\d{1,9}))?\+(?P<written>\d{1,9})")
_DAY = timedelta(days=1)
_CALLS = Column(key="calls", title="calls", kind="count", summed=False)
_TOKENS = (
    Column(key="input_tokens", title="input", kind="count", unit="tokens", summed=False),
    Column(key="cached_input_tokens", title="of it cached", kind="count", unit="tokens", summed=False),
    Column(key="output_tokens", title="output", kind="count", unit="tokens", summed=False),
)

Estimating = Callable[[Usage, str, str | None], Estimate]  # of a model at a provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """So many that a conversation is assumed to have; ``cached`` are part of ``read``."""

    read: int
    cached: int
    written: int

    def __str__(self) -> str:
        cached = f" ({self.cached:,} of them cached)" if self.cached else ""
        return f"{self.read:,} tokens read{cached} and {self.written:,} written"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """A conversation of so many tokens; of ``model``, or of each that the ledger has."""

    model: str | None
    tokens: Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What one takes; None is unknown. ``joules_of_many``: of one among many, where what errs by call evens out."""

    model: str | None
    provider: str | None
    calls: int | None  # that it is the mean of; None: it is assumed
    input_tokens: float | None
    cached_input_tokens: float | None
    output_tokens: float | None
    flops: float | None
    joules: Range | None
    joules_of_many: Range | None
    shares: Mapping[str, float]  # of the joules, by tier of evidence
    cost_usd: Decimal | None
    liters_per_joule: float | None
    why: str | None = None  # its energy is unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the conversations come from: ``split`` None, nothing but assumptions."""

    split: Split | None
    given: Sequence[Assumed]
    now: datetime
    service: str | None = None

    @property
    def days(self) -> float:
        """So many days of the period are over."""
        if self.split is None:
            return 0.0
        period = self.split.period
        return max(0.0, (min(period.end, self.now) - period.start) / _DAY)


def assumed(text: str) -> Assumed:
    """Read ``gpt-4o=2000/500+1000``: 2,000 tokens read, 500 of them cached, 1,000 written. Raises QuestionError."""
    found = _ASSUMED.fullmatch(text)
    if found is None:
        raise QuestionError(
            f"cannot assume {text!r}: write MODEL=READ+WRITTEN in tokens, such as gpt-4o=2000+1000, or with those of"
            " READ that come from a cache gpt-4o=2000/500+1000; without MODEL= it holds for the models of the ledger"
        )
    read, cached, written = (int(found[name] or 0) for name in ("read", "cached", "written"))
    if cached > read:
        raise QuestionError(f"of {read:,} tokens read {cached:,} cannot be cached: {text!r}")
    return Assumed(model=found["model"], tokens=Tokens(read=read, cached=cached, written=written))


def conversations(split: Split | None, given: Sequence[Assumed], estimate: Estimating) -> list[Conversation]:
    """Give those of the ledger's models, and those assumed; ``split`` is by :data:`BY`, None where none is needed."""
    of_all = [each.tokens for each in given if each.model is None]
    if len(of_all) > 1:
        raise QuestionError("models of the ledger have one conversation: give one --assume without a model")
    tiers = None if split is None else split.tiers
    groups = [] if split is None else [group for group in split.groups if group.calls]
    own = (
        [_assumed(group.key[0] or "no model named", group.key[1], of_all[0], estimate, group.calls) for group in groups]
        if of_all
        else [_mean(group, tiers.shares(group) if tiers is not None else {}) for group in groups]
    )
    named = [(each.model, each.tokens) for each in given if each.model is not None]
    made = [*own, *(_assumed(model, None, tokens, estimate, None) for model, tokens in named)]
    return sorted(
        made, key=lambda each: (-(each.joules.mid if each.joules else 0.0), each.model or "", each.provider or "")
    )


def _mean(group: Totals, shares: Mapping[str, float]) -> Conversation:
    """Take the mean of the ledger's calls; those without a figure are in neither side of its fraction.

    ``shares`` of their joules are by tier of evidence.
    """
    metered = group.reported_calls + group.counted_calls + group.inferred_calls
    estimated, priced = metered - group.energy_unknown_calls, metered - group.unpriced_calls
    low, mid, high = group.joules_low, group.joules, group.joules_high
    joules = (
        None if None in (low, mid, high) or not estimated else Range(low or 0.0, mid or 0.0, high or 0.0) / estimated
    )
    return Conversation(
        model=group.key[0],
        provider=group.key[1],
        calls=group.calls,
        input_tokens=_over(group.input_tokens, metered),
        cached_input_tokens=_over(group.cached_input_tokens, metered),
        output_tokens=_over(group.output_tokens, metered),
        flops=_over(group.flops, estimated),
        joules=joules,
        joules_of_many=joules,
        shares=shares,
        cost_usd=None if group.cost_usd is None or not priced else group.cost_usd / priced,
        liters_per_joule=None if not group.liters or not group.joules else group.liters / group.joules,
    )


def _over(whole: float | None, parts: float) -> float | None:
    return None if whole is None or not parts else whole / parts


def _assumed(model: str, provider: str | None, tokens: Tokens, estimate: Estimating, calls: int | None) -> Conversation:
    usage = Usage(input_tokens=tokens.read, cached_input_tokens=tokens.cached or None, output_tokens=tokens.written)
    try:
        made = estimate(usage, model, provider)
    except EstimatorError as error:
        raise QuestionError(f"{model}: {error}") from error
    one = made.uncertain()
    many = None if one is None else Total().plus(one, _MANY).range / _MANY
    return Conversation(
        model=model,
        provider=provider,
        calls=calls,
        input_tokens=tokens.read,
        cached_input_tokens=tokens.cached,
        output_tokens=tokens.written,
        flops=None if made.flops is None else made.flops.mid,
        joules=made.joules,
        joules_of_many=many,
        shares={made.tier: 1.0},
        why=made.reasons.get("joules"),
        cost_usd=made.cost_usd,
        liters_per_joule=None if made.liters is None or made.joules is None else made.liters.mid / made.joules.mid,
    )


def compared(found: Sequence[Conversation], asked: Asked) -> Report:
    """Hold the models against each other: compute, energy and dollars of a conversation."""
    mean = asked.split is not None  # an assumed conversation is the mean of nothing
    columns = (
        *((_CALLS,) if mean else ()),
        *_TOKENS,
        Column(key="flops", title="compute", kind="quantity", unit="FLOP", summed=False, like="joules"),
        *_band("joules", "energy", "J"),
        Column(key="cost_usd", title="dollars", kind="dollars", unit="USD", summed=False),
        Column(key="tier", title="evidence", kind="text"),
    )
    rows = [
        (
            each.model,
            each.provider,
            *((each.calls,) if mean else ()),
            *_tokens(each),
            each.flops,
            *_ends(each.joules),
            each.cost_usd,
            weakest(each.shares),
        )
        for each in found
    ]
    known = [each for each in found if each.joules is not None and each.joules.mid > 0]
    said = []
    if len(known) > 1 and (most := known[0].joules) is not None and (least := known[-1].joules) is not None:
        said.append(
            f"a conversation of {known[0].model} takes {figures.digits(most.mid / least.mid, 2)} times the energy of "
            f"one of {known[-1].model}; by their ranges, {figures.digits(most.low / least.high, 2)} to "
            f"{figures.digits(most.high / least.low, 2)} times"
        )
    return _report("models", "A conversation, model by model", columns, rows, asked, "joules", said, found)


def on_grids(found: Sequence[Conversation], asked: Asked, grids: Sequence[GridIntensity]) -> Report:
    """Give the grams of a conversation on each of several grids, wherever its model runs."""
    hourly = constants()["bands"]["grid_hourly"]
    rows: list[tuple[Cell, ...]] = []
    for each in found:
        for place in grids:
            grams = None
            if each.joules is not None:
                grams = (each.joules * operational_grams(1.0, place.grams_per_kwh)).widened(*hourly)
            rows.append((each.model, each.provider, place.name, place.grams_per_kwh, *_ends(grams)))
    columns = (
        Column(key="grid", title="grid", kind="text"),
        Column(key="grams_per_kwh", title="intensity", kind="quantity", unit="g/kWh", summed=False),
        *_band("grams_co2e", "CO2e", "g"),
    )
    said = [
        "the energy of the conversation at the facility's meter, times each grid's mean of a year (life cycle, "
        "location-based); the range has the hours of the day in it"
    ]
    return _report("grids", "CO2e of a conversation on other grids", columns, rows, asked, "grams_co2e", said, found)


def at_scale(found: Sequence[Conversation], asked: Asked, per_day: int | None, place: GridIntensity) -> Report:
    """Give a year of conversations: so many a day of each model, or as many as the ledger has."""
    hourly = constants()["bands"]["grid_hourly"]
    rows: list[tuple[Cell, ...]] = []
    likened: list[str] = []
    for each in found:
        daily = per_day if per_day is not None else _over(each.calls, asked.days)
        if not daily:
            raise QuestionError(f"how many conversations with {each.model} there are a day nobody said: give --per-day")
        times = daily * DAYS_A_YEAR
        joules = None if each.joules_of_many is None else each.joules_of_many * times
        grams = None if joules is None else (joules * operational_grams(1.0, place.grams_per_kwh)).widened(*hourly)
        liters = None if joules is None or each.liters_per_joule is None else joules.mid * each.liters_per_joule
        dollars = None if each.cost_usd is None else each.cost_usd * Decimal(times)
        user = None if each.cost_usd is None else each.cost_usd * DAYS_A_YEAR
        watt_hours = None if joules is None else joules / JOULES_PER_WH
        likened = likened or _likened(each, joules)
        rows.append((each.model, each.provider, round(daily), *_ends(watt_hours), *_ends(grams), liters, dollars, user))
    columns = (
        Column(key="conversations_per_day", title="a day", kind="count", summed=False),
        *_band("watt_hours", "energy", "Wh"),
        *_band("grams_co2e", "CO2e", "g"),
        Column(key="liters", title="water", kind="quantity", unit="L", summed=False, like="watt_hours"),
        Column(key="cost_usd", title="dollars", kind="dollars", unit="USD", summed=False),
        Column(key="cost_usd_per_user", title="per user", kind="dollars", unit="USD", summed=False),
    )
    said = [
        f"a year of {DAYS_A_YEAR} days at the mean electricity of {place.name}, {place.grams_per_kwh:g} g/kWh; per "
        "user: one conversation a day",
        *(
            [f"a day: the calls of {asked.days:.3g} days, rounded here, not in the year"]
            if rows and per_day is None
            else []
        ),
        *likened,
    ]
    return _report("scale", "A year of conversations", columns, rows, asked, "watt_hours", said, found)


def _band(key: str, title: str, unit: str) -> Iterator[Column]:
    for end, name in (("_low", "low"), ("", title), ("_high", "high")):
        yield Column(key=f"{key}{end}", title=name, kind="quantity", unit=unit, summed=False, like=key)


def _ends(value: Range | None) -> tuple[Cell, Cell, Cell]:
    return (None, None, None) if value is None else (value.low, value.mid, value.high)


def _tokens(each: Conversation) -> tuple[Cell, ...]:
    counts = (each.input_tokens, each.cached_input_tokens, each.output_tokens)
    return tuple(None if one is None else round(one) for one in counts)


def _likened(most: Conversation, joules: Range | None) -> list[str]:
    """Say what the year of the first model is like."""
    homes = next(like for like in equivalences() if like.id == "us_home_day")
    number = None if joules is None else count(homes, joules=joules / DAYS_A_YEAR)
    if number is None:
        return []
    carried = figures.carried(number.low, number.mid, number.high)
    return [
        f"the year of {most.model} takes the electricity of {figures.digits(number.mid, carried)} homes in the USA "
        f"({figures.span(number.low, number.high, carried)}; {homes.note})"
    ]


def _report(
    name: str,
    title: str,
    columns: Iterable[Column],
    rows: Iterable[tuple[Cell, ...]],
    asked: Asked,
    rank: str,
    said: Iterable[str],
    found: Sequence[Conversation],
) -> Report:
    split, listed = asked.split, list(rows)
    all_columns = (*(Column(key=name, title=name, kind="text") for name in BY), *columns)
    cells = list(zip(*listed, strict=True)) if listed else [()] * len(all_columns)
    figured = {column.key: its for column, its in zip(all_columns, cells, strict=True)}
    rows_each = len(listed) // len(found) if found else 0
    return Report(
        name=name,
        title=title,
        period=None if split is None else split.period,
        by=BY,
        columns=all_columns,
        cells=cells,
        total=(),
        where={} if split is None else split.where,
        rank=rank,
        bands=bands_of(all_columns, figured),
        evidence=lambda: [each.shares if each.joules is not None else {} for each in found for _ in range(rows_each)],
        notes=(
            *(notes.nothing(split) if split is not None else ()),
            *said,
            *(notes.evidence(split) if split is not None and _own(asked) else ()),
            *(("low and high are the ends of a 90 % range",) if listed else ()),
            *(f"assumed: {each.model or 'every model of the ledger'}, {each.tokens}" for each in asked.given),
            *(f"{each.model}: {each.why}" for each in found if each.why),
            *(("the mean call of each model; calls without a figure are not in its mean",) if _own(asked) else ()),
            *(notes.health(split, "", asked.service) if split is not None else ()),
        ),
        metering=None if split is None else metering_of(split, asked.service),
    )


def _own(asked: Asked) -> bool:
    return asked.split is not None and not any(each.model is None for each in asked.given)
