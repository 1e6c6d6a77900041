"""``joulegate calculator``: the calculator as one HTML file, which needs no server and asks nobody."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl

import typer

from proxy.calculator.asked import asked_of
from proxy.calculator.documents import one_file
from proxy.calculator.own import Own
from proxy.config import load
from proxy.errors import ConfigError


def calculator(
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the page goes; else stdout.", show_default=False)
    ] = None,
    ask: Annotated[
        str, typer.Option(metavar="QUERY", help="What it shows first: model=gpt-4o&input=500, as in its address.")
    ] = "",
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="joulegate.toml, whose prices, names, machines and meters are wanted too."),
    ] = None,
) -> None:
    """Write the calculator as one HTML file: every model, machine and grid there is, offline.

    With --config also the prices, names, machines and meters of your own, for whoever has the file to read.

    \b
    joulegate calculator --out calculator.html
    joulegate calculator --config joulegate.toml --out ours.html
    joulegate calculator --ask "model=llama-3.1-8b-instruct&gpu=H100&zone=FRA" > llama.html
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    own = None if config is None else Own.of(load(config).config, datetime.now(UTC))
    page = one_file(asked_of(dict(parse_qsl(ask)), own), own)
    if out is None:
        sys.stdout.write(page)
        return
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}") from error
