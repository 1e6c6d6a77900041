"""Who may use the console: whoever has one of its tokens; where there is none, whoever reaches it.

A browser gives a token once and has a session from then on: a cookie that says whose it is and until when, signed with
a key made of that token. So nothing is kept here, a restart ends no session, and another token ends all of its own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

SESSION_S = 12 * 3600.0
FAILURES_AT_MOST = 10  # of one address, within…
FAILURES_WITHIN_S = 60.0  # …so many seconds; then it waits until they are over
_KEPT_AT_MOST = 10_000  # addresses, and sessions that were ended before their time


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie says, once its signature was found good."""

    name: str  # of the token
    ends_at: float  # seconds since the Unix epoch
    number: str  # random


class Access:
    """The tokens of a console by their names, and what follows from them; for one thread."""

    def __init__(self, tokens: Mapping[str, bytes], *, clock: Callable[[], float] = time.time) -> None:
        """Prepare; ``clock`` gives seconds since the Unix epoch."""
        self._digests = {name: hashlib.sha256(token).digest() for name, token in tokens.items()}
        self._signing = {
            name: hmac.digest(token, b"joulegate console session", "sha256") for name, token in tokens.items()
        }
        self._clock = clock
        self._for_all = secrets.token_hex(32)
        self._failures: OrderedDict[str, list[float]] = OrderedDict()
        self._ended: OrderedDict[str, float] = OrderedDict()

    @property
    def required(self) -> bool:
        """Whether there is a token, so that it is needed."""
        return bool(self._digests)

    def by_token(self, token: bytes) -> str | None:
        """Give the name of a token; the time it takes says nothing about any."""
        given = hashlib.sha256(token).digest()
        found = [name for name, digest in self._digests.items() if hmac.compare_digest(given, digest)]
        return found[0] if found else None

    def begin(self, name: str) -> str:
        """Begin a session for who has shown a token; gives the cookie's value."""
        session = (name, self._clock() + SESSION_S, secrets.token_hex(16))
        said = base64.urlsafe_b64encode(msgspec.json.encode(session)).decode().rstrip("=")  # which a cookie would quote
        return f"{said}.{self._signed(name, said)}"

    def session(self, cookie: str) -> Session | None:
        """Read a cookie; ``None`` where it is none of ours, over or ended."""
        said, _, signature = cookie.partition(".")
        try:
            session = Session(
                *msgspec.json.decode(
                    base64.urlsafe_b64decode(said + "=" * (-len(said) % 4)), type=tuple[str, float, str]
                )
            )
        except (msgspec.MsgspecError, binascii.Error, ValueError):
            return None
        if session.name not in self._signing or not signature.isascii():
            return None
        good = hmac.compare_digest(self._signed(session.name, said), signature)
        over = session.ends_at <= self._clock() or session.number in self._ended
        return session if good and not over else None

    def end(self, session: Session) -> None:
        """End a session before its time."""
        self._ended[session.number] = session.ends_at
        while self._ended and (len(self._ended) > _KEPT_AT_MOST or next(iter(self._ended.values())) <= self._clock()):
            self._ended.popitem(last=False)

    def form_token(self, session: Session | None) -> str:
        """Give what a form must send along: a page of another site does not know it.

        Without a session, where no token is needed or it came in a header, it is good until the console ends.
        """
        return self._for_all if session is None else self._signed(session.name, f"form {session.number}")

    def wait_s(self, address: str) -> float:
        """Say for how long an address may not try another token, in seconds; 0: it may."""
        tried = self._recent(address)
        return 0.0 if len(tried) < FAILURES_AT_MOST else max(0.0, tried[0] + FAILURES_WITHIN_S - self._clock())

    def failed(self, address: str) -> None:
        """Note that a wrong token came from an address."""
        self._failures[address] = [*self._recent(address), self._clock()][-FAILURES_AT_MOST:]
        self._failures.move_to_end(address)
        if len(self._failures) > _KEPT_AT_MOST:
            self._failures.popitem(last=False)

    def _recent(self, address: str) -> list[float]:
        since = self._clock() - FAILURES_WITHIN_S
        return [at for at in self._failures.get(address, ()) if at > since]

    def _signed(self, name: str, text: str) -> str:
        return hmac.new(self._signing[name], text.encode(), "sha256").hexdigest()
