"""OpenAI legacy completions: the usage of chat, the text in ``choices[].text``; also fill-in-the-middle."""

from __future__ import annotations

import msgspec

from proxy.wire.lenient import loads
from proxy.wire.openai_chat import Chat
from proxy.wire.surface import Asked, Way


class Completions(Chat):
    """POST /v1/completions."""

    name = "openai.completions"

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request; several prompts in one call have the limit each."""
        asked = super().asked(body, path)
        if asked.output_limit is None:
            return asked
        tree = loads(body)
        prompt = tree.get("prompt") if isinstance(tree, dict) else None
        if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
            return msgspec.structs.replace(asked, output_limit=asked.output_limit * len(prompt))
        return asked


WAYS = (Way("POST", "completions", Completions()),)
