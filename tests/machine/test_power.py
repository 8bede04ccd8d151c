"""The power goes, on a machine that boots: what was receipted is there when it comes back, without anybody's help."""

import asyncio
import json
import os
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import aiomqtt

from tests.counterparts import soak
from tests.counterparts.cloud import Cloud, Document, part, people
from tests.counterparts.waiting import until
from tests.machine.station import ONLINE_S, Station

CUTS = 5
PEOPLE = 5
"""In a part; each part is a batch of its own."""

EVERY_S = 0.3
"""As fast as an emulated processor keeps up with, more or less."""

LISTED = "/opt/fluss-gateway/bin/fluss-agent users --config /etc/fluss-agent/agent.toml --format json 2>/dev/null"
INTACT = """
/opt/fluss-gateway/bin/python - <<END
import sqlite3
store = sqlite3.connect("file:/var/lib/private/fluss-agent/gateway.db?mode=ro", uri=True)
print(*store.execute("PRAGMA integrity_check").fetchone())
END
"""
DAMAGED = "ls /var/lib/private/fluss-agent/damaged 2>/dev/null || true"


async def stream(cloud: Cloud, sent: list[Document], batch: str) -> None:
    """Send one part after the other until cancelled, each with people whom nobody has sent before."""
    while True:
        first = len(sent) * PEOPLE
        each = part(f"{batch}-{len(sent)}", 100 + len(sent), people(range(first, first + PEOPLE)))
        sent.append(each)
        with suppress(aiomqtt.MqttError, TimeoutError):
            await cloud.send(each)
        await asyncio.sleep(EVERY_S)


def receipted(cloud: Cloud, sent: list[Document]) -> list[Document]:
    return [each for each in sent if cloud.receipts(each["batchId"], 1)]


def grown(cloud: Cloud, sent: list[Document], before: int) -> bool:
    return len(receipted(cloud, sent)) > before


async def test_nothing_that_was_receipted_is_lost(
    station: Station, record_property: Callable[[str, object], None]
) -> None:
    """The line is cut with the power, and mended after the list was judged: what is there was there before."""
    seed = int(os.environ.get("CUT_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
    chance, machine = random.Random(seed), station.machine
    sent: list[Document] = []
    lost_writes = receipts = 0
    async with station.line() as line, station.cloud() as cloud:
        await asyncio.to_thread(machine.ready)
        for number in range(cuts := soak.scaled(CUTS)):
            await cloud.sees(online=True, within_s=ONLINE_S)
            before = len(receipted(cloud, sent))
            streaming = asyncio.create_task(stream(cloud, sent, "cut"))
            try:
                await until(
                    partial(grown, cloud, sent, before), within_s=120, every_s=0.1, what="a receipt since the boot"
                )
                await asyncio.sleep(chance.uniform(0, 5))
                left = await asyncio.to_thread(machine.cut, chance)
                line.cut(refuse=True)
            finally:
                streaming.cancel()
                await asyncio.wait([streaming])
            await cloud.sees(online=False, within_s=60)
            there = receipted(cloud, sent)
            receipts, lost_writes = len(there), lost_writes + left.torn + left.gone

            await asyncio.to_thread(machine.power_on)
            await asyncio.to_thread(machine.ready)
            listed = {user["mobile"] for user in json.loads(await asyncio.to_thread(machine.sh, LISTED))}
            assert there, "control: something was receipted"
            wanted = {each["mobile"] for batch in there for each in batch["invitees"]}
            assert wanted <= listed, f"cut {number} of CUT_SEED={seed} lost {len(wanted - listed)}; {left}"
            assert (await asyncio.to_thread(machine.sh, INTACT)).strip() == "ok", f"cut {number} of CUT_SEED={seed}"
            assert not await asyncio.to_thread(machine.sh, DAMAGED), "it was healed, and should not have needed to"
            line.mend()
        await cloud.settles(*sent, within_s=ONLINE_S)
    record_property("tried:true power cuts", cuts)
    record_property("tried:parts receipted before a true power cut", receipts)
    record_property("tried:writes of a booted machine that its power cuts lost", lost_writes)
