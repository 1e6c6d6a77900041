"""The simulator's language: pseudo-random text, ids and JSON that depend on nothing but their dice."""

from __future__ import annotations

import hashlib
import random
import re
import string

from proxy.simulator.asking import JsonObject

# Harmless words, some of them hard for a careless reader: accents, an emoji outside the basic plane,
# and U+2028, which is a line break to str.splitlines() but not to an event stream.
_VOCABULARY = (
    "the a of and to in is that for with as on by an each every some most this energy heat light wind water "
    "river turbine battery grid cable meter joule watt hour morning evening night season summer winter model "
    "question answer token prompt reply signal measure result average range estimate number table report team "
    "work plan step reason example method simple careful steady quiet warm cold bright early late small large "
    "runs keeps turns gives takes shows needs holds moves follows begins ends stays grows falls rises changes "
    "café naïve Zürich 20°C 50\u202f% → 日本 🌍 line\u2028break"
)
WORDS = _VOCABULARY.split(" ")  # not split(): that would take the hard words apart
ALPHABET = string.ascii_letters + string.digits
Dice = random.Random


def dice(*seeds: object) -> Dice:
    """Make dice that fall the same way for the same seeds, in every process."""
    digest = hashlib.blake2b(repr(seeds).encode(), digest_size=16).digest()
    return random.Random(int.from_bytes(digest))  # noqa: S311 - text to look at, nothing secret


def identifier(dice: Dice, prefix: str, length: int = 29, alphabet: str = ALPHABET) -> str:
    """Make an id such as ``chatcmpl-…``."""
    return prefix + "".join(dice.choices(alphabet, k=length))


def prose(dice: Dice, tokens: int) -> list[str]:
    """Write ``tokens`` tokens, each one a piece of the text, in sentences."""
    # Long texts repeat a block, so that a reply of megabytes costs no more than its bytes.
    block: list[str] = []
    while len(block) < min(tokens, 4096):
        words = dice.choices(WORDS, k=dice.randint(5, 14))
        words[0] = words[0].capitalize()
        block.extend([*(" " + word for word in words), "."])
    pieces = (block * (tokens // len(block) + 1))[:tokens] if block else []
    if pieces:
        pieces[0] = pieces[0].lstrip()
    return pieces


def pieces(text: str) -> list[str]:
    """Cut a text into tokens; joined they give the text again."""
    return re.findall(r"\s?\w{1,6}|[^\w]", text)


def sample(schema: JsonObject, dice: Dice, root: JsonObject | None = None, depth: int = 0) -> object:
    """Make a value that satisfies a simple JSON schema."""
    root = root if root is not None else schema
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return sample(_resolve(reference, root), dice, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    for key in ("enum", "anyOf", "oneOf"):
        options = schema.get(key)
        if isinstance(options, list) and options:
            if key == "enum":
                return dice.choice(options)
            # Deep inside a recursive schema the last option (by custom null) ends it.
            chosen = options[-1] if depth > 6 else options[0]
            return sample(chosen, dice, root, depth + 1) if isinstance(chosen, dict) else None
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    match str(kind).lower():  # Gemini writes them in capitals
        case "object":
            properties = schema.get("properties")
            inner = properties if isinstance(properties, dict) else {}
            required = schema.get("required")
            wanted = (
                inner if depth <= 6 else [name for name in inner if isinstance(required, list) and name in required]
            )
            return {name: sample(inner[name], dice, root, depth + 1) for name in wanted}
        case "array":
            items = schema.get("items")
            length = max(_whole(schema.get("minItems"), 0 if depth > 6 else 2), 0)
            length = min(length, _whole(schema.get("maxItems"), length))
            return [sample(items if isinstance(items, dict) else {}, dice, root, depth + 1) for _ in range(length)]
        case "integer" | "number":
            low = _whole(schema.get("minimum"), _whole(schema.get("exclusiveMinimum"), 0) + 1)
            high = _whole(schema.get("maximum"), max(low, _whole(schema.get("exclusiveMaximum"), low + 100) - 1))
            whole = dice.randint(min(low, high), high)
            return whole if str(kind).lower() == "integer" else whole + 0.5 if whole < high else float(whole)
        case "boolean":
            return dice.random() < 0.5
        case "null":
            return None
        case _:
            return _FORMATS.get(str(schema.get("format"))) or "".join(prose(dice, 3))


_FORMATS = {"date": "2026-01-15", "date-time": "2026-01-15T12:00:00Z", "email": "team@example.com", "time": "12:00:00Z"}


def _whole(value: object, default: int) -> int:
    return int(value) if isinstance(value, int | float) else default


def _resolve(reference: str, root: JsonObject) -> JsonObject:
    found: object = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        if name and isinstance(found, dict):
            found = found.get(name)
    return found if isinstance(found, dict) else {}
