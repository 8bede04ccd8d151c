"""The link under test, as every test of it needs it: the same policy as a gateway's, run faster."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from agent.backoff import Pace
from agent.link import Address, Link
from tests.counterparts.waiting import until

INVITES, COMMANDS, STATE = "fluss/v1/gw-1/invites", "fluss/v1/gw-1/commands", "fluss/v1/gw-1/state"
WILL = b'{"online": false}'
QUICK = Pace(base_s=0.05, cap_s=0.2)


def new_link(address: Address, *, pace: Pace = QUICK, uptime_s: float = 1e6, floor: int | None = None) -> Link:
    return Link(
        address,
        subscriptions=dict.fromkeys([INVITES, COMMANDS], 1 << 20),
        will_topic=STATE,
        will=lambda: WILL,
        rng=Random(1),
        floor=lambda: floor,
        board_uptime_s=lambda: uptime_s,
        pace=pace,
    )


@asynccontextmanager
async def running(link: Link) -> AsyncIterator[Link]:
    """The link at work; at the end it takes leave of its broker."""
    task = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def connected(link: Link) -> AsyncIterator[Link]:
    """The link at work, once it is connected."""
    async with running(link):
        async with asyncio.timeout(10):
            await link.connected()
        yield link


async def error_of(link: Link) -> str:
    """What its status says first about a failure."""
    await until(lambda: link.status.last_error)
    return link.status.last_error or ""
