"""JSON as it is found in the wild, decoded into typed structs as far as it goes."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")

_NAMES_SPELLED = 64  # more members than any provider states; beyond it the JSON itself is looked at

_DECODER = json.JSONDecoder()

REFUSED = (msgspec.MsgspecError, UnicodeError, RecursionError)  # what msgspec raises on bad bytes


class Lenient(Generic[T]):
    """Decodes into ``whole``; where a member has an unforeseen type, into ``sparse``, which leaves it out.

    ``sparse`` is a parent type whose members take any value, so a surprise in one place never loses
    the others. NaN, lone surrogates and invalid UTF-8 are let through.
    """

    __slots__ = ("_sparse", "_sparse_type", "_whole", "_whole_type")

    def __init__(self, whole: type[T], sparse: type[T]) -> None:
        self._whole_type, self._sparse_type = whole, sparse
        self._whole = msgspec.json.Decoder(whole)
        self._sparse = msgspec.json.Decoder(sparse)

    @property
    def quick(self) -> msgspec.json.Decoder[T]:
        """The strict decoder, for the hot path; what it refuses is a case for :meth:`decode`."""
        return self._whole

    def decode(self, data: bytes) -> T | None:
        """Decode; None where ``data`` is no JSON object. Never raises."""
        for decoder in (self._whole, self._sparse):
            try:
                return decoder.decode(data)
            except REFUSED:
                continue
        return self.convert(loads(data))

    def convert(self, tree: object) -> T | None:
        """Convert decoded JSON; None where it is no object. Never raises."""
        if not isinstance(tree, dict):
            return None
        tree = {name: value for name, value in tree.items() if name.isascii()}  # no lone surrogate in a name
        for kind in (self._whole_type, self._sparse_type):
            try:
                return msgspec.convert(tree, kind)
            except REFUSED:
                continue
        return None


def loads(data: bytes) -> object:
    """Decode any JSON, with NaN, lone surrogates and invalid UTF-8 let through; None where it is none."""
    try:
        return json.loads(data.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


def repeats(data: bytes, known: dict[str, object]) -> bool:
    """Tell whether ``data``, which holds the object ``known``, names a member of it twice: only the last one was read.

    Looking for the names costs little; the JSON is read once more only where they come more often than they should.
    Inside a string the quotes around a name would be escaped.
    """
    listed = tuple(_names(known))
    if len(listed) <= _NAMES_SPELLED and len(_spelled(listed).findall(data)) <= len(listed):
        return False
    names = frozenset(listed)
    found = False

    def look(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal found
        members = dict(pairs)
        if len(members) < len(pairs) and not found:
            told = [name for name, _ in pairs]
            twice = {name for name in members if told.count(name) > 1}
            found = any(
                name in names or (isinstance(value, dict) and not names.isdisjoint(value))
                for name, value in pairs
                if name in twice
            )
        return members

    try:
        json.loads(data.decode("utf-8-sig", "replace"), object_pairs_hook=look)
    except (ValueError, RecursionError):
        return False
    return found


def _names(tree: object) -> list[str]:
    """List the names of all members in nested objects."""
    names: list[str] = []
    left = [tree]
    for each in left:  # which grows meanwhile
        if isinstance(each, dict):
            names += each
            left += each.values()
        elif isinstance(each, list):
            left += each
    return names


@lru_cache(maxsize=256)
def _spelled(names: tuple[str, ...]) -> re.Pattern[bytes]:
    """Compile the search for names as JSON spells them; replies of one provider have the same ones."""
    return re.compile(b'"(?:%b)"' % b"|".join(re.escape(name.encode("utf-8", "replace")) for name in names))


def first(data: bytes) -> bytes | None:
    """Give the JSON value that ``data`` begins with, whatever stands behind it; None where it begins with none."""
    text = data.decode("utf-8-sig", "replace")
    try:
        end = _DECODER.raw_decode(text)[1]
    except (ValueError, RecursionError):
        return None
    return text[:end].encode("utf-8", "replace")
