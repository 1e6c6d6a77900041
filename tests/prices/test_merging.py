import json

from proxy.prices.listing import Listing, dated, exact, write_list
from proxy.prices.merging import merge

LEADING = Listing(
    id="gpt-9", match=["=gpt-9", "^gpt-9-20"], prices=[{"rates": {"input": "1", "output": "4"}}], source="genai-prices"
)


def other(name, rates, **tiers):
    return Listing(id=name, match=[f"={name}"], prices=[{"rates": rates}], tiers=tiers, source="litellm")


def test_agreement_brings_the_tiers_along():
    batch = [{"rates": {"input": "0.5"}}]
    joint = merge("openai", [LEADING], [other("gpt-9-2026-01-01", {"input": "1", "output": "4"}, batch=batch)])
    assert (joint.agreeing, joint.added, joint.tiers_added) == (1, 0, 1)
    assert joint.listings[0].tiers == {"batch": [{"rates": {"input": "0.5"}, "source": "litellm"}]}


def test_what_is_dearer_than_text_is_brought_along_too():
    rates = {"input": "1", "output": "4", "audio_input": "40", "audio_output": "80", "image_input": "1"}
    joint = merge("openai", [LEADING], [other("gpt-9", rates)])
    assert joint.listings[0].prices == [
        {"rates": {"input": "1", "output": "4", "audio_input": "40", "audio_output": "80"}}
    ]
    assert LEADING.prices == [{"rates": {"input": "1", "output": "4"}}]
    (kept,) = merge("openai", joint.listings, [other("gpt-9", {**rates, "audio_input": "50"})]).listings
    assert kept == joint.listings[0]


def test_disagreement_is_told_and_the_leading_price_stays():
    joint = merge("openai", [LEADING], [other("gpt-9", {"input": "2", "output": "4"})])
    assert joint.listings == [LEADING]
    (found,) = joint.disagreements
    assert (found.model, found.bucket, found.leading, found.other) == ("gpt-9", "input", "1", "2")


def test_a_model_only_the_other_has_is_added():
    joint = merge("openai", [LEADING], [other("gpt-10", {"input": "2"})])
    assert joint.added == 1
    assert [listing.id for listing in joint.listings] == ["gpt-9", "gpt-10"]


def test_a_changed_price_becomes_a_dated_row(tmp_path):
    path = tmp_path / "openai.json"
    first = other("gpt-10", {"input": "2"})
    write_list(tmp_path, "openai", [first], "2026-01-01")
    assert dated([first], path, "2026-02-01") == [first]
    (kept,) = dated([other("gpt-10", {"input": "3"})], path, "2026-02-01")
    assert kept.prices == [{"rates": {"input": "2"}}, {"from": "2026-02-01", "rates": {"input": "3"}}]
    write_list(tmp_path, "openai", [kept], "2026-02-01")
    assert dated([other("gpt-10", {"input": "3"})], path, "2026-03-01") == [kept]


def test_a_list_is_written_a_model_a_line(tmp_path):
    write_list(tmp_path, "openai", [LEADING, other("gpt-10", {"input": "2"})], "2026-01-01")
    text = (tmp_path / "openai.json").read_text(encoding="utf-8")
    table = json.loads(text)
    assert [row["id"] for row in table["models"]] == ["gpt-9", "gpt-10"]
    assert table["models"][1]["source"] == "litellm"
    assert sum('"id"' in line for line in text.splitlines()) == 2


def test_decimals_keep_their_digits_and_no_others():
    from decimal import Decimal

    assert [exact(Decimal(text)) for text in ("2.50", "10", "1E+1", "0.0750", "0E-8")] == [
        "2.5",
        "10",
        "10",
        "0.075",
        "0",
    ]
