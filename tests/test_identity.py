from __future__ import annotations

import random
import uuid

from proxy.identity import uuid7


def test_the_example_of_the_rfc():
    assert uuid7(0x017F22E279B0, (0xCC3 << 62) | 0x18C4DC0C0C07398F) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_every_id_is_a_uuid_of_version_7_and_sorts_by_time():
    chance = random.Random(1)
    made = [uuid7(ms, chance.getrandbits(74)) for ms in sorted(chance.getrandbits(48) for _ in range(1000))]
    assert made == sorted(made)
    assert {(uuid.UUID(each).version, uuid.UUID(each).variant) for each in made} == {(7, uuid.RFC_4122)}
    assert {str(uuid.UUID(each)) for each in made} == set(made)


def test_every_random_bit_counts():
    assert len({uuid7(0, 1 << bit) for bit in range(74)}) == 74
