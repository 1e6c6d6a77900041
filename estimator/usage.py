"""What a call consumed, in the normal form every provider's statement is brought into."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts of one call; ``None`` means the provider said nothing, never zero.

    ``input_tokens`` is all the model read, so it includes the cached, written, audio and image
    tokens; ``output_tokens`` is all it generated, reasoning included.
    """

    input_tokens: int | None = None
    cached_input_tokens: int | None = None  # ⊂ input: read from a prompt cache
    cache_write_tokens: int | None = None  # ⊂ input: written to a prompt cache
    audio_input_tokens: int | None = None  # ⊂ input
    image_input_tokens: int | None = None  # ⊂ input
    output_tokens: int | None = None
    reasoning_tokens: int | None = None  # ⊂ output
    audio_output_tokens: int | None = None  # ⊂ output
    image_output_tokens: int | None = None  # ⊂ output
    units: dict[str, float] = field(default_factory=dict)  # billed things that are not tokens: searches, seconds, …


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageLine:
    """What a call consumed beside its own :class:`Usage`: compaction, an advisor, another model it fell back to."""

    kind: str  # the provider's word for it: "compaction", "advisor_message", …
    model: str | None = None  # None: the call's own model
    usage: Usage
    calls: int = 1  # whose sum it is: a batch's results, of one model
