"""The service's one estimator: what the configuration says reaches rows and reply headers alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from estimator import Intensity, Usage, estimate
from proxy.app import estimate_headers
from proxy.config import load
from proxy.console_process import model_name
from proxy.errors import ConfigError
from proxy.estimating import ConfiguredEstimator, open_hours
from proxy.ledger.row import estimated, row_of
from proxy.routing import Routes
from proxy.sections import Config
from tests.records import closed, opened
from tests.rows import call_row
from tests.test_docs import ROOT

AT = datetime(2026, 11, 23, 10, 45, tzinfo=UTC)
CONVERSATION = Usage(input_tokens=2000, cached_input_tokens=500, output_tokens=1000)
PRICES = """
name = "acme"
currency = "EUR"
[[rate]]
usd = 1.1
date = 2026-01-01
source = "a bank"
[[price]]
provider = "*"
model = "*"
rates = { input = 2, output = 8 }
"""
KNOWN = """
[[deployment]]
model = "llama-3.1-8b*"
gpu = "H100"
n_gpus = 1
batch = 32
pue = 1.1
"""
METERED = """
[[evidence]]
kind = "measured"
scope = "gpu"
source = "NVML of rack 7, week 47"
provider = "vllm"
joules_per_input_token = 0.01
joules_per_output_token = 0.4
"""


@pytest.fixture
def configured(tmp_path):
    def configured(toml: str = "") -> Config:
        tmp_path.joinpath("prices.toml").write_text(PRICES)
        file = tmp_path / "joulegate.toml"
        file.write_text(toml.replace("PRICES", f"{tmp_path}/prices.toml"))
        return load(file, environment={}).config

    return configured


def ask(estimator: ConfiguredEstimator, model: str, provider: str | None = "openai", **changes):
    asked = {"provider": provider, "zone": None, "at": AT, "service_tier": None} | changes
    return estimator(asked.pop("usage", CONVERSATION), model, **asked)


def test_without_a_configuration_it_is_the_estimators_own_word(configured):
    plain = ConfiguredEstimator(configured())
    for model, provider in (("gpt-4o", "openai"), ("llama-3.1-8b-instant", "groq"), ("nobody-knows", "openai")):
        assert ask(plain, model, provider) == estimate(CONVERSATION, model, provider=provider, at=AT)


def test_a_model_nobody_knows_is_null_or_the_widest_prior(configured):
    assert ask(ConfiguredEstimator(configured()), "nobody-knows").joules is None
    widest = ask(ConfiguredEstimator(configured('[estimate]\nunknown = "widest"\n')), "nobody-knows")
    assert (widest.tier, widest.model_id) == ("unknown", None)
    assert widest.joules.high / widest.joules.low > 100


@pytest.mark.parametrize("name", ["prod-chat", "Prod-Chat"])
def test_a_deployments_free_name_is_the_model_it_stands_for(configured, name):
    estimator = ConfiguredEstimator(configured('[[alias]]\nname = "prod-chat"\nmodel = "gpt-4o"\nprovider = "azure"\n'))
    made, meant = ask(estimator, name, "azure"), estimate(CONVERSATION, "gpt-4o", provider="azure", at=AT)
    assert made == meant
    assert made.cost_usd > 0
    assert ask(estimator, name, "openai").joules is None
    assert model_name(estimator, call_row(model=None, model_requested=name, provider="azure")) == "gpt-4o"
    assert model_name(estimator, call_row(model=name, model_requested=name, provider="openai", price_id=None)) is None


def test_an_alias_of_one_provider_goes_before_one_of_all(configured):
    toml = '[[alias]]\nname = "chat"\nmodel = "gpt-4o-mini"\n'
    estimator = ConfiguredEstimator(configured(toml + toml.replace("-mini", "") + 'provider = "azure"\n'))
    assert ask(estimator, "chat", "azure").model_id == "gpt-4o"
    assert ask(estimator, "chat", "openai").model_id == "gpt-4o-mini"


def test_own_prices_are_what_a_call_costs(configured):
    estimator = ConfiguredEstimator(configured('[estimate]\nprice_list = "PRICES"\n'))
    made = ask(estimator, "gpt-4o")
    assert made.cost_usd == (2000 * 2 + 1000 * 8) * Decimal("1.1") / 10**6
    assert made.price_id == "acme:*/*@listed@EUR2026-01-01"
    assert ask(estimator, "house-model", "vllm").cost_usd == made.cost_usd


@pytest.mark.parametrize(
    ("price_id", "label"),
    [
        ("openai/some-model@2026-01-01", "some-model"),
        ("bedrock/anthropic.some@20251001@listed#batch~eu", "anthropic.some@20251001"),
        ("acme:vllm/house-model@2026-07-01@EUR2026-07-01", "house-model"),
        ("acme:openai/some-model@2026-01-01-15.00%", "some-model"),
        (None, None),
    ],
)
def test_a_model_without_a_card_is_named_as_its_price_names_it(configured, price_id, label):
    row = call_row(model="nobody-knows", model_requested="nobody-knows", price_id=price_id)
    assert model_name(ConfiguredEstimator(configured()), row) == label


def test_a_providers_cloud_region_decides_the_zone_and_the_price(configured):
    config = configured('[[provider]]\nname = "bedrock"\norigin = "http://b"\nregion = "aws:eu-central-1"\n')
    zone = Routes(config).by_path(b"/bedrock/x").provider.zone
    assert zone == "DEU"
    made = ask(ConfiguredEstimator(config), "anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock", zone=zone)
    own = estimate(
        CONVERSATION,
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        provider="bedrock",
        zone="DEU",
        region="eu-central-1",
        at=AT,
    )
    assert made == own


def test_where_a_call_was_kept_costs_what_the_list_says(configured):
    plain = ConfiguredEstimator(configured())
    anywhere, kept = (ask(plain, "claude-opus-5", "anthropic", region=region) for region in (None, "us"))
    assert kept.cost_usd == anywhere.cost_usd * Decimal("1.1")
    assert kept.price_id == f"{anywhere.price_id}~us"
    assert (kept.joules, kept.zone) == (anywhere.joules, anywhere.zone)
    assert ask(plain, "claude-opus-5", "anthropic", region="nowhere-listed").cost_usd == anywhere.cost_usd


def test_a_default_zone_is_for_providers_that_name_none(configured):
    routes = Routes(configured('[estimate]\nzone = "NOR"\n[[provider]]\nname = "groq"\nzone = "FIN"\n'))
    zones = {name: routes.by_path(f"/{name}/v1".encode()).provider.zone for name in ("vllm", "groq", "openai")}
    assert zones == {"vllm": "NOR", "groq": "FIN", "openai": "USA"}
    assert Routes(configured()).by_path(b"/vllm/v1").provider.zone is None


def test_a_row_has_a_zone_and_never_a_region(configured):
    estimator = ConfiguredEstimator(configured())
    for said, zone in (("aws:eu-north-1", "SWE"), ("SWE", "SWE"), (None, None), ("aws:nowhere-1", None)):
        for usage, model in ((None, "gpt-4o"), (CONVERSATION, "nobody-knows")):
            call = closed(opened(zone=said), usage=usage, model=model)
            assert row_of(call, estimated(call, estimator)).zone == zone


def test_a_known_deployment_narrows_the_band_and_says_so(configured):
    estimator = ConfiguredEstimator(configured(KNOWN))
    made, blind = ask(estimator, "llama-3.1-8b-instruct", "vllm"), ask(estimator, "llama-3.3-70b-instruct", "vllm")
    assert (made.tier, blind.tier) == ("deployment", "open_model")
    assert made.joules.high / made.joules.low < 0.5 * blind.joules.high / blind.joules.low


@pytest.mark.parametrize("pattern", ["Meta-Llama-3.1-8B*", "llama-3.1-8b-instruct", "LLAMA-3.1-*"])
def test_a_model_fits_by_its_name_in_the_traffic_or_in_the_facts_whatever_the_case(configured, pattern):
    estimator = ConfiguredEstimator(configured(KNOWN.replace("llama-3.1-8b*", pattern)))
    assert ask(estimator, "meta-llama/Meta-Llama-3.1-8B-Instruct", "vllm").tier == (
        "deployment" if not pattern.startswith("Meta") else "open_model"
    )
    assert ask(estimator, "Meta-Llama-3.1-8B-Instruct", "vllm").tier == "deployment"


def test_the_first_deployment_that_fits_holds(configured):
    toml = KNOWN.replace("batch = 32", "batch = 8").replace("[[deployment]]", '[[deployment]]\nprovider = "vllm"')
    estimator = ConfiguredEstimator(configured(toml + KNOWN))
    at_8, at_32 = (ask(estimator, "llama-3.1-8b-instruct", each).joules.mid for each in ("vllm", "sglang"))
    assert at_8 > 1.5 * at_32


def test_measured_joules_go_before_estimated_ones(configured):
    made = ask(ConfiguredEstimator(configured(METERED)), "llama-3.1-8b-instruct", "vllm")
    assert made.tier == "measured"
    assert made.gpu_joules.mid == pytest.approx(1500 * 0.01 + 1000 * 0.4)
    assert "NVML of rack 7, week 47" in made.sources
    assert ask(ConfiguredEstimator(configured(METERED)), "llama-3.1-8b-instruct", "groq").tier == "open_model"


def test_a_meters_error_is_shared_by_all_calls_and_a_calls_own_evens_out(configured):
    figure = ask(ConfiguredEstimator(configured(METERED.replace('"gpu"', '"facility"'))), "llama-3.1-8b", "vllm")
    one = figure.uncertain()
    assert one.own_up / one.mid == pytest.approx(0.35)
    assert 0.03 < one.shared_up / one.mid < 0.08


@pytest.mark.parametrize(
    "usage",
    [Usage(output_tokens=5), Usage(input_tokens=5), Usage(input_tokens=5, cached_input_tokens=9, output_tokens=1)],
)
def test_a_meter_per_token_says_nothing_of_tokens_nobody_counted(configured, usage):
    made = ask(ConfiguredEstimator(configured(METERED)), "llama-3.1-8b-instruct", "vllm", usage=usage)
    assert made.joules is None
    assert made.reasons["joules"]


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('[estimate]\nunknown = "zero"\n', "estimate.unknown"),
        ('[estimate]\nzone = "XXX"\n', "estimate.*XXX"),
        ('[estimate]\nprice_list = "/nowhere.toml"\n', "/nowhere.toml: No such file"),
        ('[[alias]]\nname = "a"\nmodel = "gpt-4o"\nprovider = "nobody"\n', "alias `a`.*nobody"),
        ('[[alias]]\nname = "a"\nmodel = "x"\n[[alias]]\nname = "A"\nmodel = "y"\n', "alias `a.*twice"),
        ('[[deployment]]\ngpu = "H9000"\n', "deployment.*H9000"),
        ('[[deployment]]\nprecision = "fp3"\n', "deployment.*fp3"),
        ("[[deployment]]\npue = 0.9\n", "deployment.*PUE"),
        (METERED.replace("0.01", "-1"), "joules_per_input_token"),
        (METERED.replace("0.01", "0").replace("0.4", "0"), "states no joules"),
        (METERED + "band = [1.2, 1.4]\n", "band"),
        ('[[grid]]\nsource = "oracle"\nzones = ["FRA"]\n', "oracle.*grid"),
        ('[[grid]]\nsource = "carbon_intensity_uk"\nzones = []\n', "zones"),
        ('[[grid]]\nsource = "carbon_intensity_uk"\nzones = ["FRA"]\n', "no code for zone FRA"),
        ('[[grid]]\nsource = "electricity_maps"\nzones = ["FRA"]\n', "needs a credential"),
        ('[[grid]]\nsource = "watttime"\nzones = ["USA"]\ncredential = "env:NOT_SET_HERE"\n', "NOT_SET_HERE"),
        ('[[grid]]\nsource = "electricity_maps"\nzones = ["FRA", "FRA"]\n', "FRA.*twice"),
    ],
)
def test_a_mistake_is_said_at_the_start(configured, toml, said):
    def start():
        config = configured(toml)
        ConfiguredEstimator(config, open_hours(config))

    with pytest.raises(ConfigError, match=said):
        start()


class Hour:
    """Knows every hour of one zone."""

    def at(self, zone, at):
        assert zone == "GBR"
        start = at.replace(minute=0)
        return Intensity(
            zone=zone,
            grams_per_kwh=90.0,
            boundary="direct",
            start=start,
            end=start + timedelta(hours=1),
            source="carbon_intensity_uk",
        )


GRID = '[[grid]]\nsource = "carbon_intensity_uk"\nzones = ["GBR"]\n'


def test_the_source_of_the_grids_figure_stands_in_every_row(configured):
    estimator = ConfiguredEstimator(configured(GRID), Hour())
    rows = {}
    for zone in ("GBR", "gcp:europe-west2", "FRA", None):
        call = closed(opened(zone=zone))
        rows[zone] = row_of(call, estimated(call, estimator))
    assert {zone: row.grid_source for zone, row in rows.items()} == {
        "GBR": "carbon_intensity_uk",
        "gcp:europe-west2": "carbon_intensity_uk",
        "FRA": "owid",
        None: "owid",
    }
    assert rows["GBR"].grams_co2e == pytest.approx(rows["GBR"].joules / 3.6e6 * 90)
    unknown = closed(opened(zone="GBR"), model="nobody-knows")
    assert row_of(unknown, estimated(unknown, estimator)).grid_source is None


CONFIGURATIONS = [
    "",
    KNOWN,
    METERED,
    KNOWN + METERED,
    '[estimate]\nunknown = "widest"\n',
    '[estimate]\nprice_list = "PRICES"\n' + KNOWN,
    '[[alias]]\nname = "nobody-knows"\nmodel = "gpt-4o"\n',
    GRID,
]


@pytest.mark.parametrize("toml", CONFIGURATIONS)
@pytest.mark.parametrize("zone", [None, "FRA", "GBR"])
def test_a_replys_headers_say_what_its_row_says(configured, toml, zone):
    config = configured(toml)
    gate, recorder = ConfiguredEstimator(config), ConfiguredEstimator(config, Hour() if config.grid else None)
    said = set()
    for model, provider in (
        *(("gpt-4o", "openai"), ("claude-sonnet-4-5", "anthropic"), ("llama-3.1-8b-instruct", "vllm")),
        *(("llama-3.3-70b-versatile", "groq"), ("nobody-knows", "openai"), ("text-embedding-3-small", "openai")),
    ):
        for usage in (CONVERSATION, Usage(input_tokens=7, output_tokens=0), Usage(input_tokens=9), Usage(), None):
            call = closed(opened(provider=provider, zone=zone), model=model, usage=usage)
            row = row_of(call, estimated(call, recorder))
            headers = dict(estimate_headers(gate, call))
            for name, column in (
                (b"x-joulegate-cost-usd", row.cost_usd),
                (b"x-joulegate-energy-joules", row.joules),
                (b"x-joulegate-co2e-grams", row.grams_co2e),
            ):
                if name.endswith(b"grams") and config.grid and zone == "GBR":
                    assert name not in headers  # the hour may still come: the row says
                elif column is None:
                    assert name not in headers
                else:
                    assert float(headers[name]) == pytest.approx(float(column), rel=1e-5, abs=1e-12)
                    said.add(name)
    assert len(said) >= 2


def test_the_example_configuration_can_be_estimated_with(tmp_path):
    config = load(ROOT / "joulegate.example.toml", environment={}).config
    assert ask(ConfiguredEstimator(config), "gpt-4o").joules is not None
