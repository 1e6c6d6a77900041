"""Any path no format is known for: forwarded as it is, counted as a call without usage."""

from __future__ import annotations

from proxy.wire import openai
from proxy.wire.surface import Asked, Headers, Reading, UsageReader


class UnreadReply:
    """Reads nothing: what the reply means is not known."""

    started = False
    finished = False

    def feed(self, data: bytes) -> None:
        """Let the bytes go."""

    def close(self) -> Reading:
        """Say that nothing was read."""
        return Reading()


class Other:
    """A path of unknown meaning."""

    name = "other"
    metered = False

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Give the model where the body names one as most formats do; a body of any kind is no problem."""
        read = openai.asked(body) if body.lstrip()[:1] == b"{" else Asked()
        return Asked(model=read.model, stream=read.stream)

    def prepare(self, body: bytes, *, model: str | None, ask_for_usage: bool) -> bytes:
        """Give ``body`` with the name of its model replaced where there is one."""
        return openai.prepare(body, model=model, ask_for_usage=False)

    def reader(self, headers: Headers = (), status: int = 200) -> UsageReader:
        """Make a reader that reads nothing."""
        return UnreadReply()

    def stripper(self) -> None:
        """Give None: nothing is added to such a reply."""

    def prompt_text(self, body: bytes) -> str:
        """Give nothing to count."""
        return ""

    def error(self, status: int, code: str, message: str) -> bytes:
        """Give the body of an error of ours in OpenAI's shape."""
        return openai.error(status, code, message)
