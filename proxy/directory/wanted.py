"""What is asked for in words of people and programs, checked; whatever is wrong is said with the field's name."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

from proxy.errors import DirectoryError
from proxy.teams import NAME_CHARACTERS_AT_MOST

LIMITS_AT_MOST = 100  # models, providers or networks of a key
_FROM_NOW = re.compile(r"([1-9]\d{0,4})([dhm])")
_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}


def name(text: str, field: str) -> str:
    """Check a name that is made by people; raises :class:`DirectoryError`."""
    if not text or text != text.strip() or not text.isprintable() or len(text) > NAME_CHARACTERS_AT_MOST or "/" in text:
        shown = text[:NAME_CHARACTERS_AT_MOST]
        raise DirectoryError(
            "invalid",
            field,
            f"{field} {shown!r}: give 1 to {NAME_CHARACTERS_AT_MOST} printable characters without `/`,"
            " and none that is blank at either end",
        )
    return text


def moment(text: str, now: datetime, field: str) -> datetime:
    """Read a date, whose day is the first without the key, a moment, or a time from now (``90d``, ``36h``, ``30m``)."""
    found = _FROM_NOW.fullmatch(text)
    try:
        at = datetime.fromisoformat(text) if found is None else now.replace(microsecond=0) + _time(found)
        at = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{field} {text[:64]!r} is no date; write 2027-01-31, 2027-01-31T18:00+01:00, 90d or 36h"
        raise DirectoryError("invalid", field, message) from None
    if at <= now:
        raise DirectoryError("invalid", field, f"{field} {text!r} is over already")
    return at


def duration(text: str, field: str) -> timedelta:
    """Read a time (``7d``, ``36h``, ``30m``, ``0``)."""
    found = _FROM_NOW.fullmatch(text)
    if found is None and text != "0":
        raise DirectoryError("invalid", field, f"{field} {text[:64]!r} is no time; write 7d, 36h, 30m or 0")
    return timedelta(0) if found is None else _time(found)


def networks(texts: Sequence[str]) -> tuple[str, ...]:
    """Check addresses that a key may be used from."""
    found = []
    for text in _few(texts, "networks"):
        try:
            found.append(str(ip_network(text)))
        except ValueError as error:
            message = f"networks: {error}; write 10.0.0.0/8 or 2001:db8::/32"
            raise DirectoryError("invalid", "networks", message) from None
    return tuple(found)


def models(texts: Sequence[str]) -> tuple[str, ...]:
    """Check the patterns of model names that a key may be used for."""
    return tuple(_pattern(text) for text in _few(texts, "models"))


def providers(texts: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    """Check the providers that a key may be used for."""
    for text in _few(texts, "providers"):
        if text not in known:
            message = f"providers: there is no {text[:64]!r}; known are {', '.join(sorted(known))}"
            raise DirectoryError("invalid", "providers", message)
    return tuple(texts)


def _time(found: re.Match[str]) -> timedelta:
    return int(found[1]) * _UNITS[found[2]]


def _pattern(text: str) -> str:
    if not text or not text.isprintable():
        raise DirectoryError("invalid", "models", f"models: {text[:64]!r} is no pattern; write gpt-4o*")
    return text


def _few(texts: Sequence[str], field: str) -> Sequence[str]:
    if len(texts) > LIMITS_AT_MOST:
        raise DirectoryError("invalid", field, f"{field}: {len(texts)} are too many, at most {LIMITS_AT_MOST}")
    return texts
