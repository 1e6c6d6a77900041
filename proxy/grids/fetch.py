"""One GET of JSON with a deadline, a bounded number of attempts, and errors that never show a token."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.errors import ConfigError

try:
    import httpx2
except ImportError:
    raise ConfigError("grid intensity by the hour needs the extra 'grids': install joulegate[grids]") from None

_TRY_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class GridSourceError(Exception):
    """A source of grid intensity did not answer, or not the question; the annual figure stands in."""


class NoFigureError(GridSourceError):
    """The source answers, but has nothing for this zone or hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """How a source is asked: ``attempts`` in all, with a pause that doubles between them."""

    client: httpx2.Client
    attempts: int = 3
    pause_s: float = 0.5
    longest_pause_s: float = 5.0
    sleep: Callable[[float], None] = field(default=time.sleep)

    def json(
        self,
        url: str,
        *,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        login: tuple[str, str] | None = None,
    ) -> Any:
        """Return the decoded body of a 200.

        Raises:
            GridSourceError: after the last attempt, or at once where another attempt would change nothing.

        """
        problem, missing = "", False
        for attempt in range(self.attempts):
            wait = min(self.pause_s * 2**attempt, self.longest_pause_s)
            try:
                reply = self.client.get(url, params=parameters, headers=headers, auth=login)
            except httpx2.HTTPError as error:
                problem = type(error).__name__
            else:
                if reply.status_code == 200:
                    return _decoded(url, reply)
                problem = f"status {reply.status_code}"
                missing = reply.status_code == 404
                if reply.status_code not in _TRY_AGAIN:
                    break
                asked = reply.headers.get("retry-after", "")
                if asked.isdecimal():
                    wait = float(asked)
                if wait > self.longest_pause_s:  # sooner than it asks for would make it worse
                    break
            if attempt + 1 < self.attempts:
                self.sleep(wait)
        raise (NoFigureError if missing else GridSourceError)(f"{url}: {problem}")


def _decoded(url: str, reply: httpx2.Response) -> Any:
    try:
        return reply.json()
    except ValueError:
        raise GridSourceError(f"{url}: the answer is no JSON") from None


def make_client(timeout_s: float = 5.0) -> httpx2.Client:
    """Return a client that gives up after ``timeout_s`` seconds without progress.

    Raises:
        ConfigError: the time is not positive.

    """
    if timeout_s <= 0:
        raise ConfigError(f"a timeout is a positive number of seconds, not {timeout_s}")
    return httpx2.Client(timeout=timeout_s, follow_redirects=False)
