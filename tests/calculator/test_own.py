"""Under a configuration the calculator reckons as the service estimates."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import pytest

from estimator import Usage
from estimator.uncertainty import Total
from proxy.calculator.asked import Asked, asked_of
from proxy.calculator.documents import one_file, served
from proxy.calculator.own import Own
from proxy.calculator.words import banded, words
from proxy.estimating import ConfiguredEstimator
from proxy.routing import Routes
from proxy.sections import Config
from tests.calculator.chance import calls_at_random
from tests.calculator.configured import AT, configuration, own

NOTHING_STATED = dict.fromkeys(("gpu", "n_gpus", "precision", "batch", "draft", "pue", "zone", "grams"))


@pytest.fixture
def ours(tmp_path) -> Own:
    return own(tmp_path)


@pytest.mark.parametrize("meters", [False, True])
def test_what_is_not_stated_is_the_service_s_own_estimate(tmp_path, meters):
    config, ours = configuration(tmp_path, meters=meters), own(tmp_path, meters=meters)
    estimator, routes = ConfiguredEstimator(config), Routes(config)
    known = {row.name for row in config.provider}
    met = set()
    for call in calls_at_random(400, own=ours):
        target = routes.by_path(f"/{call.provider}/v1/x".encode()) if call.provider in known else None
        made = estimator(
            Usage(input_tokens=call.input, cached_input_tokens=call.cached, output_tokens=call.output),
            call.model,
            provider=call.provider,
            zone=config.estimate.zone if target is None else target.provider.zone,
            at=ours.at,
            service_tier=None,
        )
        ours_made = replace(call, **NOTHING_STATED).estimate(ours)
        assert replace(ours_made, profile=None) == replace(made, profile=None)
        met.add((made.tier, (made.price_id or "").startswith("acme")))
    plain, stated = {("deployment", True), ("unknown", True)}, {("measured", True), ("disclosed", True)}
    assert {("closed_model", True), *(stated if meters else plain)} <= met


def test_names_prices_machines_and_zones_are_said(ours):
    said = words(Asked(model="Chat-Prod", provider="house"), ours).texts
    assert said["own"].startswith(
        "Of your configuration: Chat-Prod is llama-3.3-70b-instruct; machine gpu H100-SXM-80GB, n_gpus 4, precision"
    )
    assert "zone SWE" in said["own"]
    assert said["tier"] == "modelled: open weights on the machine you state"
    priced = words(Asked(model="House-Model", provider="house"), ours).texts
    assert priced["call.cost_usd.band"] == "price of your own acme-2026:house/house-model@listed@EUR2026-07-01"
    assert priced["own"].endswith("prices acme-2026.")
    assert words(Asked(), None).texts["own"] == ""


def test_what_is_stated_goes_over_what_is_configured(ours):
    made = Asked(model="chat-prod", provider="house", n_gpus=1, zone="USA").estimate(ours)
    assert made.profile is not None
    line = made.profile.points[0].roofline
    assert (line.gpu.name, line.n_gpus, made.zone) == ("H100-SXM-80GB", 1, "USA")


@pytest.fixture
def metered(tmp_path) -> Own:
    return own(tmp_path, meters=True)


def test_joules_that_are_stated_are_in_the_figures_and_are_said(metered):
    asked = Asked(model="chat-prod", provider="house", input=1000, cached=400, output=100)
    made = asked.estimate(metered)
    assert made.it_joules is not None
    assert made.it_joules.mid == pytest.approx(1.5 + 600 * 0.02 + 400 * 0.001 + 100 * 0.9)
    said = words(asked, metered)
    assert (said.texts["mark"], said.texts["tier"]) == ("●", "measured, as your configuration states")
    assert "joules of the rack's plug, October" in said.texts["own"]
    assert said.texts["how.basis"] == "Measured at the servers (the rack's plug, October)"
    assert said.lists["sources"][0] == "the rack's plug, October"
    page = unescape(served(asked, own=metered))
    assert "Measured at the servers (the rack's plug, October)" in page


def test_a_day_of_metered_calls_is_summed_as_the_ledger_sums_them(metered):
    asked = Asked(model="chat-prod", provider="house", calls=1000)
    made = asked.estimate(metered)
    day = Total().plus(made.uncertain("grams_co2e"), 1000).range
    assert words(asked, metered).texts["day.grams_co2e.band"] == banded(day, "g")


def test_a_machine_that_is_stated_is_reckoned_and_not_measured(metered):
    asked = Asked(model="chat-prod", provider="house")
    for stated in ({"gpu": "H100-SXM-80GB"}, {"n_gpus": 2}, {"precision": "fp8"}, {"batch": 4.0}, {"draft": 2}):
        assert replace(asked, **stated).estimate(metered).evidence is None
    for stated in ({"pue": 1.5}, {"zone": "USA"}, {"output": 5}):
        assert replace(asked, **stated).estimate(metered).evidence is not None


def test_levers_hold_like_against_like(metered, ours):
    said, modelled = (words(Asked(model="chat-prod", provider="house"), each).texts for each in (metered, ours))
    for name in ("batch", "fp8", "int4", "draft", "model"):  # nothing else than what is modelled says it of both
        assert said[f"lever.{name}.joules"] == modelled[f"lever.{name}.joules"]
    assert said["lever.output.joules"] == f"× {491.5 / 941.5:.2f}"  # by the meter's own rates


def test_a_model_that_nobody_knows_gets_the_widest_prior_where_that_is_configured(metered, ours):
    asked = Asked(model="nobody-knows-it", provider="openai")
    texts, without = words(asked, metered).texts, words(asked, ours).texts
    assert (texts["tier"], without["tier"]) == ("modelled: nothing is known of the model", "nothing to reckon with")
    assert (texts["mark"], without["call.joules"]) == ("○", "unknown")
    assert "the widest prior there is" in texts["own"]
    assert texts["call.joules"] != "unknown"
    measured = Asked(model="nobody-knows-it", provider="gateway")  # and whatever it is, its meter is known
    assert measured.estimate(metered).evidence is not None


@pytest.mark.parametrize("draw", [served, one_file])
def test_models_and_sellers_of_the_configuration_can_be_chosen(draw, ours):
    page = draw(asked_of({"model": "CHAT-PROD", "provider": "house"}, ours), own=ours)
    (group,) = re.findall(r'<optgroup label="of your configuration">(.*?)</optgroup>', page)
    assert re.findall(r"<option[^>]*>([^<]+)", group) == ["chat-prod", "gpt-4o-mini", "house-model", "left-behind"]
    assert "chat-prod is llama-3.3-70b-instruct" in unescape(page)
    assert re.search(r'<option value="house" selected>', page)


def test_a_configuration_that_says_nothing_is_none():
    assert Own.of(Config(), AT) is None
