"""A budget of bytes lets through what fits, in order, and never more."""

from __future__ import annotations

import asyncio

import pytest

from streamlog.broker.budget import ByteBudget


async def test_waiters_get_their_turn_in_order() -> None:
    """A small request does not overtake a large one that waits: no stream starves."""
    budget = ByteBudget(100)
    await budget.take(80)
    order: list[str] = []

    async def take(name: str, size: int) -> None:
        await budget.take(size)
        order.append(name)

    large = asyncio.ensure_future(take("large", 60))
    await asyncio.sleep(0)
    small = asyncio.ensure_future(take("small", 10))
    await asyncio.sleep(0)
    assert order == []
    budget.give(80)
    await asyncio.gather(large, small)
    assert order == ["large", "small"]
    assert budget.used == 70


async def test_what_is_larger_than_the_budget_goes_alone() -> None:
    """It could never be served otherwise."""
    budget = ByteBudget(100)
    await budget.take(500)
    waiter = asyncio.ensure_future(budget.take(1))
    await asyncio.sleep(0)
    assert not waiter.done()
    budget.give(500)
    await waiter
    assert budget.used == 1


async def test_a_cancelled_waiter_takes_nothing() -> None:
    """Whether it was cancelled before or after its turn came."""
    budget = ByteBudget(100)
    await budget.take(100)
    before = asyncio.ensure_future(budget.take(50))
    behind = asyncio.ensure_future(budget.take(40))
    await asyncio.sleep(0)
    before.cancel()
    with pytest.raises(asyncio.CancelledError):
        await before
    budget.give(100)
    behind.cancel()  # its turn has come in this very moment
    with pytest.raises(asyncio.CancelledError):
        await behind
    assert budget.used == 0
