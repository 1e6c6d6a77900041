"""How a call is stored: what it has in common with others as its kind, the rest as a row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import astuple

from proxy.ledger.keys import Key, key_of
from proxy.ledger.tables import ESTIMATE, KIND, CallRow, call_rows, picked

ESTIMATED = tuple(name for name in ESTIMATE if name in call_rows.columns)
FOUND_BY = ("id", "started_at")  # where months lie apart, the time says in which

_OF_THE_CALL = tuple(each.name for each in call_rows.columns if each.name in CallRow.__struct_fields__[2:])
_kind = picked(*KIND)
_of_the_call = picked(*_OF_THE_CALL)
_estimated = picked(*ESTIMATED, *FOUND_BY)


def kind_of(row: CallRow) -> int:
    """Give the number of a call's kind."""
    return key_of(_kind(astuple(row)))


def kinds_of(rows: Iterable[CallRow]) -> dict[int, Key]:
    """Give the kinds that calls are of, by their numbers."""
    return {key_of(kind): kind for kind in set(map(_kind, map(astuple, rows)))}


def stored(row: CallRow) -> tuple[Any, ...]:
    """Give a call as ``call_rows`` has it when it is new: estimated once, and in the sums."""
    values = astuple(row)
    name, operation = values[:2]
    return (name, None if operation == name else operation, key_of(_kind(values)), *_of_the_call(values), None, True)


def estimated_anew(row: CallRow) -> tuple[Any, ...]:
    """Give what another estimate changes in ``call_rows``: the kind, ESTIMATED, and by what the row is found."""
    values = astuple(row)
    return (key_of(_kind(values)), *_estimated(values))
