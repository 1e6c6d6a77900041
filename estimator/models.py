"""Model cards: what is known of a model's size and shape, and which card a name in the traffic means."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any, Final, Literal

from estimator.errors import CardError
from estimator.facts import DATA, read_json
from estimator.price_class import ListPrice, sizes

Kind = Literal["dense", "moe", "hybrid", "embedding", "undisclosed"]
Weights = Literal["open", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Architecture:
    """The shape of a decoder, as far as energy depends on it; counts, not billions.

    ``kv_elements`` are the K and V elements kept per layer and token: ``2·kv_heads·head_dim``, or the
    compressed latent of multi-head latent attention.
    """

    total_params: float
    active_params: float
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    kv_elements: int
    hidden: int | None = None
    ffn: int | None = None
    vocab: int | None = None
    experts: int = 0
    experts_active: int = 0
    full_layers: int = 0  # layers whose attention sees the whole context
    window_layers: int = 0
    window: int = 0  # tokens a sliding-window layer sees
    state_bytes: float = 0.0  # recurrent state read and written per token
    query_rank: int = 0  # latent attention whose queries alone go through a low rank: one K and V for all heads
    output_params: float = 0.0  # of the output projection of a layer, where it is no full matrix

    @property
    def latent_attention(self) -> bool:
        """Whether K and V are kept compressed, so tensor parallelism copies instead of splitting them."""
        return self.kv_elements != 2 * self.kv_heads * self.head_dim


_FEWEST: Final = 1e5  # parameters of a model: fewer are a slip of the unit


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelCard:
    """One model: parameters as (low, high) counts, a shape where it is public, and the source of both."""

    id: str
    maker: str
    kind: Kind
    weights: Weights
    total_params: tuple[float, float] | None
    active_params: tuple[float, float] | None
    architecture: Architecture | None = None
    precision: str | None = None  # of the published checkpoint
    source: str = "user"
    verified_by: str | None = None  # source that holds a copy of the published configuration with this shape
    list_price: ListPrice | None = None  # what the size was judged by, where nobody published one
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for given in (self.total_params, self.active_params):
            if given is not None and not (len(given) == 2 and _FEWEST <= given[0] <= given[1] < math.inf):
                msg = f"{self.id}: parameters are (low, high) counts, not billions, the low one first: not {given}"
                raise CardError(msg)
        if self.total_params is not None and (self.active_params or (0.0, 0.0))[1] > self.total_params[1] * 1.0001:
            msg = f"{self.id}: active parameters are a part of all: {self.active_params} of {self.total_params}"
            raise CardError(msg)

    @property
    def verified(self) -> bool:
        """Whether the shape was checked against a copy of the published configuration."""
        return self.verified_by is not None


# Whatever a model could be: from a phone's to the largest anybody has estimated (GPT-5.5 pro in EcoLogits 0.11.3).
WIDEST: Final = ModelCard(
    id="unknown",
    maker="",
    kind="moe",
    weights="closed",
    total_params=(1e9, 5.4e12),
    active_params=(1e9, 1.8e12),
    source="none",
)


def surrogate(total_params: float, active_params: float, kind: Kind) -> Architecture:
    """Guess a shape from parameter counts alone: log-linear in size, grouped-query attention with 8 × 128.

    Layers and query width are least-squares fits of their logarithms against active parameters over
    58 open checkpoints; experts are 128, how many are active follows from the active share. The vocabulary is
    the median of the shipped shapes and matters for showing the parts alone.
    """
    size = math.log(active_params / 1e9)
    count = max(1, round(math.exp(3.0108 + 0.3124 * size)))
    width = math.exp(7.6375 + 0.3552 * size)
    experts = 128 if kind == "moe" and active_params < total_params else 0
    return Architecture(
        total_params=total_params,
        active_params=active_params,
        layers=count,
        heads=max(1, round(width / 128)),
        kv_heads=8,
        head_dim=128,
        kv_elements=2 * 8 * 128,
        vocab=151_936,
        experts=experts,
        experts_active=max(1, round(experts * active_params / total_params)) if experts else 0,
        full_layers=count,
    )


# What stands around a model's own name: path prefixes, cloud vendors, dates, quantisation and routing tags.
# Patterns as text: re compiles and keeps them at the first name asked for; every import would pay for it.
_PATHS: Final = ("models/", "publishers/", "accounts/", "inference-profile/", "tunedmodels/")
_REGION: Final = r"^(?:us|eu|apac|global|regional|jp|au|us-gov|ca|sa)\.(?=[a-z0-9-]+\.)"
_VENDOR: Final = (
    r"^(?:anthropic|meta|mistral|cohere|amazon|ai21|openai|qwen|google|nvidia|moonshot(?:ai)?|zai|xai|minimax)\.(?=[a-z])"
    r"|^(?:databricks|fw|cohere|zai)-(?=[a-z])|^deepseek\.(?=deepseek)"
)
_SUFFIXES: Final = (
    r"[:@](?:free|beta|nitro|floor|extended|thinking|online|exacto|latest|default|batch)$",
    r"-(?:bf16|fp16|fp8|fp4|nvfp4|mxfp4|int8|int4|w8a8|w4a16|awq|gptq|gguf|mlx|4bit|8bit|bnb-4bit)(?:-(?:fast|dynamic|kv|block))?$",
    r"-(?:quantized\.\w+|qat|cloud)$",
    r"-i?q\d(?:_[a-z0-9]+)*$",
    r":\d+k$",
    r"(?:\.ft)?-$",
    r":\d+$",
    r"-v\d+$",
    r"@\d{8}$",
    r"[-@]20\d\d-\d\d-\d\d$",
    r"-20\d{6}$",
    r"-(?:0[1-9]|1[0-2])-(?:20\d\d|\d\d)$",
    r"-\d{4}$",
    r"-0\d\d$",
    r"-(?:latest|preview|beta|exp|experimental|maas|turbo|fast|hf|it|instruct|chat|versatile|instant|specdec)$",
    r"-(?:us|highspeed|ultrafast|prime)$",
    r"-(?:non-)?reasoning$",
)
# One family written in several ways: llama3.1-70b, llama-v3p1-70b and meta-llama-3.1-70b; qwen-2.5-7b and qwen2p5-7b.
_FAMILIES: Final = (
    (r"(?<=\d)p(?=\d)", "."),
    (r"^(?:meta-)?llama-?v?(?=\d)", "llama-"),
    (r"^llama-(\d)[-_](\d)(?=-)", r"llama-\1.\2"),
    (r"(?<=-v\d)_(?=\d)", "."),
    (r"^code-llama", "codellama"),
    (r"^deepseek\.(?=[vr]\d)", "deepseek-"),
    (r"^(deepseek-v|kimi-k|glm-)(\d)-(\d)(?=-|$)", r"\1\2.\3"),
    (r"^qwen-?v?(?=\d)", "qwen"),
    (r"^gemma-?(?=\d)", "gemma-"),
    (r"^nvidia-(?=nemotron)", ""),
    (r":(?=\d+(?:\.\d+)?b(?:-|$))", "-"),
    (r"^grok-(\d)-(\d\d?)(?=-|$)", r"grok-\1.\2"),
)
# How the weights are kept, where a name says so: llama-3.3-70b-instruct-awq, qwen3:8b-q4_K_M.
_KEPT_AS: Final = {
    "bfloat16": ("bf16", "fp16"),
    "fp8": ("fp8",),
    "int8": ("int8", "w8a8"),
    "w8a16": ("8bit", "q8"),
    "mxfp4": ("mxfp4",),
    "nvfp4": ("nvfp4", "fp4"),
    "int4": ("int4", "w4a16", "awq", "gptq", "4bit", "q4"),
}
_KEPT: Final = {tag: precision for precision, tags in _KEPT_AS.items() for tag in tags}
_TAG: Final = rf"(?<![a-z0-9])({'|'.join(_KEPT)})(?:_[a-z0-9_]+)?(?![a-z0-9])"


@cache
def _index() -> dict[str, ModelCard]:
    index: dict[str, ModelCard] = {}
    for path in sorted((DATA / "models").glob("*.json")):
        table = read_json(f"models/{path.name}")
        for row in table["models"]:
            card = _card(row, table["maker"])
            for name in (card.id, *card.aliases):
                index.setdefault(name, card)
    return index


def _card(row: dict[str, Any], maker: str) -> ModelCard:
    def billions(value: float | list[float] | None) -> tuple[float, float] | None:
        if value is None:
            return None
        low, high = value if isinstance(value, list) else (value, value)
        return low * 1e9, high * 1e9

    priced = None
    if "priced" in row:
        priced = ListPrice(row["priced"]["usd_out"], row["priced"]["seller"], row["priced"]["day"])
        row = {**row, **dict(zip(("total_b", "active_b"), map(list, sizes(priced.usd_out)), strict=True))}
    total, active = billions(row.get("total_b")), billions(row.get("active_b"))
    shape = None
    if "layers" in row and total and active:
        shape = Architecture(
            total_params=total[0],
            active_params=active[0],
            layers=row["layers"],
            heads=row["heads"],
            kv_heads=row["kv_heads"],
            head_dim=row["head_dim"],
            kv_elements=row.get("kv_elements", 2 * row["kv_heads"] * row["head_dim"]),
            hidden=row.get("hidden"),
            ffn=row.get("ffn"),
            vocab=row.get("vocab"),
            experts=row.get("experts", 0),
            experts_active=row.get("experts_active", 0),
            full_layers=row.get("full_layers", row["layers"] - row.get("window_layers", 0)),
            window_layers=row.get("window_layers", 0),
            window=row.get("window", 0),
            state_bytes=row.get("state_bytes", 0.0),
            query_rank=row.get("query_rank", 0),
            output_params=row.get("output_params", 0.0),
        )
    verified = row.get("verified", "no")
    return ModelCard(
        id=row["id"],
        maker=maker,
        kind=row["kind"],
        weights=row["weights"],
        total_params=total,
        active_params=active,
        architecture=shape,
        precision=row.get("precision"),
        source=row["source"],
        verified_by=None if verified == "no" else verified,
        list_price=priced,
        aliases=tuple(row.get("aliases", ())),
    )


@cache
def known_models() -> frozenset[str]:
    """Return the ids of every shipped card: a closed set, fit for metric labels."""
    return frozenset(card.id for card in _index().values())


def spellings(name: str, provider: str | None) -> list[str]:
    """List the names a name could stand for, most literal first."""
    text = name.strip().lower()
    if provider is not None:
        text = text.removeprefix(f"{provider}/")
    if text.startswith("ft:"):  # ft:base:organisation::id
        text = text.split(":")[1]
    found = [text]
    for prefix in _PATHS:
        if text.startswith(prefix):
            text = text.removeprefix(prefix)
            found.append(text)
    if "/" in text:
        text = text.rsplit("/", 1)[1]
        found.append(text)
    for pattern in (_REGION, _VENDOR):
        shorter = re.sub(pattern, "", text)
        if shorter != text:
            text = shorter
            found.append(text)
    for pattern, spelt in _FAMILIES:
        same = re.sub(pattern, spelt, text)
        if same != text:
            text = same
            found.append(text)
    changed = True
    while changed:
        changed = False
        for pattern in _SUFFIXES:
            shorter = re.sub(pattern, "", text)
            if shorter and shorter != text:
                text, changed = shorter, True
                found.append(text)
                break
    return found


@lru_cache(maxsize=4096)
def resolve(name: str, provider: str | None = None) -> ModelCard | None:
    """Find the card a model name of the traffic means, or ``None``.

    Dates, ``-latest``, ``models/``, ``provider/``, Bedrock's region and vendor prefixes and
    OpenRouter's ``:free`` are understood; a file name of a local server is not a model name. Open
    weights have the format that the name states (``-fp8``, ``-awq``), else the published one's.
    """
    if len(name) > 256 or name.lower().endswith((".gguf", ".bin", ".safetensors")):
        return None
    index = _index()
    for spelling in spellings(name, provider):
        card = index.get(spelling)
        if card is not None:
            tags = re.findall(_TAG, name.lower().rsplit("/", 1)[-1]) if card.weights == "open" else []
            return _kept_as(card, _KEPT[tags[-1]]) if tags else card
    return None


@cache
def _kept_as(card: ModelCard, precision: str) -> ModelCard:
    return card if card.precision == precision else replace(card, precision=precision)


def own_name(model: str | ModelCard, aliases: Mapping[str, str] | None) -> str | ModelCard:
    """Return what a model is called in the facts, by the operator's own table (``prod-chat`` → ``gpt-4o``).

    Azure deployments have free names; nothing but such a table says which model answers. Case does not matter.
    """
    if not aliases or not isinstance(model, str):
        return model
    found = aliases.get(model)
    if found is None:
        wanted = model.lower()
        found = next((target for name, target in aliases.items() if name.lower() == wanted), None)
    return model if found is None else found
