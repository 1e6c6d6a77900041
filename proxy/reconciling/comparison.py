"""A statement against the ledger, by day and by what else both name: what differs, and what explains it.

Nothing here asks a database. A difference in dollars is taken apart in this order: calls that only one side has; tokens
that one side has more of, at the statement's own price for a token; what is left is calls that the ledger has no price
for, or another price.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from proxy.reconciling.shape import Stated

Key = tuple[str, date, tuple[str | None, ...]]  # provider, day, and the names asked for
Kind = Literal["not_in_ledger", "not_in_statement", "tokens", "unpriced", "price"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one side says of a key; None is unknown."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    usd: Decimal | None = None

    @property
    def tokens(self) -> int | None:
        """Both together, as far as they are stated."""
        known = [each for each in (self.input_tokens, self.output_tokens) if each is not None]
        return sum(known) if known else None

    def plus(self, other: Side) -> Side:
        """Add; unknown and unknown is unknown."""
        return type(self)(
            input_tokens=_plus(self.input_tokens, other.input_tokens),
            output_tokens=_plus(self.output_tokens, other.output_tokens),
            usd=_plus(self.usd, other.usd),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the ledger has under a key, and what it does not know of these calls."""

    side: Side = field(default_factory=Side)
    calls: int = 0
    unpriced_calls: int = 0
    absent_calls: int = 0
    inferred_calls: int = 0  # their tokens were counted or inferred here

    def plus(self, other: Recorded) -> Recorded:
        """Add."""
        return Recorded(
            side=self.side.plus(other.side),
            calls=self.calls + other.calls,
            unpriced_calls=self.unpriced_calls + other.unpriced_calls,
            absent_calls=self.absent_calls + other.absent_calls,
            inferred_calls=self.inferred_calls + other.inferred_calls,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a difference; ``usd`` None: known to be there, not how much."""

    kind: Kind
    usd: Decimal | None
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One key: both sides, statement less ledger, and what that is made of."""

    key: Key
    stated: Side | None
    recorded: Recorded | None
    residual_usd: Decimal | None
    residual_tokens: int | None
    parts: tuple[Part, ...]


def statement_sides(lines: Iterable[Stated], named: Callable[[Stated], tuple[str | None, ...]]) -> dict[Key, Side]:
    """Add up a statement's lines by provider, day and what ``named`` gives of each."""
    sides: dict[Key, Side] = {}
    for line in lines:
        key = (line.provider, line.day, named(line))
        side = Side(input_tokens=line.input_tokens, output_tokens=line.output_tokens, usd=line.usd)
        sides[key] = sides[key].plus(side) if key in sides else side
    return sides


def compare(stated: Mapping[Key, Side], recorded: Mapping[Key, Recorded]) -> list[Compared]:
    """Hold two sides against each other, in the order of day, provider and names; a key may be on one side alone."""
    keys = sorted({*stated, *recorded}, key=lambda key: (key[1], key[0], [name or "" for name in key[2]]))
    # A statement without a line states that there was nothing, of either.
    says_dollars = not stated or any(side.usd is not None for side in stated.values())
    says_tokens = not stated or any(side.tokens is not None for side in stated.values())
    return [_compared(key, stated.get(key), recorded.get(key), says_dollars, says_tokens) for key in keys]


def beyond(compared: Sequence[Compared], tolerance: Decimal) -> list[str]:
    """Name the providers whose sums differ by more than a share of what the statement says: dollars, else tokens."""
    sums: dict[str, list[Decimal | None]] = {}
    for each in compared:
        whole = sums.setdefault(each.key[0], [None, None, None, None])
        side = each.stated or Side()
        tokens, residual = side.tokens, each.residual_tokens
        for at, value in enumerate(
            (side.usd, each.residual_usd, *(None if n is None else Decimal(n) for n in (tokens, residual)))
        ):
            whole[at] = _plus(whole[at], value)
    found = []
    for provider, (usd, off, tokens_, tokens_off) in sorted(sums.items()):
        stated, residual_ = (usd, off) if usd is not None else (tokens_, tokens_off)
        if residual_ is not None and abs(residual_) > tolerance * abs(stated or Decimal(0)):
            found.append(provider)
    return found


def _compared(
    key: Key, stated: Side | None, recorded: Recorded | None, says_dollars: bool, says_tokens: bool
) -> Compared:
    side = recorded.side if recorded is not None else Side()
    said = stated if stated is not None else Side()
    usd = (said.usd or Decimal(0)) - (side.usd or Decimal(0)) if says_dollars else None
    tokens = (said.tokens or 0) - (side.tokens or 0) if says_tokens else None
    return Compared(
        key=key,
        stated=stated,
        recorded=recorded,
        residual_usd=usd,
        residual_tokens=tokens,
        parts=tuple(_parts(stated, recorded, usd, tokens)),
    )


def _parts(stated: Side | None, recorded: Recorded | None, usd: Decimal | None, tokens: int | None) -> list[Part]:
    if not usd and not tokens:
        return []
    if recorded is None:
        return [Part(kind="not_in_ledger", usd=usd, says="no call of it came through the gate, or under another name")]
    if stated is None:
        return [Part(kind="not_in_statement", usd=usd, says="the statement does not name it, or under another name")]
    parts: list[Part] = []
    left = usd
    if tokens and stated.tokens:
        worth = None
        if left is not None and stated.usd is not None:
            worth = stated.usd * tokens / stated.tokens
            left -= worth
        parts.append(Part(kind="tokens", usd=worth, says=_why_tokens(tokens, recorded)))
    if left and recorded.unpriced_calls:
        alone = recorded.side.usd is None
        says = f"{recorded.unpriced_calls:,} of {recorded.calls:,} calls have no price in the ledger"
        parts.append(Part(kind="unpriced", usd=left if alone else None, says=says))
        left = None if alone else left
    if left:
        silent = "" if tokens is not None else ", or other tokens: the statement does not say"
        parts.append(Part(kind="price", usd=left, says=f"another price than the ledger's{silent}"))
    return parts


def _why_tokens(tokens: int, recorded: Recorded) -> str:
    guessed = f"{recorded.inferred_calls:,} calls have tokens counted here" if recorded.inferred_calls else ""
    if tokens < 0:
        return "; ".join(filter(None, (f"the ledger has {-tokens:,} tokens more", guessed)))
    absent = f"{recorded.absent_calls:,} calls have no usage in the ledger" if recorded.absent_calls else ""
    other = "" if absent or guessed else "calls that did not come through the gate"
    return "; ".join(filter(None, (f"the ledger has {tokens:,} tokens fewer", absent, guessed, other)))


def _plus(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else one + other
