"""What a call costs by a price: every token in one bucket, every billed unit by itself, in exact decimals."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from estimator.price import Price
from estimator.usage import Usage

_ZERO: Final = Decimal(0)
_KEPT_DECIMALS: Final = 12  # of a dollar, as the ledger keeps them
_FINE_DECIMALS: Final = 18  # of a token's price
_FINE_TO_KEPT: Final = 10 ** (_FINE_DECIMALS - _KEPT_DECIMALS)
# How the units of a call are called in price lists, with the divisor from one to the other.
_UNITS: Final = {
    "seconds": ("audio_hours", 3600),
    "audio_seconds": ("audio_hours", 3600),
    "audio_input_seconds": ("audio_hours", 3600),
    "searches": ("web_searches", 1),
    "web_search_requests": ("web_searches", 1),
    "search_queries": ("web_searches", 1),
    "search_units": ("requests", 1),
}
# How long a cache entry written at the plain rate lives; another life needs a rate of its own.
_TTL_RATES: Final = {"cache_write_1h_tokens": "cache_write_1h"}
_TTL_PLAIN: Final = frozenset({"cache_write_5m_tokens", "cache_write_30m_tokens"})
# What Cohere charges where that is less than the model read and wrote.
_BILLED_INPUT: Final = "billed_input_tokens"
_BILLED_OUTPUT: Final = "billed_output_tokens"
# Measured by the machine itself, never billed.
_MEASURED: Final = frozenset({"load_seconds", "prompt_eval_seconds", "eval_seconds", "compute_seconds"})


def cost_usd(usage: Usage, price: Price) -> Decimal | None:
    """Return the exact dollars of a call, or ``None`` where the price lacks a bucket the call needs.

    Buckets without a price of their own cost what the tokens around them cost: cached, written,
    audio and image input the input price, reasoning, audio and image output the output price.
    A token read from a cache never costs more than one read afresh.
    """
    n_in = int(usage.units.get(_BILLED_INPUT, usage.input_tokens or 0))
    n_out = int(usage.units.get(_BILLED_OUTPUT, usage.output_tokens or 0))
    plain_in, plain_out = n_in, n_out
    total = _ZERO
    billed = bool(price.rates)
    rate = price.rate
    fresh = rate("input", n_in) if n_in else None
    if usage.cached_input_tokens and (dollars := rate("cached_input", n_in)) is not None:
        part = min(usage.cached_input_tokens, plain_in)
        plain_in -= part
        total += part * (dollars if fresh is None else min(dollars, fresh))
    for bucket, tokens in (("audio_input", usage.audio_input_tokens), ("image_input", usage.image_input_tokens)):
        if tokens and (dollars := rate(bucket, n_in)) is not None:
            part = min(tokens, plain_in)
            plain_in -= part
            total += part * dollars
    if usage.cache_write_tokens and (dollars := rate("cache_write", n_in)) is not None:
        part = min(usage.cache_write_tokens, plain_in)
        plain_in -= part
        for name, bucket in _TTL_RATES.items():
            written = min(int(usage.units.get(name, 0)), part)
            if written:
                part -= written
                longer = rate(bucket, n_in)
                total += written * (dollars if longer is None else longer)
        total += part * dollars
    for bucket, tokens in (
        ("reasoning", usage.reasoning_tokens),
        ("audio_output", usage.audio_output_tokens),
        ("image_output", usage.image_output_tokens),
    ):
        if tokens and (dollars := rate(bucket, n_in)) is not None:
            part = min(tokens, plain_out)
            plain_out -= part
            total += part * dollars
    if plain_in:
        if fresh is None:
            return None
        total += plain_in * fresh
    if plain_out:
        dollars = rate("output", n_in)
        if dollars is None:
            return None
        total += plain_out * dollars
    for name, count in usage.units.items():
        unit, divisor = _UNITS.get(name, (name, 1))
        each = price.units.get(unit)
        if each is not None and count:
            billed = True
            total += Decimal(str(count)) * each / divisor
    if "requests" in price.units and "search_units" not in usage.units:
        total += price.units["requests"]
        billed = True
    return total if billed else None  # a price per minute says nothing of a call without minutes


def plain_cost(price: Price) -> Callable[[int, int, int], Decimal | None] | None:
    """Compile :func:`cost_usd`, rounded to 12 decimals, for calls of nothing but input, cached and output tokens.

    ``None`` where the price counts requests, or has more digits than are kept here. A bucket without a rate that a call
    needs makes its dollars ``None``.
    """
    if "requests" in price.units or not price.rates:
        return None
    thresholds = sorted({above for steps in price.rates.values() for above, _ in steps[1:]})
    found = [_plain_rates(price, input_tokens) for input_tokens in (0, *(above + 1 for above in thresholds))]
    by_length = [rates for rates in found if rates is not None]
    if len(by_length) < len(found):
        return None

    def cost(n_in: int, n_cached: int, n_out: int) -> Decimal | None:
        fresh, cached, output = by_length[bisect_left(thresholds, n_in)]
        total = 0
        if cached is not None:
            total = n_cached * cached
            n_in -= n_cached
        if n_in:
            if fresh is None:
                return None
            total += n_in * fresh
        if n_out:
            if output is None:
                return None
            total += n_out * output
        kept, left = divmod(total, _FINE_TO_KEPT)
        if left > _FINE_TO_KEPT // 2 or (left == _FINE_TO_KEPT // 2 and kept & 1):  # half to even, as decimals round
            kept += 1
        return Decimal(kept).scaleb(-_KEPT_DECIMALS)

    return cost


def _plain_rates(price: Price, input_tokens: int) -> tuple[int | None, int | None, int | None] | None:
    """Give the rates of input, cached and output tokens at a length, in units of the last decimal kept here."""
    found: list[int | None] = []
    for bucket in ("input", "cached_input", "output"):
        rate = price.rate(bucket, input_tokens)
        scaled = None if rate is None else rate.scaleb(_FINE_DECIMALS)
        if scaled is not None and scaled != int(scaled):
            return None
        found.append(None if scaled is None else int(scaled))
    fresh, cached, output = found
    return fresh, cached if cached is None or fresh is None else min(cached, fresh), output


def unpriced_units(usage: Usage, price: Price) -> tuple[str, ...]:
    """Return the billed units of a call that the price says nothing about."""
    return tuple(name for name, count in usage.units.items() if count and not _priced(name, price))


def at_the_price_of_text(usage: Usage, price: Price) -> tuple[str, ...]:
    """Return the audio of a call that cost what text costs, because the price says nothing of audio."""
    counts = {"audio_input": usage.audio_input_tokens, "audio_output": usage.audio_output_tokens}
    return tuple(name for name, count in counts.items() if count and name not in price.rates)


def _priced(name: str, price: Price) -> bool:
    if name in _TTL_PLAIN or name in _MEASURED or name in (_BILLED_INPUT, _BILLED_OUTPUT):
        return True
    if name in _TTL_RATES:
        return _TTL_RATES[name] in price.rates
    return _UNITS.get(name, (name, 1))[0] in price.units
