"""How a call is stored: what it has in common with others as its kind, the rest as a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import astuple

from proxy.ledger.bulk import Values
from proxy.ledger.keys import Key, key_of
from proxy.ledger.tables import ESTIMATE, KIND, CallRow, call_rows, picked

ESTIMATED = tuple(name for name in ESTIMATE if name in call_rows.columns)
FOUND_BY = ("id", "started_at")  # where months lie apart, the time says in which

_OF_THE_CALL = tuple(
    each.name
    for each in call_rows.columns
    if each.name in CallRow.__struct_fields__[2:] and each.name != "prefill_joules"
)
_PREFILL = CallRow.__struct_fields__.index("prefill_joules")
_kind = picked(*KIND)
_of_the_call = picked(*_OF_THE_CALL)
_estimated = picked(*ESTIMATED, *FOUND_BY)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Calls on their way into the ledger, taken apart once: the fields of each, the number of its kind, the kinds."""

    rows: Sequence[CallRow]
    values: Sequence[Values]
    kinds: Sequence[int]
    keys: Mapping[int, Key]

    @classmethod
    def of(cls, rows: Sequence[CallRow]) -> Batch:
        """Take calls apart."""
        values = list(map(astuple, rows))
        keys = list(map(_kind, values))
        kinds = list(map(key_of, keys))
        return cls(rows, values, kinds, dict(zip(kinds, keys, strict=True)))

    def calls(self) -> Iterator[tuple[Values, int]]:
        """Give each call's fields and its kind."""
        return zip(self.values, self.kinds, strict=True)


def stored(call: tuple[Values, int]) -> Values:
    """Give a call as ``call_rows`` has it when it is new: estimated once, and in the sums."""
    values, kind = call
    name, operation = values[:2]
    own_operation = None if operation == name else operation
    return (name, own_operation, kind, *_of_the_call(values), None, True, values[_PREFILL])


def estimated_anew(call: tuple[Values, int]) -> Values:
    """Give what another estimate changes in ``call_rows``: the kind, ESTIMATED, and by what the row is found."""
    values, kind = call
    return (kind, *_estimated(values))
