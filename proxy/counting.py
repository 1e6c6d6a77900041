"""Counting tokens ourselves, where a provider said nothing: with its tokenizer if that is on disk, else by characters.

tiktoken downloads its encodings on first use; the gate must not. It is used only where the files lie
already: in the folder that ``TIKTOKEN_CACHE_DIR`` names. A count of ours is a fallback and is marked as one
(``counted`` with a tokenizer, ``inferred`` by characters).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CHARACTERS_PER_TOKEN = 4.0  # English prose; OpenAI's help centre: "1 token ~= 4 chars in English"
TOKENIZED_CHARACTERS_AT_MOST = 32 * 1024  # about 5 ms of work; longer texts are scaled up from here
_ENCODINGS = {  # tiktoken's encoding → the address whose SHA-1 names the file in its cache
    "o200k_base": "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
    "cl100k_base": "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
}


@dataclass(frozen=True, slots=True)
class Count:
    """A number of tokens and how it was come by."""

    tokens: int
    source: Literal["counted", "inferred"]


Counter = Callable[[str, int], Count]  # (text, characters of the whole text) → Count


def by_characters(text: str, characters: int) -> Count:
    """Infer from the number of characters; at least one token for any text."""
    return Count(max(1, round(characters / CHARACTERS_PER_TOKEN)) if characters else 0, "inferred")


def find_counter(cache: str | None = None) -> Counter:
    """Give the best counter this machine has without a download. Takes a second when it loads an encoding."""
    folder = cache if cache is not None else os.environ.get("TIKTOKEN_CACHE_DIR", "")
    for encoding, address in _ENCODINGS.items():
        name = hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()
        if folder and (Path(folder) / name).is_file():
            try:
                return _tokenizer(encoding)
            except ImportError:
                break
    return by_characters


def _tokenizer(encoding: str) -> Counter:
    import tiktoken

    encode = tiktoken.get_encoding(encoding).encode_ordinary

    def count(text: str, characters: int) -> Count:
        head = text[:TOKENIZED_CHARACTERS_AT_MOST]
        if not head:
            return by_characters(text, characters)
        return Count(round(len(encode(head)) * max(characters, len(head)) / len(head)), "counted")

    return count
