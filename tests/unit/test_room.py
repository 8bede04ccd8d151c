"""How much may be on its way to the broker at once."""

import asyncio
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.room import Room

MOST_MESSAGES, MOST_BYTES = 4, 100


class Road:
    """Messages take their place, and leave when the test says so."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._room = Room(MOST_MESSAGES, MOST_BYTES)
        self._arrived = [asyncio.Event() for _ in sizes]
        self.under_way: list[int] = []
        self.tasks = [asyncio.create_task(self._travel(number, size)) for number, size in enumerate(sizes)]

    async def _travel(self, number: int, size: int) -> None:
        async with self._room.taken(size):
            self.under_way.append(number)
            await self._arrived[number].wait()
            self.under_way.remove(number)

    async def settle(self) -> list[int]:
        for _ in range(10):
            await asyncio.sleep(0)
        return self.under_way

    async def arrive(self, number: int) -> list[int]:
        self._arrived[number].set()
        return await self.settle()


async def test_one_message_goes_whatever_its_size_and_then_alone() -> None:
    road = Road([10, 1000, 10])
    assert await road.settle() == [0]
    assert await road.arrive(0) == [1]
    assert await road.arrive(1) == [2]
    await road.arrive(2)


@pytest.mark.parametrize(("sizes", "together"), [([50, 50, 1], 2), ([1] * 5, 4), ([100, 1], 1), ([0] * 9, 4)])
async def test_so_many_go_together(sizes: Sequence[int], together: int) -> None:
    road = Road(sizes)
    assert await road.settle() == list(range(together))
    for number in range(len(sizes)):
        await road.arrive(number)


async def test_whoever_is_cancelled_while_it_waits_takes_no_room() -> None:
    road = Road([100, 100, 100])
    await road.settle()
    road.tasks[1].cancel()
    assert await road.arrive(0) == [2]
    await road.arrive(2)


@given(st.lists(st.integers(1, 150), max_size=20), st.randoms(use_true_random=False))
def test_room_is_never_exceeded_nor_left_empty_and_the_order_is_kept(sizes: list[int], rng: Random) -> None:
    async def travel() -> None:
        road, gone = Road(sizes), 0
        while gone < len(sizes):
            under_way = await road.settle()
            assert under_way, "somebody waits, and nobody is on the road"
            assert len(under_way) <= MOST_MESSAGES
            assert len(under_way) == 1 or sum(sizes[number] for number in under_way) <= MOST_BYTES
            assert sorted(under_way) == under_way
            await road.arrive(rng.choice(under_way))
            gone += 1
        await asyncio.gather(*road.tasks)

    asyncio.run(travel())
