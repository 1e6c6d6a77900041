"""``joulegate estimate``: what a call would take, without making it."""

from __future__ import annotations

import contextlib
import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from estimator import Deployment, Estimate, Evidence, PriceList, Range, Speculation, Usage, resolve
from estimator import estimate as estimate_call
from estimator.equivalences import comparisons, equivalences
from estimator.errors import EstimatorError
from estimator.training import training_share
from estimator.units import JOULES_PER_WH
from proxy.calculator.asked import ACCEPTANCE, DRAFT_COST
from proxy.commands.unknown import unknown_model
from proxy.errors import ConfigError
from proxy.reports.figures import UNKNOWN, carried, digits, quantity

ANSWER_IS_NO = 1


class Method(StrEnum):
    """How energy is reckoned."""

    ROOFLINE = "roofline"
    AUDIT = "audit"


def estimate(
    model: Annotated[str | None, typer.Argument(help="A model as a request names it.", show_default=False)] = None,
    n_in: Annotated[
        int, typer.Option("--in", min=0, metavar="TOKENS", help="Input tokens, the cached ones included.")
    ] = 2000,
    n_out: Annotated[
        int, typer.Option("--out", min=0, metavar="TOKENS", help="Output tokens, reasoning included.")
    ] = 1000,
    cached: Annotated[int, typer.Option(min=0, metavar="TOKENS", help="Input tokens read from a prompt cache.")] = 0,
    zone: Annotated[
        str | None, typer.Option(help="Electricity zone (FRA, WOR) or cloud region (aws:eu-north-1).")
    ] = None,
    provider: Annotated[str | None, typer.Option(help="Who serves it: decides price, PUE and default zone.")] = None,
    method: Annotated[Method, typer.Option(help="The roofline, or the audit page's own arithmetic.")] = Method.ROOFLINE,
    service_tier: Annotated[str | None, typer.Option(help="batch, flex or priority, where priced.")] = None,
    region: Annotated[str | None, typer.Option(help="Where the provider keeps the call: eu, us.")] = None,
    prices: Annotated[
        str | None,
        typer.Option(metavar="FILE|PROVIDER", help="Prices of your own (TOML), or the provider whose list holds."),
    ] = None,
    at: Annotated[
        datetime | None, typer.Option(metavar="DATE", formats=["%Y-%m-%d"], help="Prices as of this day.")
    ] = None,
    gpu: Annotated[str | None, typer.Option(help="H100, H200, B200, A100, L40S, MI300X, TPU-v6e, …")] = None,
    n_gpus: Annotated[int | None, typer.Option(help="GPUs of one replica.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="bfloat16, fp8, int8, w8a16, mxfp4, nvfp4, int4, awq, …")
    ] = None,
    batch: Annotated[float | None, typer.Option(help="Sequences decoded together, on average.")] = None,
    draft_tokens: Annotated[int | None, typer.Option(help="Speculative decoding: tokens drafted a step.")] = None,
    acceptance: Annotated[float, typer.Option(help="Chance that a drafted token is kept.")] = ACCEPTANCE,
    draft_cost: Annotated[float, typer.Option(help="A drafted token's cost against a plain step.")] = DRAFT_COST,
    measured_joules: Annotated[
        float | None, typer.Option(help="The GPUs' joules for this call by a meter of your own (NVML).")
    ] = None,
    lifetime_tokens: Annotated[
        float | None,
        typer.Option(
            help="Also the training's CO2e, spread over so many tokens (yours to state: nobody publishes it)."
        ),
    ] = None,
    widest: Annotated[bool, typer.Option("--widest", help="A model nobody knows: the widest prior.")] = False,
    pue: Annotated[float | None, typer.Option(help="Facility energy over IT energy.")] = None,
    fit: Annotated[str | None, typer.Option(help="A dated set of constants instead of the newest: study.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Every formula with its numbers.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Estimate a table of workloads, a deployment a row.")
    ] = None,
    out_csv: Annotated[
        Path | None, typer.Option("--out-csv", metavar="FILE", help="Where the table goes; else stdout.")
    ] = None,
) -> None:
    """Estimate one call: FLOPs, joules, CO2e, water and dollars, each with its 90 % band.

    Exit status 1 if nothing is known of the model.

    \b
    joulegate estimate gpt-4o --in 2000 --out 1000
    joulegate estimate llama-3.1-8b-instruct --zone FRA --gpu H100 --n-gpus 1 --batch 64 --explain
    joulegate estimate claude-opus-4 --method audit --json
    joulegate estimate --csv workloads.csv --out-csv estimated.csv
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    try:
        if csv_file is not None:
            from proxy.commands.estimate_csv import estimate_table
            from proxy.commands.patience import patience

            with patience("estimating") if out_csv is not None else contextlib.nullcontext():
                rows, failed = estimate_table(csv_file, out_csv, zone, fit)
            if not rows:
                raise ConfigError(f"{csv_file}: no row below the header line")
            if failed:
                typer.echo(f"{failed} of {rows} rows have no estimate; the column error says why", err=True)
            if failed == rows:
                raise typer.Exit(ANSWER_IS_NO)
            return
        if model is None:
            raise ConfigError("name a model, or a table with --csv")
        if cached > n_in:
            raise ConfigError(f"--cached {cached} is more than --in {n_in}: cached tokens are part of the input")
        given = Deployment(
            gpu=gpu,
            n_gpus=n_gpus,
            precision=precision,
            batch=batch,
            speculation=Speculation(draft_tokens=draft_tokens, acceptance=acceptance, draft_cost=draft_cost)
            if draft_tokens is not None
            else None,
            pue=pue,
            fit=fit,
        )
        meter = None
        if measured_joules is not None:
            meter = Evidence(kind="measured", joules=measured_joules, scope="gpu", source="a meter of your own")
        made = estimate_call(
            Usage(input_tokens=n_in, cached_input_tokens=cached, output_tokens=n_out),
            model,
            provider=provider,
            deployment=None if given == Deployment() else given,
            zone=zone,
            at=at.replace(tzinfo=UTC) if at is not None else datetime.now(tz=UTC),
            method=method.value,
            service_tier=service_tier,
            region=region,
            price_list=_price_list(prices),
            evidence=meter,
            unknown="widest" if widest else "none",
        )
    except EstimatorError as error:
        raise ConfigError(str(error)) from error
    nothing = made.joules is None and made.cost_usd is None
    unknown = nothing and resolve(model, provider) is None
    share = _training(made, n_in + n_out, lifetime_tokens)
    if as_json:
        typer.echo(json.dumps(as_record(made) | share, indent=1))
    elif explain:
        typer.echo(made.explain())
    elif not unknown:
        _print(model, made)
    if share and not as_json and not unknown:
        grams, basis = share["training_grams_co2e"], share["training_basis"]
        typer.echo(f"training: {quantity(grams, 'g')}, not in the figures: {basis}")
    if unknown:
        typer.echo(f"{unknown_model(model)}\nWith --widest it gets the widest prior there is.", err=True)
    if nothing:
        raise typer.Exit(ANSWER_IS_NO)


def _training(made: Estimate, tokens: int, lifetime: float | None) -> dict[str, Any]:
    """Return the call's share of its model's training for JSON, where somebody says over what it is spread."""
    if lifetime is None:
        return {}
    try:
        grams, basis = training_share(made.model_id, tokens, lifetime)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return {"training_grams_co2e": grams, "training_basis": basis}


def _price_list(prices: str | None) -> PriceList | str | None:
    """Read a file of prices; a name without a dot or a slash is a provider's."""
    if prices is None or not ("." in prices or "/" in prices):
        return prices
    from proxy.prices.own import read_price_list

    return read_price_list(Path(prices))


def as_record(made: Estimate) -> dict[str, object]:
    """Return an estimate for JSON: bands as low, mid and high, dollars as text, so that no digit is lost."""

    def band(value: Range | None) -> dict[str, float] | None:
        return None if value is None else {"low": value.low, "mid": value.mid, "high": value.high}

    return {
        "model": made.model_id,
        "method": made.method,
        "tier": made.tier,
        "zone": made.zone,
        "facts_version": made.facts_version,
        "flops": band(made.flops),
        "flops_parts": [part._asdict() for part in made.flops_parts],
        "gpu_joules": band(made.gpu_joules),
        "it_joules": band(made.it_joules),
        "joules": band(made.joules),
        "prefill_joules": band(made.prefill_joules),
        "grams_co2e": band(made.grams_co2e),
        "embodied_grams_co2e": band(made.embodied_grams_co2e),
        "market_grams_co2e": band(made.market_grams_co2e),
        "liters": band(made.liters),
        "site_liters": band(made.site_liters),
        "cost_usd": None if made.cost_usd is None else f"{made.cost_usd:f}",
        "price_id": made.price_id,
        "grid_source": made.grid_source,
        "like": {name: band(found) for name, found in comparisons(joules=made.joules, grams=made.grams_co2e).items()},
        "sources": list(made.sources),
        "assumptions": list(made.assumptions),
        "reasons": made.reasons,
    }


def _print(asked: str, made: Estimate) -> None:
    title = f"{made.model_id or asked} · {made.method} · evidence: {made.tier}"
    table = Table(title=title, title_justify="left")
    table.add_column("quantity")
    for column in ("low (5 %)", "middle", "high (95 %)"):
        table.add_column(column, justify="right")
    grid = made.zone or ("page" if made.method == "audit" else None)
    rows: tuple[tuple[str, Range | None, str, float], ...] = (
        ("compute", made.flops, "FLOP", 1.0),
        ("GPU energy", made.gpu_joules, "J", 1.0),
        ("server energy", made.it_joules, "J", 1.0),
        ("facility energy", made.joules, "J", 1.0),
        ("", made.joules, "Wh", 1 / JOULES_PER_WH),
        *((("  of it prefill", made.prefill_joules, "J", 1.0),) if made.prefill_joules else ()),
        ("CO2e, operation" + (f" ({grid})" if grid else ""), made.grams_co2e, "g", 1.0),
        ("CO2e, hardware", made.embodied_grams_co2e, "g", 1.0),
        ("water", made.liters, "L", 1.0),
        *((("  of it on site", made.site_liters, "L", 1.0),) if made.site_liters else ()),
    )
    for label, value, unit, factor in rows:
        if value is None:
            table.add_row(label, "", UNKNOWN, "")
        else:
            low, mid, high = value.low * factor, value.mid * factor, value.high * factor
            table.add_row(label, *(quantity(point, unit, carried(low, mid, high)) for point in (low, mid, high)))
        if label == "compute":
            for part in made.flops_parts:
                table.add_row(f"  {part.name}", "", f"{part.share:.1%}", "")
    table.add_row("price", "", "unknown" if made.cost_usd is None else f"${made.cost_usd.normalize():f}", "")
    Console().print(table)
    if made.price_id is not None:
        sys.stdout.write(f"price: {made.price_id}\n")
    counts = comparisons(joules=made.joules, grams=made.grams_co2e)
    if counts:
        likes = ((counts[like.id], like.name) for like in equivalences() if like.id in counts)
        texts = (
            f"{digits(many.low, 2)}" + ("" if many.low == many.high else f" to {digits(many.high, 2)}") + f" {name}"
            for many, name in likes
        )
        sys.stdout.write(f"like: {', '.join(texts)}\n")
    for text in made.assumptions:
        sys.stdout.write(f"assumed: {text}\n")
    for reason in dict.fromkeys(made.reasons.values()):
        fields = ", ".join(name for name, why in made.reasons.items() if why == reason)
        sys.stdout.write(f"unknown: {fields}: {reason}\n")
    if made.sources:
        sys.stdout.write(f"sources: {', '.join(dict.fromkeys(made.sources))}\n")
    sys.stdout.write(f"facts {made.facts_version}\n")
