"""``joulegate estimate`` prints every shipped model, as JSON and with every formula, or says that nothing is known."""

import json

import pytest

from estimator import known_models
from tests.commands.typed import typed


@pytest.mark.heavy
@pytest.mark.parametrize("model", sorted(known_models()))
def test_the_command_prints_every_model(model):
    record = typed("estimate", model, "--json")
    explained = typed("estimate", model, "--explain")
    made = json.loads(record.stdout)
    assert made["model"] == model
    nothing = made["joules"] is None and made["cost_usd"] is None
    assert record.exit_code == explained.exit_code == int(nothing)
    assert (made["joules"] is None) == ("joules" in made["reasons"])
    assert "evidence: " in explained.stdout
    if made["joules"] is not None:
        for word in ("FLOPs", "FFN", "decode step", "GPU", "servers", "facility", "carbon", "bands", "sources"):
            assert word in explained.stdout, word
