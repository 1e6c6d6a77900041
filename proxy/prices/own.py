"""Read a price list of one's own from TOML, every number an exact decimal."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path

from estimator import PriceList, price_list
from estimator.errors import PriceListError
from proxy.errors import ConfigError


def read_price_list(path: Path) -> PriceList:
    """Return the price list of a file.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or says something impossible; it names the file and the row.

    """
    try:
        with path.open("rb") as file:
            table = tomllib.load(file, parse_float=Decimal)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    try:
        return price_list(table)
    except PriceListError as error:
        raise ConfigError(f"{path}: {error}") from None
