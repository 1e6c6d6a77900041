"""Rows made by what calls have in common are the rows that an estimate of each would make, to the digit."""

from __future__ import annotations

import random
from dataclasses import replace

import msgspec
import pytest

from estimator import Usage, known_models
from proxy.estimating import ConfiguredEstimator
from proxy.ledger.row import estimated, known_row, row_of
from proxy.sections import Config, DeploymentSection, EvidenceSection
from tests.records import AT_US, closed, opened

PROVIDERS = ("openai", "anthropic", "gemini", "groq", "deepseek", "vertex", "azure", "vllm", "bedrock", "nobody", None)


def usages(draw: random.Random) -> Usage:
    """Mostly good counts; sometimes absent, impossible, or with what makes a price less plain."""
    n_in, n_out = draw.randrange(9000), draw.randrange(3000)
    plain = Usage(input_tokens=n_in, cached_input_tokens=draw.choice((None, 0, n_in // 2, n_in)), output_tokens=n_out)
    return draw.choice(
        (
            plain,
            plain,
            replace(plain, reasoning_tokens=n_out // 2),
            replace(plain, cached_input_tokens=None, cache_write_tokens=n_in // 3, audio_input_tokens=5),
            replace(plain, input_tokens=250_000, image_output_tokens=3),
            replace(plain, output_tokens=None),
            replace(plain, input_tokens=None),
            replace(plain, cached_input_tokens=n_in + 1),
            replace(plain, units={"searches": 2.0}),
        )
    )


def compare(estimate: ConfiguredEstimator, call) -> bool:
    """Compare the two ways; gives whether the short one took the call."""
    begun = call.opened
    known = estimate.known(
        call.model or begun.model_requested,
        provider=begun.provider,
        zone=begun.zone,
        at_us=begun.started_at_us,
        service_tier=call.service_tier,
        region=call.region,
    )
    row = None if known is None else known_row(call, known)
    if row is None:
        return False
    assert msgspec.structs.asdict(row) == msgspec.structs.asdict(row_of(call, estimated(call, estimate)))
    return True


def test_every_model_at_any_provider():
    draw, estimate = random.Random(8), ConfiguredEstimator(Config())
    taken = calls = 0
    for model in known_models():
        for provider in draw.sample(PROVIDERS, 4):
            at_us = AT_US + draw.randrange(-400, 30) * 86_400_000_000 + draw.randrange(86_400_000_000)
            begun = opened(provider=provider, zone=draw.choice((None, "FRA")), started_at_us=at_us, tags={"a": "b"})
            call = closed(
                begun,
                model=draw.choice((model, model, None)),
                usage=usages(draw),
                service_tier=draw.choice((None, "default", "flex", "batch")),
                flags=draw.choice(((), ("usage.odd",))),
            )
            if call.model is None:
                call = msgspec.structs.replace(call, opened=msgspec.structs.replace(begun, model_requested=model))
            calls += 1
            taken += compare(estimate, call)
    assert taken > calls / 3


@pytest.mark.parametrize(
    ("rows", "short"),
    [
        ({"deployment": (DeploymentSection(gpu="H100", batch=16.0),)}, True),
        ({"evidence": (EvidenceSection(kind="measured", scope="gpu", source="nvml", joules_per_call=3.0),)}, False),
    ],
)
def test_what_the_operator_knows_holds_either_way(rows, short):
    estimate = ConfiguredEstimator(Config(**rows))
    assert compare(estimate, closed(opened(provider="vllm"), model="llama-3.1-8b-instruct")) is short


def test_a_batch_of_many_calls_and_a_model_nobody_knows_take_the_longer_way():
    estimate = ConfiguredEstimator(Config())
    assert compare(estimate, closed())
    assert not compare(estimate, closed(calls=3))
    assert not compare(estimate, closed(model="nobody-knows"))
    assert not compare(estimate, closed(usage=None))
