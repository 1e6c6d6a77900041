"""Embeddings, as OpenAI writes them: the vectors first, the usage behind them."""

from __future__ import annotations

import base64
import math
from array import array

from proxy.simulator.answer import MISTRALS, served_name
from proxy.simulator.asking import EmbeddingsRequest, JsonObject, inputs
from proxy.simulator.wishes import Wishes
from proxy.simulator.words import Dice, identifier

DIMENSIONS = {"text-embedding-3-large": 3072, "mistral-embed": 1024}
USUAL_DIMENSIONS = 1536
BYTES_PER_NUMBER = 8  # at least, of a number written as text; 16/3 in base64


def embeddings_body(request: EmbeddingsRequest, wishes: Wishes, dice: Dice) -> JsonObject:
    """Give one unit vector for each input."""
    _, tokens = inputs(request.input)
    dimensions = request.dimensions or DIMENSIONS.get(request.model, USUAL_DIMENSIONS)
    encoded = request.encoding_format == "base64"
    made = unit_vectors(dice, len(tokens), dimensions, wishes, encoded=encoded)
    reply: JsonObject = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if encoded else _numbers(vector)}
            for index, vector in enumerate(made)
        ],
        "model": served_name(request.model),
    }
    if request.model.startswith(MISTRALS):
        reply["id"] = identifier(dice, "", 32)
    if wishes.usage != "absent":
        reply["usage"] = {"prompt_tokens": sum(tokens), "total_tokens": sum(tokens)}
    return reply


def vectors(dice: Dice, count: int, dimensions: int, wishes: Wishes) -> list[list[float]]:
    """Make unit vectors, written as numbers; with more dimensions where a longer reply is wished."""
    return [_numbers(vector) for vector in unit_vectors(dice, count, dimensions, wishes)]


def unit_vectors(
    dice: Dice, count: int, dimensions: int, wishes: Wishes, *, encoded: bool = False
) -> list[array[float]]:
    """Make unit vectors; with more dimensions where a longer reply is wished."""
    if wishes.body_bytes is not None:
        size = 16 / 3 if encoded else BYTES_PER_NUMBER
        dimensions = max(dimensions, math.ceil(wishes.body_bytes / size / max(1, count)))
    return [_unit_vector(dice, dimensions) for _ in range(count)]


def _unit_vector(dice: Dice, dimensions: int) -> array[float]:
    # A short block is repeated: the numbers mean nothing, only their amount does.
    block = [dice.uniform(-1, 1) for _ in range(min(dimensions, 512))]
    numbers = (block * (dimensions // len(block) + 1))[:dimensions]
    length = math.sqrt(sum(number * number for number in numbers))
    return array("f", (number / length for number in numbers))


def _base64(vector: array[float]) -> str:
    return base64.b64encode(vector.tobytes()).decode()


def _numbers(vector: array[float]) -> list[float]:
    return [round(number, 9) for number in vector]
