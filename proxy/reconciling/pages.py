"""What providers' usage and cost APIs answer with: pages of JSON, of stretches of time, of results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from proxy.reconciling.shape import StatementError, moment_of

Row = dict[str, str]
_STARTS, _ENDS = ("start_time", "starting_at"), ("end_time", "ending_at")  # OpenAI's name and Anthropic's
_OPENS = ("{", "[")
_SPACE = re.compile(r"\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer: its results as rows of text, the days (UTC) that it covers, and where the next page is."""

    rows: tuple[Row, ...]
    days: frozenset[date]
    more: bool
    next_page: str | None


def is_json(text: str) -> bool:
    """Tell whether a statement is pages of JSON and no CSV."""
    return text.lstrip().startswith(_OPENS)


def read_pages(text: str) -> list[Page]:
    """Read a page, a list of them, or several one after another; raises :class:`StatementError`."""
    return [_page(each) for value in _values(text) for each in (value if isinstance(value, list) else [value])]


def _values(text: str) -> Iterator[Any]:
    """Numbers stay the text they are: an amount that became a float would not be exact any more."""
    decoder = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
    at = 0
    while (at := _SPACE.match(text, at).end()) < len(text):  # type: ignore[union-attr]  # it matches nothing at all too
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise StatementError(f"line {error.lineno}: no JSON: {error.msg}") from None
        except RecursionError:
            raise StatementError("no statement is nested that deeply") from None
        yield value


def _page(value: Any) -> Page:
    stretches = value.get("data") if isinstance(value, dict) else None
    if not isinstance(stretches, list) or not all(map(_is_stretch, stretches)):
        raise StatementError("no answer of a usage or cost API: a page has data, and in it stretches with results")
    rows, days = [], set[date]()
    for number, stretch in enumerate(stretches, 1):
        days |= _days(stretch, f"stretch {number}")
        times = {name: each for name, each in _flat(stretch) if name in (*_STARTS, *_ENDS)}
        rows += [{**times, **dict(_flat(result))} for result in stretch["results"]]
    following = value.get("next_page")
    return Page(
        rows=tuple(rows),
        days=frozenset(days),
        more=value.get("has_more") is True,
        next_page=following if isinstance(following, str) and following else None,
    )


def _is_stretch(value: Any) -> bool:
    results = value.get("results") if isinstance(value, dict) else None
    return isinstance(results, list) and all(isinstance(each, dict) for each in results)


def _days(stretch: Mapping[str, Any], where: str) -> set[date]:
    """Give the first and the last day; the end itself is not part of it."""
    start, end = (next((stretch[name] for name in names if stretch.get(name)), None) for names in (_STARTS, _ENDS))
    first = moment_of(str(start), where)
    last = first if end is None else moment_of(str(end), where) - timedelta(microseconds=1)
    return {first.date(), max(first, last).date()}


def _flat(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Give what stands in an object by its path, such as ``amount.value``; what is null is empty."""
    for name, each in value.items():
        if isinstance(each, dict):
            yield from _flat(each, f"{above}{name}.")
        elif not isinstance(each, list):
            yield f"{above}{name}", "" if each is None else str(each)
