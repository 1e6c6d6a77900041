import json

import pytest

from estimator import facts, facts_version, sources
from estimator.checking import problems
from estimator.errors import FactsError


def test_the_shipped_facts_are_sound():
    assert problems() == []


def test_the_version_is_short_and_follows_every_byte(tmp_path, monkeypatch):
    assert len(facts_version()) == 12
    (tmp_path / "a.json").write_text("{}")
    monkeypatch.setattr(facts, "DATA", tmp_path)
    first = facts_version.__wrapped__()
    (tmp_path / "a.json").write_text("{} ")
    assert facts_version.__wrapped__() != first


def test_every_source_states_its_licence_and_when_it_was_checked():
    for source in sources().values():
        assert source.name
        assert source.checked.year >= 2026
        if source.id != "none":
            assert source.licence


@pytest.mark.parametrize("text", ["", "{", "\xff"])
def test_a_broken_file_is_an_error_that_names_it(text, tmp_path, monkeypatch):
    (tmp_path / "x.json").write_text(text, encoding="latin-1")
    monkeypatch.setattr(facts, "DATA", tmp_path)
    with pytest.raises(FactsError, match=r"x\.json"):
        facts.read_json("x.json")
    with pytest.raises(FactsError, match=r"y\.toml"):
        facts.read_toml("y.toml")


def test_data_is_exact_text_where_it_is_money():
    for path in sorted((facts.DATA / "prices").glob("*.json")):
        for row in json.loads(path.read_text(encoding="utf-8"))["models"]:
            for entry in (*row["prices"], *(entry for entries in row.get("tiers", {}).values() for entry in entries)):
                for value in entry["rates"].values():
                    steps = [[0, value]] if isinstance(value, str) else value
                    assert all(isinstance(above, int) and isinstance(dollars, str) for above, dollars in steps)
