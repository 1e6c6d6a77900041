"""Keys that are in the configuration and were made by command or API too: what the one says, the other may not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def in_both(configured: Mapping[str, str], made: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """Find them by id or by the key itself; gives ids of the configuration and what is wrong, in words.

    ``configured`` maps ids to digests; ``made`` are pairs of the same.
    """
    by_digest = {sha256: key_id for key_id, sha256 in configured.items()}
    found: dict[str, str] = {}
    for key_id, sha256 in made:
        if key_id in configured:
            found[key_id] = f"key id `{key_id}` is in the configuration and was given by command or API too"
        elif sha256 in by_digest:
            here = by_digest[sha256]
            found[here] = f"key `{here}` of the configuration is the same key as `{key_id}`, made by command or API"
    return found
