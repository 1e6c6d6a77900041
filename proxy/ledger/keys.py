"""Numbers for what many rows share: digests, so that no machine has to ask another which number something has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

from proxy.ledger.bulk import Bulk

Key = tuple[Any, ...]  # what is shared, by the columns of its table

KEYS_KEPT = 100_000  # that are known to be written; clients choose some of their parts
_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=KEYS_KEPT)
def key_of(shared: Key) -> int:
    """Give the number of a key: 63 bits of a digest, so that a million keys collide once in ten million ledgers."""
    try:
        text = _encode(shared)
    except ValueError:  # no database takes it either, and says so
        text = repr(shared).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 1


class Keys:
    """Writes keys into their table, each at most once while it is known to be there."""

    def __init__(self, table: sa.Table, dialect: Dialect) -> None:
        self._rows = Bulk(table, dialect, tuple)
        self._width = len(table.columns)
        self._known: set[int] = set()
        self.fresh = False  # some were written since the last `remember`

    def ensure(self, connection: Connection, keys: Mapping[int, Key]) -> None:
        """Write those that are not known to be there, in one order for all machines."""
        fresh = sorted(keys.keys() - self._known)
        if fresh:
            self.fresh = True
            rows = [self._rows.values(self._padded(number, keys[number])) for number in fresh]
            connection.exec_driver_sql(self._rows.insert, rows)

    def _padded(self, number: int, key: Key) -> Key:
        """Give a row; a key of fewer parts than there are columns has nothing in the last ones."""
        return (number, *key, *(None,) * (self._width - 1 - len(key)))

    def remember(self, keys: Iterable[int]) -> None:
        """Take note of keys that are there to stay: the transaction that wrote them is committed."""
        if len(self._known) > KEYS_KEPT:
            self._known.clear()
        self._known.update(keys)
        self.fresh = False

    def forget(self) -> None:
        """Take nothing for granted any more: the ledger is, or may be, another."""
        self._known.clear()
