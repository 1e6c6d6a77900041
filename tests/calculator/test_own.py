"""Under a configuration the calculator reckons as the service estimates."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import pytest

from estimator import Usage
from proxy.calculator.asked import Asked, asked_of
from proxy.calculator.documents import one_file, served
from proxy.calculator.own import Own
from proxy.calculator.words import words
from proxy.estimating import ConfiguredEstimator
from proxy.routing import Routes
from proxy.sections import Config
from tests.calculator.chance import calls_at_random
from tests.calculator.configured import AT, configuration, own

NOTHING_STATED = dict.fromkeys(("gpu", "n_gpus", "precision", "batch", "draft", "pue", "zone"))


@pytest.fixture
def ours(tmp_path) -> Own:
    return own(tmp_path)


def test_what_is_not_stated_is_the_service_s_own_estimate(tmp_path, ours):
    config = configuration(tmp_path)
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
    assert {("deployment", True), ("closed_model", True), ("unknown", True)} <= met


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


@pytest.mark.parametrize("draw", [served, one_file])
def test_models_and_sellers_of_the_configuration_can_be_chosen(draw, ours):
    page = draw(asked_of({"model": "CHAT-PROD", "provider": "house"}, ours), own=ours)
    (group,) = re.findall(r'<optgroup label="of your configuration">(.*?)</optgroup>', page)
    assert re.findall(r"<option[^>]*>([^<]+)", group) == ["chat-prod", "gpt-4o-mini", "house-model", "left-behind"]
    assert "chat-prod is llama-3.3-70b-instruct" in unescape(page)
    assert re.search(r'<option value="house" selected>', page)


def test_a_configuration_that_says_nothing_is_none():
    assert Own.of(Config(), AT) is None
