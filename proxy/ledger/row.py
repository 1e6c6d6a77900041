"""From the facts of a call and its estimate to a row of the ledger."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, Protocol, get_args

import msgspec

from estimator import Estimate, Usage
from estimator.errors import UnknownZoneError
from estimator.grid import grid
from estimator.profiles import Tier
from estimator.uncertainty import deviations
from estimator.usage import UsageLine
from proxy.call import Closed, Opened
from proxy.known import Known
from proxy.ledger.sqltypes import USD_DECIMALS
from proxy.ledger.tables import CallRow, LineRow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_USD_STEP = Decimal(1).scaleb(-USD_DECIMALS)
_NO_USAGE = Usage()
_UNKNOWN = (None, None)
_FIGURES = (
    "flops", "gpu_joules", "it_joules", "joules", "prefill_joules", "grams_co2e", "embodied_grams_co2e",
    "market_grams_co2e", "liters",
)  # fmt: skip
COUNTED_BEFORE = "usage.counted_before"
_USAGE = (*(name for name in Usage.__dataclass_fields__ if name != "units"), "units")
_SUMMED = (
    "flops", "joules_low", "joules", "joules_high", "it_joules", "grams_co2e_low", "grams_co2e", "grams_co2e_high",
    "embodied_grams_co2e", "market_grams_co2e", "liters", "cost_usd", "prefill_joules",
)  # fmt: skip
_ESTIMATES = (
    *_SUMMED, "facts_version", "method", "price_id", "grid_source", "estimate_key", "joules_shared_down",
    "joules_shared_up", "grams_co2e_shared_down", "grams_co2e_shared_up",
)  # fmt: skip
_OF_A_LINE = tuple(name for name in LineRow.__struct_fields__ if name not in ("call_id", "number", "kind", "model"))


class Estimator(Protocol):
    """How the recorder asks for an estimate; may raise, which costs one row its estimates, no more."""

    def __call__(
        self,
        usage: Usage,
        model: str,
        *,
        provider: str | None,
        zone: str | None,
        at: datetime | None,
        service_tier: str | None,
        region: str | None = None,
    ) -> Estimate:
        """Estimate what a call cost in work, energy, carbon, water and dollars."""


class Familiar(Protocol):
    """How the recorder asks for what calls have in common, where they are many."""

    def __call__(
        self,
        model: str,
        provider: str | None,
        zone: str | None,
        at_us: int,
        service_tier: str | None,
        region: str | None,
    ) -> Known | None:
        """Give it, or ``None`` where a call needs an estimate of its own; may raise, which means the same."""


def time_at(microseconds: int) -> datetime:
    """Give the UTC time of microseconds since the Unix epoch."""
    return _EPOCH + timedelta(microseconds=microseconds)


def estimated(closed: Closed, estimate: Estimator) -> Estimate | str:
    """Estimate a call, or say why that cannot be done."""
    model = closed.model or closed.opened.model_requested
    if closed.usage is None:
        return "no usage"
    if model is None:
        return "no model named"

    def ask(usage: Usage) -> Estimate:
        return estimate(
            usage,
            model,
            provider=closed.opened.provider,
            zone=closed.opened.zone,
            at=time_at(closed.opened.started_at_us),
            service_tier=closed.service_tier,
            region=closed.region,
        )

    try:
        return ask(closed.usage) if closed.calls == 1 else _of_many(closed.usage, closed.calls, ask)
    except Exception as error:  # the call happened all the same; its row must not wait for a better estimator
        return f"estimate failed: {type(error).__name__}: {error}"


def _of_many(usage: Usage, calls: int, ask: Callable[[Usage], Estimate]) -> Estimate:
    """Estimate a sum over many calls as so many calls of the mean: taken for one, its context would be absurd.

    What the mean leaves over is priced by itself, so that the dollars are exact. The errors are taken as shared.
    """
    counts = {name: count for name in _USAGE if name != "units" and (count := getattr(usage, name)) is not None}
    shares: dict[str, Any] = {name: count // calls for name, count in counts.items()}
    left: dict[str, Any] = {name: count % calls for name, count in counts.items()}
    each, rest = Usage(**shares), Usage(**left, units=usage.units)
    one, over = ask(each), ask(rest).cost_usd
    changes: dict[str, Any] = {name: figure * calls for name in _FIGURES if (figure := getattr(one, name)) is not None}
    cost = None if one.cost_usd is None or over is None else one.cost_usd * calls + over
    return dataclasses.replace(one, cost_usd=cost, **changes)


def row_of(closed: Closed, estimate: Estimate | str) -> CallRow:
    """Compose the row of a call that ended; ``estimate`` is the reason where there is none."""
    opened, usage = closed.opened, closed.usage or _NO_USAGE
    facts = None if isinstance(estimate, str) else estimate
    reason = estimate if isinstance(estimate, str) else _reasons(estimate)
    flops = facts.flops if facts else None
    joules = facts.joules if facts else None
    prefill = facts.prefill_joules if facts else None
    it_joules = facts.it_joules if facts else None
    grams = facts.grams_co2e if facts else None
    embodied = facts.embodied_grams_co2e if facts else None
    market = facts.market_grams_co2e if facts else None
    liters = facts.liters if facts else None
    cost = facts.cost_usd if facts else None
    joules_down, joules_up, *_ = deviations(joules, facts.per_call) if facts and joules else _UNKNOWN
    grams_down, grams_up, *_ = deviations(grams, facts.per_call) if facts and grams else _UNKNOWN
    return CallRow(
        id=opened.id,
        operation_id=opened.operation_id,
        attempt=opened.attempt,
        started_at=time_at(opened.started_at_us),
        team=opened.team,
        project=opened.project,
        user=opened.user,
        key_id=opened.key_id,
        tags=opened.tags or None,
        provider=opened.provider,
        surface=opened.surface,
        model_requested=opened.model_requested,
        model=closed.model,
        stream=opened.stream,
        status=closed.status,
        outcome=closed.outcome,
        reason=closed.reason,
        provider_request_id=closed.provider_request_id,
        input_tokens=usage.input_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        audio_input_tokens=usage.audio_input_tokens,
        image_input_tokens=usage.image_input_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        audio_output_tokens=usage.audio_output_tokens,
        image_output_tokens=usage.image_output_tokens,
        units=usage.units or None,
        usage_source=closed.usage_source,
        flags=closed.flags or None,
        latency_ms=round(closed.latency_us / 1000),
        time_to_first_token_ms=_milliseconds(closed.time_to_first_token_us),
        overhead_us=closed.overhead_us,
        request_bytes=opened.request_bytes,
        response_bytes=closed.response_bytes,
        service_tier=closed.service_tier,
        facts_version=facts.facts_version if facts else None,
        method=facts.method if facts else None,
        tier=facts.tier if facts else "unknown",
        estimate_reason=reason,
        zone=facts.zone if facts else _zone(opened.zone),
        flops=flops.mid if flops else None,
        joules_low=joules.low if joules else None,
        joules=joules.mid if joules else None,
        joules_high=joules.high if joules else None,
        it_joules=it_joules.mid if it_joules else None,
        grams_co2e_low=grams.low if grams else None,
        grams_co2e=grams.mid if grams else None,
        grams_co2e_high=grams.high if grams else None,
        embodied_grams_co2e=embodied.mid if embodied else None,
        market_grams_co2e=market.mid if market else None,
        liters=liters.mid if liters else None,
        cost_usd=cost.quantize(_USD_STEP) if cost is not None else None,
        price_id=facts.price_id if facts else None,
        grid_source=facts.grid_source if facts else None,
        estimate_key=facts.key if facts and joules else None,
        joules_shared_down=joules_down,
        joules_shared_up=joules_up,
        grams_co2e_shared_down=grams_down,
        grams_co2e_shared_up=grams_up,
        attributes=opened.attributes or None,
        summed_calls=closed.calls,
        region=closed.region,
        prefill_joules=prefill.mid if prefill else None,
    )


def known_row(closed: Closed, known: Known) -> CallRow | None:
    """Give what :func:`row_of` gives, to the digit, in a third of the time; ``None`` where it takes the longer way."""
    opened, usage = closed.opened, closed.usage
    if usage is None or closed.calls != 1:
        return None
    figures = known.figures(usage)
    if figures is None:
        return None
    cost = known.cost(usage)
    if cost is None and known.price is not None:
        return None
    first_token = closed.time_to_first_token_us
    return CallRow(
        opened.id,
        opened.operation_id,
        opened.attempt,
        _EPOCH + timedelta(0, 0, opened.started_at_us),
        opened.team,
        opened.project,
        opened.user,
        opened.key_id,
        opened.tags or None,
        opened.provider,
        opened.surface,
        opened.model_requested,
        closed.model,
        opened.stream,
        closed.status,
        closed.outcome,
        closed.reason,
        closed.provider_request_id,
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.audio_input_tokens,
        usage.image_input_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.audio_output_tokens,
        usage.image_output_tokens,
        None,
        closed.usage_source,
        closed.flags or None,
        round(closed.latency_us / 1000),
        None if first_token is None else round(first_token / 1000),
        closed.overhead_us,
        opened.request_bytes,
        closed.response_bytes,
        closed.service_tier,
        known.facts_version,
        known.method,
        known.tier,
        known.reason,
        known.zone,
        figures.flops,
        figures.joules_low,
        figures.joules,
        figures.joules_high,
        figures.it_joules,
        figures.grams_co2e_low,
        figures.grams_co2e,
        figures.grams_co2e_high,
        figures.embodied_grams_co2e,
        figures.market_grams_co2e,
        figures.liters,
        cost,
        known.price.id if known.price is not None else None,
        known.grid_source,
        known.key,
        figures.joules_shared_down,
        figures.joules_shared_up,
        figures.grams_co2e_shared_down,
        figures.grams_co2e_shared_up,
        opened.attributes or None,
        1,
        closed.region,
        figures.prefill_joules,
    )


class Composed(NamedTuple):
    """The row of a call that ended, its lines, and whether the estimator failed at a call whose usage is known."""

    row: CallRow
    lines: tuple[LineRow, ...]
    failed: bool


def composed(closed: Closed, estimate: Estimator, familiar: Familiar | None) -> Composed:
    """Estimate a call and its lines, by the shorter way where there is one, and compose their rows."""
    row, failed = _own_row(closed, estimate, familiar)
    lines = lines_of(closed, estimate) if closed.lines else ()
    return Composed(with_lines(row, lines) if lines else row, lines, failed)


def _own_row(closed: Closed, estimate: Estimator, familiar: Familiar | None) -> tuple[CallRow, bool]:
    opened = closed.opened
    model = closed.model or opened.model_requested
    if model is not None and familiar is not None:
        try:
            known = familiar(
                model, opened.provider, opened.zone, opened.started_at_us, closed.service_tier, closed.region
            )
            row = None if known is None else known_row(closed, known)
        except Exception:  # whatever it is, the estimate itself says it
            row = None
        if row is not None:
            return row, False
    made = estimated(closed, estimate)
    return row_of(closed, made), isinstance(made, str) and closed.usage is not None


def lines_of(closed: Closed, estimate: Estimator) -> tuple[LineRow, ...]:
    """Compose the lines of a call: what it consumed beside its own usage, each with an estimate of its own."""
    return tuple(_line(closed, number, line, estimate) for number, line in enumerate(closed.lines, 1))


def _line(closed: Closed, number: int, line: UsageLine, estimate: Estimator) -> LineRow:
    own = msgspec.structs.replace(
        closed, usage=line.usage, model=line.model or closed.model, lines=(), calls=line.calls
    )
    row = row_of(own, estimated(own, estimate))
    same = {name: getattr(row, name) for name in _OF_A_LINE}
    return LineRow(call_id=row.id, number=number, kind=line.kind, model=line.model, **same)


def with_lines(row: CallRow, lines: Sequence[LineRow]) -> CallRow:
    """Add the estimates of its lines to a call's: its dollars, joules, grams and liters are all it caused.

    A sum with an unknown part is unknown; a call that consumed nothing beside its lines, as a batch's results, is their
    sum alone. The lines' errors are taken as shared with the call's, the wider reading.
    """
    own = row.input_tokens is not None or row.output_tokens is not None or bool(row.units)
    sums: dict[str, Any] = {}
    for name in _SUMMED:
        parts = [getattr(each, name) for each in ((row, *lines) if own else lines)]
        sums[name] = None if None in parts else sum(parts[1:], parts[0])
    if not own:
        row = msgspec.structs.replace(row, estimate_reason=None, tier=max((line.tier for line in lines), key=_doubt))
    for name, middle in (("joules", "joules"), ("grams_co2e", "grams_co2e")):
        for side, edge in (("down", f"{name}_low"), ("up", f"{name}_high")):
            shared = getattr(row, f"{name}_shared_{side}") if own else 0.0
            known = shared is not None and sums[edge] is not None
            wider = sum(abs(getattr(line, edge) - getattr(line, middle)) for line in lines) if known else 0.0
            sums[f"{name}_shared_{side}"] = shared + wider if known else None
    reasons = [f"{line.kind}: {line.estimate_reason}" for line in lines if line.estimate_reason is not None]
    reason = "; ".join(filter(None, (row.estimate_reason, *reasons))) or None
    return msgspec.structs.replace(row, estimate_reason=reason, **sums)


def _doubt(tier: str) -> int:
    """Order the tiers of evidence from the surest to none."""
    return get_args(Tier).index(tier)


def counted_before(row: CallRow) -> CallRow:
    """Take out of a row the usage that stands on another, where it was shown first."""
    blank = dict.fromkeys((*_USAGE, *_ESTIMATES))
    return msgspec.structs.replace(
        row, **blank, usage_source="absent", reason=COUNTED_BEFORE, tier="unknown", estimate_reason="no usage"
    )


def interrupted_row(opened: Opened) -> CallRow:
    """Compose the row of a call that was in flight when its gate process ended: what it consumed nobody knows."""
    closed = Closed(
        opened=opened,
        ended_at_us=opened.started_at_us,
        outcome="interrupted",
        status=None,
        model=None,
        provider_request_id=None,
        usage=None,
        usage_source="absent",
        flags=(),
        reason="gate_process_ended",
        latency_us=0,
        time_to_first_token_us=None,
        overhead_us=None,
        response_bytes=0,
        service_tier=None,
    )
    return msgspec.structs.replace(row_of(closed, "no usage"), latency_ms=None, response_bytes=None)


def _reasons(estimate: Estimate) -> str | None:
    """Join the reasons, each once: one cause often leaves several figures unknown.

    Market-based carbon is left out: it is unknown wherever no contract is configured, and to say so
    would make every row a quarter longer.
    """
    reasons = dict.fromkeys(why for name, why in estimate.reasons.items() if name != "market_grams_co2e")
    return "; ".join(reasons) or None


def _zone(configured: str | None) -> str | None:
    """Give the zone of what a gate wrote down: journals of older releases have cloud regions there."""
    try:
        return grid(configured).zone if configured is not None else None
    except UnknownZoneError:
        return None


def _milliseconds(microseconds: int | None) -> int | None:
    return None if microseconds is None else round(microseconds / 1000)
