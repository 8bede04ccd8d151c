"""What a gateway that is not running has left in its state directory: a list, and an access log."""

import asyncio
import json
from collections.abc import Mapping

from protocol.events import Event
from storage import events
from tests.counterparts.agent import Agent
from tests.counterparts.cloud import GATE, PANEL, Document
from tests.oracle.model import DeviceRule
from tests.oracle.store import Store

RULES = {GATE: DeviceRule("fluss+", 20_000), PANEL: DeviceRule("intercom", 20_000)}


def leave(agent: Agent, *parts: Document, happened: list[Event] | None = None, at: int) -> None:
    """Leave the list that these parts make, received at ``at`` (epoch ms), and these events."""
    asyncio.run(left(agent, *parts, happened=happened, at=at))


async def left(
    agent: Agent,
    *parts: Document,
    happened: list[Event] | None = None,
    at: int,
    rules: Mapping[str, DeviceRule] | None = None,
) -> None:
    """The same, in an event loop."""
    await asyncio.to_thread(agent.state_dir.mkdir, exist_ok=True)
    async with Store(agent.store, dict(rules or RULES)) as store:
        for each in parts:
            await store.receive([json.dumps(each).encode()], at)
        if happened:
            await store.database.transact(lambda transaction: events.record(transaction, happened))
