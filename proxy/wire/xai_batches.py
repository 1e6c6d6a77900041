"""xAI's batches: the results alone state what each answer used, a page of them at a time.

They are counted once, by whichever call shows a page first, under the id of the page's first answer, as usage lines,
one for each model: the batch itself states money, no tokens.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from proxy.wire.canon import CHAT, RESPONSES, at, error_code, label, normal
from proxy.wire.lenient import Lenient
from proxy.wire.other import Other
from proxy.wire.reply import Framing, Reply
from proxy.wire.sums import Sums
from proxy.wire.surface import Headers, Way
from proxy.wire.values import Elements

_ARRAY = re.compile(rb'"results"\s{0,16}:\s{0,16}\[')


class _Result(msgspec.Struct, gc=False):
    batch_result: Any = None
    error: Any = None


_RESULT = Lenient(_Result, _Result)


class ResultsReader(Reply):
    """Adds up the usage of a page of results by model."""

    places = CHAT

    def __init__(self) -> None:
        super().__init__()
        self._sums = Sums()
        self._elements = Elements(_ARRAY)

    def framing(self, head: bytes) -> Framing | None:
        """Take each result by itself."""
        return self._elements if head[:1] == b"{" else None

    def event(self, data: bytes) -> None:
        """Read one result, or a reply without any."""
        result = _RESULT.decode(data)
        if result is None:
            self.flags["event.malformed"] = None
            return
        if not self._elements.found:
            self.error = error_code(result.error)
            return
        response = at(result.batch_result, ("response",))
        for name, places in (("chat_get_completion", CHAT), ("responses", RESPONSES)):
            answer = at(response, (name,))
            usage = at(answer, ("usage",))
            if not isinstance(usage, dict):
                continue
            self.counted_as = self.counted_as or label(at(answer, ("id",)))
            model = label(at(answer, ("model",)))
            stated, flags = normal(usage, places, model=model)
            self.flags.update(dict.fromkeys(flags))
            if stated is not None:
                self._sums.add("batch", model, stated)

    def document(self, body: bytes) -> bool:
        """Read an array, which only an error is."""
        return self.array(body)

    def ended(self) -> None:
        """Give one line for each model."""
        self.lines = self._sums.lines()
        if self.lines:
            self.service_tier = "batch"


class Results(Other):
    """GET batches/{id}/results."""

    name = "xai.batch_results"

    def reader(self, headers: Headers = (), status: int = 200) -> ResultsReader:
        """Make the reader for one reply."""
        return ResultsReader()


WAYS = (Way("GET", "batches/*/results", Results()),)
