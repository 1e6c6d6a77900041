"""What is asked for in words of people and programs, checked; whatever is wrong is said with the field's name."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

from proxy.errors import DirectoryError
from proxy.teams import NAME_CHARACTERS_AT_MOST

LIMITS_AT_MOST = 100  # models, providers or networks of a key
_DAYS = re.compile(r"([1-9]\d{0,4})([dh])")


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
    """Read a date, whose day is the first without the key, a moment, or days or hours from now (``90d``, ``36h``)."""
    found = _DAYS.fullmatch(text)
    try:
        if found is None:
            at = datetime.fromisoformat(text)
        else:
            unit = timedelta(days=1) if found[2] == "d" else timedelta(hours=1)
            at = now.replace(microsecond=0) + int(found[1]) * unit
        at = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{field} {text[:64]!r} is no date; write 2027-01-31, 2027-01-31T18:00+01:00, 90d or 36h"
        raise DirectoryError("invalid", field, message) from None
    if at <= now:
        raise DirectoryError("invalid", field, f"{field} {text!r} is over already")
    return at


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


def _pattern(text: str) -> str:
    if not text or not text.isprintable():
        raise DirectoryError("invalid", "models", f"models: {text[:64]!r} is no pattern; write gpt-4o*")
    return text


def _few(texts: Sequence[str], field: str) -> Sequence[str]:
    if len(texts) > LIMITS_AT_MOST:
        raise DirectoryError("invalid", field, f"{field}: {len(texts)} are too many, at most {LIMITS_AT_MOST}")
    return texts
