"""``joulegate facts``: what the estimates stand on, whether it is sound, and where it is refreshed from."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

facts = typer.Typer(name="facts", help="The data behind the estimates.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ANSWER_IS_NO = 1


@facts.command("show")
def show(
    model: Annotated[
        str | None, typer.Argument(help="A model name; without it, the sources.", show_default=False)
    ] = None,
    provider: Annotated[str | None, typer.Option(help="Whose price to show.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the sources of all facts, or what is known of one model.

    \b
    joulegate facts show
    joulegate facts show gpt-4o-2024-08-06
    joulegate facts show llama-3.3-70b-versatile --provider groq --json
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    from estimator.facts import facts_version, sources
    from proxy.commands.facts_model import show_model

    if model is not None:
        show_model(model, provider, as_json=as_json)
        return
    rows = [
        {
            "id": s.id,
            "name": s.name,
            "url": s.url,
            "licence": s.licence,
            "checked": s.checked.isoformat(),
            "note": s.note,
        }
        for s in sources().values()
    ]
    if as_json:
        typer.echo(json.dumps({"facts_version": facts_version(), "sources": rows}, indent=1))
        return
    table = Table(title=f"Facts {facts_version()}", title_justify="left")
    for column in ("source", "what", "licence", "checked"):
        table.add_column(column)
    for row in rows:
        table.add_row(row["id"], row["name"], row["licence"], row["checked"])
    Console().print(table)


@facts.command("check")
def check(
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Check a price list of your own (TOML) as well.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every shipped fact: it parses, it has a source, ranges are ordered, prices are sane. Exit status 1 if not.

    \b
    joulegate facts check
    joulegate facts check --prices prices.toml
    """  # noqa: D301
    from estimator.checking import problems
    from estimator.facts import facts_version

    if prices is not None:
        from proxy.prices.own import read_price_list

        read_price_list(prices)
    found = problems()
    if as_json:
        typer.echo(json.dumps({"facts_version": facts_version(), "problems": found}, indent=1))
    else:
        for line in found:
            typer.echo(line)
        typer.echo(f"facts {facts_version()}: " + (f"{len(found)} problems" if found else "sound"))
    if found:
        raise typer.Exit(ANSWER_IS_NO)


@facts.command("import")
def import_prices(
    litellm: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="LiteLLM's price map, or the folder of its unpacked wheel; else an installed one."
        ),
    ] = None,
    write: Annotated[bool, typer.Option(help="Write the price lists; --no-write only compares.")] = True,
    as_json: AsJson = False,
) -> None:
    """Refresh the price lists from genai-prices and LiteLLM's map, and print where the two disagree.

    genai-prices leads; LiteLLM's map adds models and service tiers. Neither is imported by the service.

    \b
    joulegate facts import --no-write
    joulegate facts import --litellm unpacked/litellm
    """  # noqa: D301
    from estimator.facts import DATA
    from proxy.errors import ConfigError
    from proxy.prices.genai import genai_listings, genai_version
    from proxy.prices.listing import dated, write_list
    from proxy.prices.litellm import find_map, litellm_listings
    from proxy.prices.merging import merge

    price_map = find_map(litellm)
    if write and price_map is None:
        raise ConfigError("no LiteLLM map, whose models would be lost: unpack a wheel and name it with --litellm")
    leading = genai_listings()
    others = litellm_listings(price_map) if price_map is not None else {}
    checked = datetime.now(tz=UTC).date().isoformat()
    merged = {
        provider: merge(provider, leading.get(provider, []), others.get(provider, []))
        for provider in sorted({*leading, *others})
    }
    if write:
        for provider, joint in merged.items():
            path = DATA / "prices" / f"{provider}.json"
            write_list(path.parent, provider, dated(joint.listings, path, checked), checked)
    if as_json:
        summary = {
            provider: {
                "models": len(joint.listings),
                "agreeing": joint.agreeing,
                "added": joint.added,
                "tiers_added": joint.tiers_added,
                "disagreements": [
                    {"model": d.model, "bucket": d.bucket, "genai_prices": d.leading, "litellm": d.other}
                    for d in joint.disagreements
                ],
            }
            for provider, joint in merged.items()
        }
        typer.echo(
            json.dumps(
                {"genai_prices": genai_version(), "litellm": price_map is not None, "providers": summary}, indent=1
            )
        )
        return
    table = Table(
        title=f"Prices: genai-prices {genai_version()}" + ("" if price_map else ", no LiteLLM map"),
        title_justify="left",
    )
    for column in ("provider", "models", "both agree", "both differ", "only LiteLLM", "tiers from LiteLLM"):
        table.add_column(column, justify="left" if column == "provider" else "right")
    for provider, joint in merged.items():
        numbers = (len(joint.listings), joint.agreeing, len(joint.disagreements), joint.added, joint.tiers_added)
        table.add_row(provider, *map(str, numbers))
    console = Console()
    console.print(table)
    for joint in merged.values():
        for d in joint.disagreements:
            sys.stdout.write(f"{d.provider}/{d.model} {d.bucket}: genai-prices {d.leading}, LiteLLM {d.other} $/M\n")
