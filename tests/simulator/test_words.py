import jsonschema
import pytest

from proxy.simulator.words import dice, pieces, prose, sample

SCHEMAS = {
    "flat": {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "number", "minimum": 0, "maximum": 1}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    "nested": {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": {"$ref": "#/$defs/item"}, "minItems": 3, "maxItems": 4},
            "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "kind": {"enum": ["x", "y"]},
            "version": {"const": 2},
        },
        "required": ["items", "maybe", "kind", "version"],
        "$defs": {"item": {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}},
    },
    "recursive": {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "name": {"type": ["string", "null"]}},
        "required": ["next", "name"],
    },
    "tree": {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["children"],
    },
    "bounds": {"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 7},
    "few": {"type": "array", "items": {"type": "null"}, "maxItems": 1},
    "negative": {"type": "integer", "minimum": -5, "maximum": -3},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_samples_satisfy_their_schema(name):
    for seed in range(25):
        jsonschema.validate(sample(SCHEMAS[name], dice(seed)), SCHEMAS[name])


@pytest.mark.parametrize("text", ["", '{"a":"b c"}', "line\u2028break 🌍, 日本語の長い文", "a  b\n\n\tc", "x" * 50])
def test_pieces_lose_nothing(text):
    assert "".join(pieces(text)) == text


def test_prose_has_as_many_tokens_as_asked():
    assert [len(prose(dice(1), count)) for count in (0, 1, 5, 4096, 10_000)] == [0, 1, 5, 4096, 10_000]


def test_dice_fall_the_same_way_in_every_process():
    # Written down once: a change of it changes every reply of the simulator.
    assert dice("a", 1, b"x").randrange(10**9) == 417449853
