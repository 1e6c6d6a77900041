"""Which endpoints of a provider state usage and cost, and how they are asked; all of it is data."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib import resources
from typing import Literal

import msgspec

from proxy.errors import ConfigError


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of them; ``limit`` is the most days of a page, ``not_by`` what it does not tell apart."""

    path: str
    says: Literal["tokens", "dollars"]
    group_by: tuple[str, ...]
    limit: int
    not_by: tuple[str, ...] = ()


class Api(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider's; ``keys_at`` is where its administrators make keys for it."""

    provider: str
    origin: str
    key_in: str
    key_prefix: str = ""
    headers: dict[str, str] = {}
    start: str
    end: str
    moments: Literal["unix", "iso"]
    keys_at: str
    endpoint: tuple[Endpoint, ...]

    def question(self, endpoint: Endpoint, first: date, last: date) -> list[tuple[str, str]]:
        """Give the query for days (UTC), both included."""
        return [
            (self.start, self._moment(first)),
            (self.end, self._moment(last + timedelta(days=1))),
            ("bucket_width", "1d"),
            ("limit", str(min(endpoint.limit, (last - first).days + 1))),
            *(("group_by[]", each) for each in endpoint.group_by),
        ]

    def endpoints(self, by: Sequence[str]) -> tuple[Endpoint, ...]:
        """Give those that tell apart what is compared."""
        return tuple(each for each in self.endpoint if not set(each.not_by) & set(by))

    def left_out(self, by: Sequence[str]) -> tuple[Endpoint, ...]:
        """Give the others."""
        return tuple(each for each in self.endpoint if each not in self.endpoints(by))

    def _moment(self, day: date) -> str:
        moment = datetime.combine(day, time(), UTC)
        return str(int(moment.timestamp())) if self.moments == "unix" else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


@cache
def apis() -> dict[str, Api]:
    """Give those that are known, by the provider's name."""
    text = resources.files("proxy.data").joinpath("statements.toml").read_text(encoding="utf-8")
    return {each.provider: each for each in msgspec.convert(tomllib.loads(text)["api"], tuple[Api, ...])}


def api_of(provider: str) -> Api:
    """Find a provider's; raises :class:`ConfigError`."""
    if provider not in apis():
        known = ", ".join(apis())
        raise ConfigError(f"--fetch {provider}: choose from {known}; of others, give a file in the plain form")
    return apis()[provider]
