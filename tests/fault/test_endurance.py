"""Years in small: lists that change, people at the gate, lines that are cut, over and over; and nothing piles up."""

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.counterparts.agent import Agent, gateway
from tests.counterparts.board import Board
from tests.counterparts.cloud import GATE, mobile, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.proxy import Proxy
from tests.counterparts.soak import scaled
from tests.counterparts.waiting import until

USERS = 200
CUT_EVERY = 10
"""Rounds. A line that is lost again soon is dialled again late, up to two minutes."""

MOST_GROWTH = 2 << 20
A_COPY = 2
"""Descriptors: that of the store's copy, once there is one, and the one it was read by."""

MOST_LOG = 16 << 20
"""Bytes of the write-ahead log."""


@pytest.mark.timeout(0)
async def test_nothing_piles_up(
    mosquitto: Mosquitto, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    rounds, warm = scaled(24), 8
    async with (
        Board(GATE) as board,
        Proxy(mosquitto.port) as proxy,
        gateway(tmp_path, mosquitto.port, through=proxy.port, devices={GATE: {"driver": board.url}}) as (agent, cloud),
    ):
        process = psutil.Process(agent.pid)
        usual, cuts = (0, 0), 0
        for revision in range(1, warm + rounds + 1):
            crowd = people(range(USERS), notes=f"Unit {revision}", accepted=True)
            sent = part(f"list-{revision}", revision, crowd)
            await cloud.send(sent)
            await cloud.settles(sent)
            assert await board.ask(mobile(1)) == "actuate"
            assert await board.ask(mobile(USERS + 1)) == "unknown_user"
            await cloud.ask("acknowledge", epoch=cloud.state["epoch"], throughReport=1 << 40, throughEvent=1 << 40)
            if revision % CUT_EVERY == 0:
                proxy.cut()
                cuts += 1
                await _back(agent, 1 + cuts)
            if revision == warm:
                usual = (process.memory_info().rss, process.num_fds())
        assert process.memory_info().rss - usual[0] < MOST_GROWTH
        await until(lambda: process.num_fds() <= usual[1] + A_COPY, within_s=20, what="as many descriptors as before")
        assert agent.store.with_name("gateway.db-wal").stat().st_size < MOST_LOG
    record_property("tried:lists one after the other, without growth", rounds)


async def _back(agent: Agent, lines: int) -> None:
    """So many lines there have been since its start."""
    await until(lambda: len(agent.logged("link.connected")) == lines, within_s=200, what="the line back")
