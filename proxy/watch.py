"""Noticing that a client has gone, also while its provider is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from proxy.upstream import Exchange


class Watch:
    """Waits for a client's disconnection while its reply is on the way; lets the reply run on or stops it."""

    __slots__ = ("_exchange", "_gone", "_receive", "_task", "_timer")

    def __init__(self, exchange: Exchange, gone: Callable[[], float | None]) -> None:
        """``gone`` hears of the disconnection and says for how many seconds the reply may run on; None: not at all."""
        self._exchange = exchange
        self._gone = gone
        self._receive: Callable[[], Awaitable[MutableMapping[str, Any]]] | None = None
        self._task: asyncio.Future[MutableMapping[str, Any]] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self, receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> None:
        """Begin once the request has been received to its end."""
        self._receive = receive
        self._exchange.when_sent(self._listen)

    def stop(self) -> None:
        """Watch no longer."""
        self._receive = None
        if self._task is not None:
            self._task.remove_done_callback(self._heard)
            self._task.cancel()
        if self._timer is not None:
            self._timer.cancel()

    def _listen(self) -> None:
        if self._receive is not None:
            self._task = asyncio.ensure_future(self._receive())
            self._task.add_done_callback(self._heard)

    def _heard(self, task: asyncio.Future[MutableMapping[str, Any]]) -> None:
        if task.cancelled() or task.exception() is not None:
            return
        if task.result()["type"] != "http.disconnect":
            self._listen()  # the empty body of a request that has none
            return
        runs_on_s = self._gone()
        if runs_on_s is None:
            self._exchange.abort()
        else:
            self._timer = asyncio.get_running_loop().call_later(runs_on_s, self._exchange.abort)
