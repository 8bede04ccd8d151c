"""What a gateway writes to the card on a day like any other: people at the gate, a list that is still the same, time.

As in `card`, less what the same gateway writes without it. People come one by one: each has an event, and whoever is
let in a synced intent before it, in a commit of their own.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from agent.floor import KEEP_EVERY_MS, RELEASED, Floor, Ratchet
from benchmarks import people
from benchmarks.bench import bench
from benchmarks.figure import Figure, Of, Target, rotated
from benchmarks.memory_card import memory_card
from benchmarks.office import Office
from protocol.vocabulary import Denial
from tests.counterparts.board import Board

QUARTERS: Final = 24 * 3_600_000 // KEEP_EVERY_MS
COMING: Final = 50
ASKED: Final = 10
APART_S: Final = 0.1
"""Long enough that no two of them share a commit."""

SETTLE_S: Final = 2.0
"""Until what the list sets in motion has ended."""

Scene = Callable[[Board, Office], Awaitable[None]]


def measure(count: int, rounds: int, home: Path) -> list[Figure]:
    """Bytes an event, and bytes for each time that the cloud asks whether both sides still agree."""
    crowd = [invitee | {"accepted": True} for invitee in people.invitees(count)]
    first, again = people.parts(crowd), people.parts(crowd, batch_id="again", revision=2)
    resident, stranger = (f"+{mobile}" for mobile in (people.mobiles(1)[0], people.mobiles(count + 1)[-1]))

    async def nothing(board: Board, office: Office) -> None:
        pass

    async def come(mobile: str, answer: str, board: Board, _office: Office) -> None:
        for _ in range(COMING):
            assert await board.ask(mobile) == answer
            await asyncio.sleep(APART_S)

    async def same_again(_board: Board, office: Office) -> None:
        await asyncio.to_thread(office.send, again, count)

    async def compared(_board: Board, office: Office) -> None:
        for number in range(ASKED):
            asked = {"commandId": f"same-{number}", "deviceId": people.DEVICE_ID, "buckets": []}
            await asyncio.to_thread(office.ask, "resync", asked)

    scenes: dict[str, Scene] = {
        "nothing": nothing,
        "let in": partial(come, resident, "actuate"),
        "denied": partial(come, stranger, Denial.UNKNOWN_USER),
        "again": same_again,
        "compared": compared,
    }

    async def played(name: str) -> dict[str, float]:
        async with Board(people.DEVICE_ID) as board:
            with (
                memory_card(home) as card,
                bench(home, driver=board.url, state_dir=card.path / "state") as (gateway, office),
            ):
                await asyncio.to_thread(office.reached)
                await asyncio.to_thread(office.send, first, count)
                assert await board.ask(resident) == "actuate"  # the file of intents is made by the first of them
                await asyncio.sleep(SETTLE_S)
                before = card.written()
                await scenes[name](board, office)
                await asyncio.to_thread(gateway.stop)
                return {name: float(card.written() - before)}

    def day() -> dict[str, float]:
        with memory_card(home) as card:
            before = card.written()
            ratchet = Ratchet(card.path)
            for number in range(QUARTERS):
                ratchet.write(Floor(RELEASED + number * KEEP_EVERY_MS, number * KEEP_EVERY_MS))
            return {"day": float(card.written() - before)}

    def scene(name: str) -> dict[str, float]:
        return asyncio.run(played(name))

    found = rotated([day, *(partial(scene, name) for name in scenes)], rounds)

    def each(name: str, times: int) -> list[float]:
        return [(total - less) / times for total, less in zip(found[name], found["nothing"], strict=True)]

    return [
        Figure("somebody let in", "B", each("let in", COMING), target=Target(20_000, Of.MEDIAN)),
        Figure("somebody denied", "B", each("denied", COMING), target=Target(20_000, Of.MEDIAN)),
        Figure(f"asked whether {count:,} still agree", "B", each("compared", ASKED), target=Target(64_000, Of.MEDIAN)),
        Figure(f"the same {count:,} sent again", "B", each("again", 1)),
        Figure("an idle day: the floor under the clock", "B", found["day"], target=Target(5_000_000, Of.MEDIAN)),
    ]
