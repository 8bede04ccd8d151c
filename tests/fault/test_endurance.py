"""Years in small: lists that change, people at the gate, lines that are cut, over and over; and nothing piles up."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import psutil
import pytest

from agent.store_path import SNAPSHOTS
from tests.counterparts.agent import Agent, gateway
from tests.counterparts.board import Board
from tests.counterparts.cloud import GATE, mobile, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.proxy import Proxy
from tests.counterparts.soak import scaled
from tests.counterparts.waiting import until

USERS = 200
WARM = 8
"""Rounds before it is weighed; and the first copy of the store has to be there, which takes memory once."""

CUT_EVERY = 10
"""Rounds. A line that is lost again soon is dialled again late, up to two minutes."""

MOST_GROWTH = 2 << 20
MOST_LOG = 16 << 20
"""Bytes of the write-ahead log."""


@pytest.mark.timeout(0)
async def test_nothing_piles_up(
    mosquitto: Mosquitto, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    rounds = scaled(24)
    async with (
        Board(GATE) as board,
        Proxy(mosquitto.port) as proxy,
        gateway(tmp_path, mosquitto.port, through=proxy.port, devices={GATE: {"driver": board.url}}) as (agent, cloud),
    ):
        revisions = count(1)

        async def one() -> None:
            revision = next(revisions)
            sent = part(f"list-{revision}", revision, people(range(USERS), notes=f"Unit {revision}", accepted=True))
            await cloud.send(sent)
            await cloud.settles(sent)
            assert await board.ask(mobile(1)) == "actuate"
            assert await board.ask(mobile(USERS + 1)) == "unknown_user"
            await cloud.ask("acknowledge", epoch=cloud.state["epoch"], throughReport=1 << 40, throughEvent=1 << 40)

        for _ in range(WARM):
            await one()
        await until(lambda: any((agent.state_dir / SNAPSHOTS).glob("*.db")), within_s=60, what="a copy of the store")
        await one()
        process = psutil.Process(agent.pid)
        resident, descriptors = process.memory_info().rss, process.num_fds()
        for number in range(1, rounds + 1):
            await one()
            if number % CUT_EVERY == 0:
                proxy.cut()
                await _back(agent, 1 + number // CUT_EVERY)
        assert process.memory_info().rss - resident < MOST_GROWTH
        await until(lambda: process.num_fds() <= descriptors, within_s=20, what="as many descriptors as before")
        assert agent.store.with_name("gateway.db-wal").stat().st_size < MOST_LOG
    record_property("tried:lists one after the other, without growth", rounds)


async def _back(agent: Agent, lines: int) -> None:
    """So many lines there have been since its start."""
    await until(lambda: len(agent.logged("link.connected")) == lines, within_s=200, what="the line back")
