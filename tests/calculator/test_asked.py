from __future__ import annotations

import pytest

from proxy.calculator.asked import Asked, AskedError, asked_of
from tests.calculator.chance import calls_at_random


def test_nothing_asked_is_the_conversation_of_the_audit_page():
    asked = asked_of({})
    assert asked == Asked()
    assert (asked.model, asked.input, asked.cached, asked.output) == ("gpt-4o", 2000, 0, 1000)


@pytest.mark.parametrize("asked", calls_at_random(40), ids=lambda asked: asked.model)
def test_an_address_says_all_that_was_asked(asked):
    from urllib.parse import parse_qsl

    assert asked_of(dict(parse_qsl(asked.query()))) == asked


def test_names_are_brought_to_ours():
    asked = asked_of({"model": "gpt-4o-2024-08-06", "gpu": "h100", "precision": "bf16", "zone": "aws:eu-north-1"})
    assert (asked.model, asked.gpu, asked.precision, asked.zone) == ("gpt-4o", "H100-SXM-80GB", "bfloat16", "SWE")
    assert asked_of({"model": "house-model", "provider": "House"}) == Asked(model="house-model", provider="house")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"input": "-1"}, "input='-1': give a whole number from 0 to 10000000"),
        ({"input": "2e3"}, "input='2e3'"),
        ({"output": "9" * 5000}, "output='9999"),
        ({"cached": "5000"}, "cached=5000 is more than input=2000"),
        ({"batch": "0.5"}, "batch='0.5': give a number from 1 to 65536"),
        ({"batch": "nan"}, "batch='nan'"),
        ({"pue": "inf"}, "pue='inf'"),
        ({"n_gpus": "0"}, "n_gpus='0'"),
        ({"gpu": "abacus"}, "no accelerator is called 'abacus'"),
        ({"precision": "roman"}, "precision 'roman' is not known"),
        ({"zone": "XXX"}, "no electricity zone is called 'XXX'"),
        ({"grams": "-1"}, "grams='-1': give a number from 0 to 3000"),
        ({"model": "a\x00b"}, "model: give a name"),
        ({"model": "m" * 257}, "model: give a name"),
    ],
)
def test_what_cannot_be_is_refused_in_words(query, says):
    with pytest.raises(AskedError) as refused:
        asked_of(query)
    assert says in str(refused.value)
    assert len(str(refused.value)) < 6000
