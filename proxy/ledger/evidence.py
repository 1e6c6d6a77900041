"""What evidence a sum's estimates rest on: its joules by tier. Of the ledger no more is read than the keys of sums."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import get_args

import sqlalchemy as sa

from estimator.profiles import Tier
from proxy.ledger.read import Totals
from proxy.ledger.rollup_tables import detail_keys
from proxy.ledger.rollups import any_left
from proxy.ledger.tables import NOT_ROLLED_UP, calls

TIERS: tuple[str, ...] = get_args(Tier)  # from the surest to none
KEPT_S = 60.0  # at least; longer where reading takes long
_KEPT_TIMES = 100


class Evidence:
    """Knows the tier of what errs alike, a model at its operator; from any thread.

    One that has had several tiers, because more came to be known of it, counts as the weakest of them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tiers: Mapping[str, str] = {}
        self._kept_until = float("-inf")
        self._lock = threading.Lock()

    def read(self, connection: sa.Connection, total: Totals) -> None:
        """Learn the tiers of what is in a sum, so of its parts too; what is known is not read again for a while."""
        with self._lock:
            if self._clock() < self._kept_until and total.joules_by_estimate_key.keys() <= self._tiers.keys():
                return
            began = self._clock()
            self._tiers = _read(connection)
            ended = self._clock()
            self._kept_until = ended + max(KEPT_S, _KEPT_TIMES * (ended - began))

    def shares(self, group: Totals) -> dict[str, float]:
        """Give the share of a sum's joules that each tier has, the surest first; nothing where no joules are known."""
        if len(group.joules_by_estimate_key) == 1:  # as a rule
            ((key, joules),) = group.joules_by_estimate_key.items()
            return {self._tiers.get(key, TIERS[-1]): 1.0} if joules else {}
        found: dict[str, float] = {}
        for key, joules in group.joules_by_estimate_key.items():
            tier = self._tiers.get(key, TIERS[-1])
            found[tier] = found.get(tier, 0.0) + joules
        whole = sum(found.values())
        return {tier: found[tier] / whole for tier in TIERS if found.get(tier)} if whole else {}


def _read(connection: sa.Connection) -> dict[str, str]:
    """Read the tiers of all keys, of calls that no sum has yet too."""
    of_calls = sa.select(calls.c.estimate_key, calls.c.tier).where(calls.c.joules.is_not(None)).distinct()
    if connection.dialect.name == "clickhousedb":  # a mirror has no sums
        questions = [of_calls]
    else:
        key, tier = detail_keys.c.estimate_key, detail_keys.c.tier
        questions = [sa.select(key, tier).where(tier != TIERS[-1]).distinct()]
        if any_left(connection):
            questions.append(of_calls.where(NOT_ROLLED_UP))
    found: dict[str, str] = {}
    for question in questions:
        for key, tier in connection.execute(question):
            found[key or ""] = max(found.get(key or "", TIERS[0]), tier, key=TIERS.index)
    return found
