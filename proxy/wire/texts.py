"""Strings at fixed places of a JSON tree, for counting where no usage came."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from proxy.wire.canon import Path, at
from proxy.wire.lenient import loads
from proxy.wire.openai import PROMPT_LIMIT


def strings(tree: object, path: Path) -> Iterator[str]:
    """Give the strings at ``path``; of a list on the way every element is followed."""
    if isinstance(tree, list):
        for each in tree:
            yield from strings(each, path)
    elif not path:
        if isinstance(tree, str):
            yield tree
    elif isinstance(tree, dict):
        yield from strings(tree.get(path[0]), path[1:])


def prompt(body: bytes, places: Iterable[Path], described: Iterable[Path] = ()) -> str:
    """Give the text of a request: the strings at ``places`` and, as JSON, what is ``described`` (tools)."""
    tree = loads(body)
    pieces = [text for path in places for text in strings(tree, path)]
    for path in described:
        value = at(tree, path)
        if value:
            pieces.append(json.dumps(value, separators=(",", ":")))
    return "\n".join(pieces)[:PROMPT_LIMIT].encode("utf-8", "replace").decode()
