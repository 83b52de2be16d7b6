"""Pages behave like one run of bytes."""

from __future__ import annotations

import random

from jepsen_like.sim.ports.content import PAGE_BYTES, Content


def test_content_equals_a_bytearray() -> None:
    """Thousands of random writes, cuts, reads and copies give what a bytearray gives."""
    rng = random.Random(1)
    content, model = Content(b"abc"), bytearray(b"abc")
    kept: list[tuple[Content, bytes]] = []
    for step in range(3_000):
        size = rng.choice([1, 10, 600, PAGE_BYTES, 3 * PAGE_BYTES + 7])
        offset = rng.choice([0, rng.randrange(5 * PAGE_BYTES), PAGE_BYTES, 2 * PAGE_BYTES])
        action = rng.random()
        if action < 0.5:
            data = bytes([step % 255 + 1]) * size
            content.write(offset, data)
            if offset > len(model):
                model.extend(bytes(offset - len(model)))
            model[offset : offset + size] = data
        elif action < 0.6:
            content.resize(offset)
            del model[offset:]
            model.extend(bytes(offset - len(model)))
        elif action < 0.65:
            kept.append((content.copy(), bytes(model)))
        assert len(content) == len(model)
        assert content.read(offset, size) == bytes(model[offset : offset + size])
    for copied, expected in kept:
        assert copied.read(0, len(expected) + 1) == expected
