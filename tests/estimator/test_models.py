import json
import re
from dataclasses import replace

import pytest

from estimator import Usage, checking, estimate, facts, known_models, models, resolve
from estimator.models import surrogate
from estimator.price import every_price, price_lists

NAMES = {
    "gpt-4o": "gpt-4o",
    "GPT-4o": "gpt-4o",
    "gpt-4o-2024-08-06": "gpt-4o",
    "openai/gpt-4o": "gpt-4o",
    "openrouter/openai/gpt-4o": "gpt-4o",
    "ft:gpt-4o-mini-2024-07-18:acme::abc123": "gpt-4o-mini",
    "gpt-35-turbo": "gpt-3.5-turbo",
    "gpt-5-mini-2025-08-07": "gpt-5-mini",
    "gpt-4.1-nano": "gpt-4.1-nano",
    "o3-2025-04-16": "o3",
    "text-embedding-3-small": "text-embedding-3-small",
    "claude-opus-4-20250514": "claude-opus-4",
    "claude-sonnet-4-5-20250929": "claude-sonnet-4-5",
    "claude-3-5-sonnet-latest": "claude-3-5-sonnet",
    "anthropic/claude-opus-4.5": "claude-opus-4-5",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0": "claude-sonnet-4-5",
    "global.anthropic.claude-opus-4-6-v1": "claude-opus-4-6",
    "claude-sonnet-4-5@20250929": "claude-sonnet-4-5",
    "models/gemini-2.5-pro": "gemini-2.5-pro",
    "publishers/google/models/gemini-2.5-flash": "gemini-2.5-flash",
    "gemini-2.5-pro-preview-05-06": "gemini-2.5-pro",
    "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b-instruct",
    "meta.llama3-1-8b-instruct-v1:0": "llama-3.1-8b-instruct",
    "llama-3.1-8b-instant": "llama-3.1-8b-instruct",
    "llama3.1:8b": "llama-3.1-8b-instruct",
    "llama-3.3-70b-versatile": "llama-3.3-70b-instruct",
    "meta-llama/Llama-3.3-70B-Instruct-Turbo": "llama-3.3-70b-instruct",
    "accounts/fireworks/models/llama-v3p1-70b-instruct": "llama-3.1-70b-instruct",
    "deepseek-chat": "deepseek-v3.1",
    "deepseek/deepseek-r1:free": "deepseek-r1",
    "qwen3:4b": "qwen3-4b",
    "qwen2.5:7b": "qwen2.5-7b-instruct",
    "moonshotai/kimi-k2-instruct-0905": "kimi-k2",
    "mistral-small-2503": "mistral-small-3.1-24b",
    "gemma3:27b": "gemma-3-27b-it",
    "openai/gpt-oss-120b": "gpt-oss-120b",
    "amazon.nova-pro-v1:0": "nova-pro",
    "gpt-4o-mini-2024-07-18": "gpt-4o-mini",
    "eu.anthropic.claude-haiku-4-5-20251001-v1:0": "claude-haiku-4-5",
    "models/gemini-2.5-flash-lite": "gemini-2.5-flash-lite",
    "google/gemini-2.5-flash:free": "gemini-2.5-flash",
    "llama-3.3-70b-specdec": "llama-3.3-70b-instruct",
    "accounts/fireworks/models/llama-v3p2-3b-instruct": "llama-3.2-3b-instruct",
    "@cf/meta/llama-3.1-8b-instruct-fp8-fast": "llama-3.1-8b-instruct",
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct": "llama-4-maverick-17b-128e-instruct-fp8",
    "qwen-2.5-72b-instruct": "qwen2-72b-instruct",
    "accounts/fireworks/models/qwen2p5-72b-instruct": "qwen2-72b-instruct",
    "qwen.qwen3-next-80b-a3b": "qwen3-next-80b-a3b",
    "Qwen/Qwen3-VL-235B-A22B-Instruct-FP8": "qwen3-vl-235b-a22b",
    "nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-NVFP4": "nemotron-3-ultra-550b-a55b",
    "nvidia.nemotron-nano-9b-v2:0": "nemotron-nano-9b-v2",
    "openai.gpt-oss-safeguard-120b": "gpt-oss-120b",
    "grok-4-1-fast-non-reasoning": "grok-4.1-fast",
    "grok-4.20-beta-0309-reasoning": "grok-4.20",
    "openai/gpt-oss-20b:batch": "gpt-oss-20b",
    "moonshotai/Kimi-K2.5": "kimi-k2.5",
    "qwen-plus-2025-04-28": "qwen-plus",
    "qwen-flash": "qwen-flash",
    "llama3.1:70b-instruct-q4_K_M": "llama-3.1-70b-instruct",
    "gemma3:27b-it-qat": "gemma-3-27b-it",
    "gpt-oss:120b-cloud": "gpt-oss-120b",
    "mistral-nemo:12b": "mistral-nemo-instruct-2407",
    "eu.amazon.nova-lite-v1:0:300k": "nova-lite",
    "nvidia/Llama-3_3-Nemotron-Super-49B-v1_5": "llama-3.3-nemotron-super-49b",
    "unsloth/Llama-3.2-1B-Instruct-bnb-4bit": "llama-3.2-1b-instruct",
    "unsloth/Qwen3-30B-A3B-GGUF": "qwen3-30b-a3b-instruct-2507",
    "amd/Llama-3.1-405B-Instruct-FP8-KV": "llama-3.1-405b-instruct",
    "RedHatAI/Llama-3.3-70B-Instruct-quantized.w4a16": "llama-3.3-70b-instruct",
    "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-5-haiku-20241022-v1:0": "claude-3-5-haiku",
    "us-gov.anthropic.claude-3-haiku-20240307-v1:0": "claude-3-haiku",
    "projects/p/locations/us-central1/publishers/google/models/gemini-2.0-flash-001": "gemini-2.0-flash",
    "zai.glm-4.6": "glm-4.5",
    "deepseek-ai/DeepSeek-R1-0528": "deepseek-r1",
}


@pytest.mark.parametrize(("name", "card_id"), NAMES.items())
def test_names_of_the_traffic_find_their_card(name, card_id):
    card = resolve(name)
    assert card is not None
    assert card.id == card_id


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("meta-llama/Llama-3.3-70B-Instruct", "bfloat16"),
        ("RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", "fp8"),
        ("hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4", "int4"),
        ("llama3.1:70b-instruct-q4_K_M", "int4"),
        ("mlx-community/Qwen2.5-7B-Instruct-8bit", "w8a16"),
        ("nvidia/Llama-3.1-405B-Instruct-FP4", "nvfp4"),
        ("meta-llama/Llama-3.1-405B-Instruct-FP8", "fp8"),
        ("gpt-oss-20b", "mxfp4"),
    ],
)
def test_open_weights_are_kept_as_the_name_says(name, precision):
    card = resolve(name)
    assert card.precision == precision
    assert resolve(name.upper() + ":free") is card
    assert card.id in known_models()


def test_a_quantised_model_takes_less():
    usage = Usage(input_tokens=2000, output_tokens=1000)
    plain, eighth, fourth = (
        estimate(usage, f"llama-3.3-70b-instruct{tag}", provider="together").joules.mid for tag in ("", "-fp8", "-awq")
    )
    assert max(fourth, eighth) < 0.95 * plain


@pytest.mark.parametrize(
    "name",
    [
        "",
        "model",
        "my-finetune",
        "gpt",
        "llama",
        "Llama-3.2-3B-Instruct-Q8_0.gguf",
        "/models/Meta-Llama-3.1-8B-Instruct.gguf",
        "gpt-4o" * 100,
        "phi3:14b",
        "qwen3:999b",
        "mythomax-l2-13b",
        "hermes-3-llama-3.1-70b",
        "dolphin-mixtral-8x22b",
        "llama-9-70b",
        "gpt-4o-nano",
        "claude-sonnet-99",
        "gemini-2.5-ultra",
        "\x00",
        "../../etc/passwd",
    ],
)
def test_what_no_card_is_for_stays_unknown(name):
    assert resolve(name) is None


SIZE = re.compile(r"(?<![\da-z.])(\d+(?:\.\d+)?)b(?![a-z0-9])")
NAMED = sorted({price.model.lower() for provider in price_lists() for price in every_price(provider)})


def test_no_name_of_a_price_list_finds_a_card_of_another_size():
    found = 0
    for name in NAMED:
        card, size = resolve(name), SIZE.search(name)
        # Llama 4 names its active parameters, a mixture its experts.
        if card is None or card.total_params is None or size is None or "x" in name or re.search("llama-?4", name):
            continue
        found += 1
        assert 0.75 < card.total_params[0] / (float(size[1]) * 1e9) < 1.35, (name, card.id)
    assert found > 200


def test_no_name_of_a_price_list_finds_a_card_of_another_family():
    families = (
        "gpt",
        "claude",
        "gemini",
        "gemma",
        "llama",
        "mistral",
        "mixtral",
        "qwen",
        "deepseek",
        "grok",
        "kimi",
        "glm",
    )
    for name in NAMED:
        card = resolve(name)
        if card is None or "distill" in name or "nemotron" in name:  # these say whose weights they began as
            continue
        last = re.sub(r"^[a-z]+\.(?=[a-z])", "", name.rsplit("/", 1)[-1])
        said = [family for family in families if family in last]
        of_card = [family for family in families if any(family in known for known in (card.id, *card.aliases))]
        assert not said or set(said) & set(of_card), (name, card.id)


def test_the_providers_own_prefix_is_taken_off():
    card = resolve("groq/llama-3.1-8b-instant", "groq")
    assert card is not None
    assert card.id == "llama-3.1-8b-instruct"


def test_every_known_model_resolves_to_itself():
    for name in known_models():
        card = resolve(name)
        assert card is not None
        assert card.id == name


def test_open_cards_have_a_shape_and_say_where_it_was_found_again():
    card = resolve("gpt-oss-120b")
    assert card is not None
    assert card.verified
    assert card.verified_by == "aiconfigurator"
    assert card.architecture is not None
    assert card.architecture.experts == 128
    deepseek = resolve("deepseek-v3.1")
    assert deepseek is not None
    assert deepseek.architecture is not None
    assert deepseek.architecture.latent_attention


def test_every_shape_was_found_again():
    shapes = [card for card in map(resolve, known_models()) if card.architecture is not None]
    assert [card.id for card in shapes if not card.verified] == []
    page = (facts.DATA.parents[1] / "docs" / "reference" / "facts.md").read_text(encoding="utf-8")
    assert f"All {len(shapes)} have one." in page


def test_a_shape_that_nobody_found_again_says_so_in_the_estimate():
    card = resolve("llama-3.1-8b-instruct")
    typed = replace(card, verified_by=None)
    sentence = "shape typed from the public model card, not verified"
    usage = Usage(input_tokens=10, output_tokens=10)
    assert sentence in estimate(usage, typed).assumptions
    assert sentence not in estimate(usage, card).assumptions


def test_windows_are_those_of_the_published_configurations():
    ragged = resolve("ministral-8b-2410").architecture  # one layer of four sees 128k, three 32k
    assert (ragged.full_layers, ragged.window_layers, ragged.window) == (9, 27, 32_768)
    star = resolve("starcoder2-15b").architecture
    assert (star.full_layers, star.window_layers, star.window) == (0, 40, 4_096)


CURRENT = {
    "openai": ("gpt-6-sol", "gpt-6.1-terra", "gpt-oss-120b"),
    "anthropic": ("claude-opus-5-5", "claude-mythos-5-2"),
    "google": ("gemini-3.8-flash", "gemini-4-argon", "gemma-4-31b-it"),
    "meta": ("muse-spark-open", "muse-spark-1.3", "llama-4-maverick"),
    "mistral": ("mistral-large-3", "devstral-2512", "ministral-3-14b-2512"),
    "deepseek": ("deepseek-v4-pro", "deepseek-v4-flash-0731", "deepseek-v4.1-flash"),
    "qwen": ("qwen3.8-max", "qwen3.7-plus", "qwen3.5-397b-a17b"),
    "xai": ("grok-4.7",),
    "cohere": ("command-a", "command-a-plus"),
    "amazon": ("nova-2-pro", "nova-premier"),
    "microsoft": ("mai-thinking-1", "phi-4-reasoning-plus"),
    "nvidia": ("nemotron-3-ultra", "nemotron-3.5-super-vl"),
    "moonshot": ("kimi-k2.6", "kimi-k2.7-code", "kimi-k3", "kimi-k3.1-pro"),
    "zai": ("glm-5", "glm-5.1", "glm-5.3", "glm-5.3-flash"),
}


@pytest.mark.parametrize("maker", CURRENT)
def test_the_current_family_of_a_maker_has_cards(maker):
    for name in CURRENT[maker]:
        card = resolve(name)
        assert card is not None, name
        assert card.maker == maker


def test_a_priced_chat_model_without_a_card_is_a_problem(own_models):
    row = {"id": "gpt-4o", "kind": "undisclosed", "weights": "closed", "source": "none"}
    (own_models / "openai.json").write_text(json.dumps({"maker": "openai", "models": [row]}))
    found = list(checking._cards())
    assert any("claude-opus-4-5" in line for line in found)
    assert not any(" gpt-4o has" in line for line in found)
    assert not any("embedding" in line for line in found)


def test_closed_cards_have_ranges_and_a_source():
    card = resolve("gpt-4o")
    assert card is not None
    assert card.weights == "closed"
    assert card.active_params == (44e9, 132e9)
    assert card.source == "ecologits-0.11.3"


def test_a_guessed_shape_grows_with_the_model():
    small, large = surrogate(8e9, 8e9, "dense"), surrogate(400e9, 100e9, "moe")
    assert large.layers > small.layers
    assert small.experts == 0
    assert large.experts_active == 32


@pytest.fixture
def own_models(tmp_path, monkeypatch):
    """A data folder with no models yet."""
    (tmp_path / "models").mkdir()
    monkeypatch.setattr(facts, "DATA", tmp_path)
    monkeypatch.setattr(models, "DATA", tmp_path)
    models._index.cache_clear()
    resolve.cache_clear()
    yield tmp_path / "models"
    models._index.cache_clear()
    resolve.cache_clear()


def test_a_new_model_is_one_entry(own_models):
    shape = {"layers": 80, "hidden": 8192, "heads": 64, "kv_heads": 8, "head_dim": 128, "ffn": 28672, "vocab": 128256}
    row = {
        "id": "house-70b",
        "kind": "dense",
        "weights": "open",
        "total_b": 70.6,
        "active_b": 70.6,
        "precision": "bf16",
    }
    rows = [{**row, **shape, "source": "model-cards", "verified": "model-cards", "aliases": ["house-70b-instruct"]}]
    (own_models / "house.json").write_text(json.dumps({"maker": "house", "models": rows}))
    card = resolve("house/House-70B-Instruct")
    assert card is not None
    assert card.id == "house-70b"
    assert card.verified
    assert card.architecture is not None
    assert card.architecture.full_layers == 80
    assert card.architecture.kv_elements == 2048
    assert resolve("gpt-4o") is None
