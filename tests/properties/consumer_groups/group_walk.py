"""Long random lives of a coordinator, one a seed: deeper than Hypothesis goes, replayed by number.

Run: .venv/bin/python -m tests.properties.consumer_groups.group_walk FIRST END
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Final

from tests.properties.consumer_groups.group_world import World

STEPS: Final = 200

Act = Callable[[World, random.Random], object]

ACTS: Final[tuple[tuple[int, Act], ...]] = (
    (3, lambda w, r: w.join(r.randrange(2), r.randrange(4), r.randrange(4), r.randrange(7))),
    (3, lambda w, r: w.join(r.randrange(2), 2, 0, r.randrange(4))),
    (1, lambda w, r: w.join_beside(r.randrange(12))),
    (2, lambda w, r: w.reconnect(r.randrange(12), r.randrange(9))),
    (5, lambda w, r: w.deliver(r.randrange(12))),
    (2, lambda w, r: w.heartbeat(r.randrange(12))),
    (1, lambda w, r: w.lose(r.randrange(12))),
    (10, lambda w, r: w.acknowledge(r.randrange(12), r.randrange(5))),
    (1, lambda w, r: w.acknowledge_again(r.randrange(12), r.randrange(60))),
    (1, lambda w, r: w.leave(r.randrange(12))),
    (2, lambda w, r: w.expire(r.randrange(12), r.randrange(3), r.randrange(3))),
    (4, lambda w, r: w.commit(r.randrange(12), r.randrange(1_000), r.randrange(3))),
    (1, lambda w, r: w.commit_what_is_not_owned(r.randrange(12), r.randrange(12))),
    (2, lambda w, r: w.commit_of_zombie(r.randrange(2), r.randrange(12), r.randrange(3))),
    (2, lambda w, r: w.reset(r.randrange(2), r.randrange(12), r.randrange(5), r.randrange(99))),
    (1, lambda w, r: w.store(r.randrange(2), r.randrange(12), r.randrange(5), r.randrange(99))),
    (1, lambda w, r: w.delete_offsets(r.randrange(2), r.randrange(12), r.randrange(5))),
    (1, lambda w, r: w.expire_offsets(r.randrange(2), r.choice((0, 500, 2_000)))),
    (1, lambda w, r: w.delete_group(r.randrange(2))),
    (2, lambda w, r: w.change_topic(r.randrange(3), r.randrange(7))),
    (2, lambda w, _: w.tell_groups_of_topics()),
    (1, lambda w, _: w.take_snapshot()),
    (1, lambda w, _: w.restart()),
    (1, lambda w, _: w.settle()),
)


def walk(seed: int, steps: int = STEPS) -> World:
    """One life, checked after each step; at its end everything settles."""
    draw, world = random.Random(seed), World()
    weights = [weight for weight, _ in ACTS]
    for _, act in draw.choices(ACTS, weights, k=steps):
        act(world, draw)
        world.check()
    world.restart()
    world.settle()
    world.check()
    return world


def main() -> None:
    """Says the seed that fails."""
    first, end = int(sys.argv[1]), int(sys.argv[2])
    records = 0
    for seed in range(first, end):
        try:
            records += len(walk(seed).log.log)
        except BaseException:
            print(f"seed {seed} fails")
            raise
    print(f"seeds {first} to {end}: {records} records, all good")


if __name__ == "__main__":
    main()
