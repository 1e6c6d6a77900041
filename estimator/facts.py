"""The shipped data files: where they are, which version they are, where each number comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from estimator.errors import FactsError

DATA = Path(__file__).parent / "data"


class Source(NamedTuple):
    """Where numbers come from, under which licence, and when somebody last looked."""

    id: str
    name: str
    url: str
    licence: str
    checked: date
    note: str = ""


def read_json(name: str) -> Any:
    """Parse one JSON data file.

    Raises:
        FactsError: the file is missing or is not JSON.

    """
    try:
        return json.loads((DATA / name).read_bytes())
    except (OSError, ValueError) as error:
        msg = f"data file {name} cannot be read: {error}"
        raise FactsError(msg) from error


def read_toml(name: str) -> dict[str, Any]:
    """Parse one TOML data file.

    Raises:
        FactsError: the file is missing or is not TOML.

    """
    import tomllib  # with its patterns a tenth of the library's import, and needed with the first estimate alone

    try:
        return tomllib.loads((DATA / name).read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        msg = f"data file {name} cannot be read: {error}"
        raise FactsError(msg) from error


def data_files() -> Iterator[Path]:
    """Yield every data file in a fixed order."""
    yield from sorted(path for path in DATA.rglob("*") if path.suffix in {".json", ".toml"})


@cache
def facts_version() -> str:
    """Return 12 hex digits that change whenever any shipped number changes."""
    from hashlib import sha256  # as tomllib above

    digest = sha256()
    for path in data_files():
        digest.update(path.relative_to(DATA).as_posix().encode())
        digest.update(b"\0")
        digest.update(path.read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()[:12]


@cache
def sources() -> dict[str, Source]:
    """Return every source by its id."""
    return {key: Source(id=key, **row) for key, row in read_toml("sources.toml").items()}
