"""Asking a provider's usage and cost API, page after page, with bounds on all of it; the key is never shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from importlib import metadata
from typing import Final
from urllib.parse import urlencode

import msgspec

from proxy.errors import ConfigError
from proxy.reconciling.api import Api, Endpoint
from proxy.reconciling.pages import Page, read_pages
from proxy.reconciling.shape import StatementError

try:
    import httpx2
except ImportError:
    raise ConfigError("asking a provider needs the extra 'statements': install joulegate[statements]") from None

_MOST_PAGES: Final = 400  # a page has a day at least: more than a year of them
_MOST_BYTES: Final = 64 * 1024 * 1024  # of one page
_TIMEOUT_S: Final = 60.0  # without progress
_TRY_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
_SAID: Final = 300  # characters of what a provider says is wrong


class _Error(msgspec.Struct):
    message: str


class _Refused(msgspec.Struct):
    error: _Error


@contextmanager
def connected() -> Iterator[httpx2.Client]:
    """Give a client that says who it is, and follows no redirect: the key is for one host."""
    named = {"user-agent": f"joulegate/{metadata.version('joulegate')}"}
    with httpx2.Client(timeout=_TIMEOUT_S, headers=named, follow_redirects=False) as client:
        yield client


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """How a provider is asked: ``attempts`` for each page, with a pause that doubles or that the provider names."""

    api: Api
    key: str = field(repr=False)
    client: httpx2.Client
    attempts: int = 5
    pause_s: float = 1.0
    longest_pause_s: float = 60.0
    sleep: Callable[[float], None] = field(default=time.sleep)

    def pages(self, endpoint: Endpoint, first: date, last: date) -> Iterator[Page]:
        """Give what the provider states of days (UTC), both included; raises :class:`StatementError`."""
        question = self.api.question(endpoint, first, last)
        cursors: list[str] = []
        while True:
            try:
                page = self._page(endpoint.path, [*question, *(("page", each) for each in cursors[-1:])])
                if page.more and (page.next_page is None or page.next_page in cursors):
                    raise StatementError("it has more pages and does not say where; try again later")
                if len(cursors) == _MOST_PAGES:
                    raise StatementError(f"it has more than {_MOST_PAGES} pages; ask for fewer days")
            except StatementError as error:
                raise StatementError(f"{self.api.origin}{endpoint.path}: {error}") from None
            yield page
            if not page.more or page.next_page is None:
                return
            cursors.append(page.next_page)

    def _page(self, path: str, question: list[tuple[str, str]]) -> Page:
        pages = read_pages(self._answer(path, question))
        if len(pages) != 1:
            raise StatementError("the answer is not one page")
        return pages[0]

    def _answer(self, path: str, question: list[tuple[str, str]]) -> str:
        for attempt in range(self.attempts):
            wait = min(self.pause_s * 2**attempt, self.longest_pause_s)
            try:
                status, headers, body = self._get(path, question)
            except httpx2.HTTPError as error:
                problem = f"no answer ({type(error).__name__}): see whether this machine reaches {self.api.origin}"
            else:
                if status == 200:
                    return body.decode(errors="replace")
                problem = self._refusal(status, body)
                if status not in _TRY_AGAIN:
                    break
                wait = _asked_for(headers.get("retry-after", ""), wait)
                if wait > self.longest_pause_s:
                    problem = f"{problem}; it wants to be left alone for {wait:.0f} s: try again then"
                    break
            if attempt + 1 < self.attempts:
                self.sleep(wait)
        raise StatementError(problem)

    def _get(self, path: str, question: list[tuple[str, str]]) -> tuple[int, httpx2.Headers, bytes]:
        headers = {self.api.key_in: f"{self.api.key_prefix}{self.key}", **self.api.headers}
        body = bytearray()
        with self.client.stream("GET", f"{self.api.origin}{path}?{urlencode(question)}", headers=headers) as reply:
            for chunk in reply.iter_bytes():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise StatementError(f"the answer is longer than {_MOST_BYTES:,} bytes; ask for fewer days")
            return reply.status_code, reply.headers, bytes(body)

    def _refusal(self, status: int, body: bytes) -> str:
        """Say what to do; what the provider says of a key may quote it, so that is left out."""
        if status == 401:
            return f"status 401: the key is not accepted; an admin key is made at {self.api.keys_at}"
        if status == 403:
            return f"status 403: this key may not read usage and cost; make an admin key at {self.api.keys_at}"
        if status == 429:
            return "status 429: asked too often; try again in some minutes"
        said = _message(body).replace(self.key, "…")
        return f"status {status}{f': {said}' if said else ''}"


def _asked_for(retry_after: str, otherwise: float) -> float:
    """Give the seconds that a provider asks to be left alone for."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdecimal() else otherwise


def _message(body: bytes) -> str:
    """Give what both providers say in ``error.message``, in printable characters."""
    try:
        said = msgspec.json.decode(body, type=_Refused).error.message
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    return "".join(each for each in said[:_SAID] if each.isprintable())
