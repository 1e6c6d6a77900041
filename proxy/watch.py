"""Noticing that a client has gone, also while its provider is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy.client import Client
from proxy.upstream import Exchange


class Watch:
    """Hears of a client's leaving while its reply is on the way; lets the reply run on or stops it."""

    __slots__ = ("_client", "_exchange", "_gone", "_stopped", "_timer")

    def __init__(self, client: Client, exchange: Exchange, gone: Callable[[], float | None]) -> None:
        """``gone`` hears of the leaving and says for how many seconds the reply may run on; None: not at all."""
        self._client = client
        self._exchange = exchange
        self._gone = gone
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def start(self) -> None:
        """Begin once the request has been received to its end."""
        self._exchange.when_sent(self._listen)

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped = True
        self._client.when_gone(None)
        if self._timer is not None:
            self._timer.cancel()

    def _listen(self) -> None:
        if not self._stopped:
            self._client.when_gone(self._left)

    def _left(self) -> None:
        runs_on_s = self._gone()
        if runs_on_s is None:
            self._exchange.abort()
        else:
            self._timer = asyncio.get_running_loop().call_later(runs_on_s, self._exchange.abort)
