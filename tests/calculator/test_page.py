from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re

import pytest

from proxy.calculator.asked import Asked
from proxy.calculator.documents import one_file, served
from proxy.calculator.tables import cards, tables
from proxy.calculator.words import tenths, words
from tests.calculator.chance import calls_at_random
from tests.console.test_page import MARKUP, Page, contrast

MOST_BYTES = 150_000  # gzip, of all that is loaded


def texts(page: str) -> dict[str, str]:
    return dict(re.findall(r'data-text="([^"]+)"[^>]*>([^<]*)<', page))


def test_the_figures_stand_in_the_page_itself():
    asked = Asked(model="llama-3.1-8b-instruct", gpu="H100-SXM-80GB", n_gpus=1, batch=64, pue=1.2, zone="FRA")
    shown = texts(served(asked))
    assert shown["call.joules"] == "340 J"  # 338.5 J, docs/methodology/energy.md
    assert shown["call.wh"] == "94 mWh, "
    assert shown["call.joules.band"] == "240 to 470 J"
    assert shown["call.grams_co2e"] == "3.9 mg"
    assert shown["call.flops"] == "50.5 TFLOP"
    assert shown["tier"] == "modelled: open weights on the machine you state"
    assert shown["call.cost_usd"] == "unknown"
    assert "price depends on the provider" in shown["call.cost_usd.band"]


def test_every_text_and_bar_that_is_said_has_its_place_and_every_place_something_said():
    page, said = served(Asked()), words(Asked())
    assert set(re.findall(r'data-text="([^"]+)"', page)) == set(said.texts)
    assert set(re.findall(r'data-bar="([^"]+)"', page)) <= set(said.bars)
    assert set(re.findall(r'data-list="([^"]+)"', page)) == set(said.lists)


@pytest.mark.parametrize("model", ["nobody-knows", "text-embedding-3-small"])
def test_unknown_is_unknown_with_its_reason_and_never_0(model):
    shown = texts(served(Asked(model=model)))
    for name in ("joules", "flops", "grams_co2e", "liters", "embodied_grams_co2e"):
        assert shown[f"call.{name}"] == "unknown"
        assert shown[f"call.{name}.band"].startswith(("no card for", "no public figure for the size"))
        assert "0" not in (shown.get(f"year.{name}") or "unknown")
    assert shown["part.4"] == shown["like.kettle"] == shown["lever.output.joules"] == "unknown"


def test_no_tokens_take_nothing_and_break_nothing():
    shown = texts(served(Asked(input=0, output=0, calls=0)))
    assert shown["call.joules"] == "0 J"
    assert shown["lever.output.joules"] == "unknown"


@pytest.mark.parametrize("asked", calls_at_random(30, seed=7), ids=lambda asked: asked.model)
def test_the_parts_of_a_forward_pass_sum_to_100_as_printed(asked):
    shares = [text for key, text in words(asked).texts.items() if key.startswith("part.")]
    assert len(shares) == 7
    if shares[0] != "unknown":
        assert words(asked).texts["parts.sum"] == "100.0 %"
        assert sum(round(10 * float(share.removesuffix(" %"))) for share in shares) == 1000


def test_tenths_go_to_the_largest_remainders():
    assert tenths([1 / 3, 1 / 3, 1 / 3]) == [334, 333, 333]
    assert tenths([0.0004, 0.9996]) == [0, 1000]


@pytest.mark.parametrize("draw", [served, one_file])
def test_names_are_text(draw):
    page = Page(draw(Asked(model=MARKUP, provider=MARKUP.lower())))
    assert page.count("img") == 0
    assert page.count("script") == (4 if draw is served else 2)
    assert any("hacked" in word for word in page.words)


@pytest.mark.parametrize("draw", [served, one_file])
def test_nothing_is_asked_of_anybody_else(draw):
    page = Page(draw(Asked()))
    for tag, attributes in page.elements:
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "action"):
            assert (attributes.get(name) or "/").startswith(("/", "#", "data:")), (tag, attributes)


def test_the_file_s_policy_allows_its_own_style_and_script_alone():
    page = one_file(Asked())
    (policy,) = re.findall(r'http-equiv="content-security-policy" content="([^"]+)"', page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    for kind, text in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "url(" not in style


def test_the_page_is_light():
    assert len(gzip.compress(one_file(Asked(model="claude-opus-4")).encode())) < MOST_BYTES


def test_the_tables_hold_every_model_and_what_javascript_reads_exactly():
    found = json.loads(tables())
    assert list(found["models"]) == list(cards())
    for prices in found["prices"].values():
        for price in prices.values():
            for steps in price["rates"].values():
                assert steps[0][0] == 0  # what JavaScript takes as the rate below every step
                assert [above for above, _ in steps] == sorted(above for above, _ in steps)
    assert all(len(column) == 2 * found["priors"]["samples"] for column in found["strata"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_edges_of_fields_can_be_seen(scheme):
    """WCAG 2.2 AA: 3 to 1 for what makes a control."""
    from importlib import resources

    from tests.console.test_page import STATIC

    colours = {}
    for text in (STATIC.joinpath("console.css"), resources.files("proxy.calculator") / "static/calculator.css"):
        blocks = re.findall(r":root \{(.*?)\}", text.read_text(), re.DOTALL)
        colours |= dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", blocks[scheme == "dark"]))
    for ground in ("paper", "card"):
        assert contrast(colours["edge"], colours[ground]) >= 3, (scheme, ground)
        for part in range(7):
            assert contrast(colours[f"p{part}"], colours[ground]) >= 1.5, (scheme, part)
