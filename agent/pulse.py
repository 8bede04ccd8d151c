"""One pulse without a daemon: the gate alone, put together for as long as that takes, and recorded like any other."""

import asyncio
import secrets
from contextlib import closing, suppress
from random import Random
from typing import Final

from agent.bench import Pulsed, pulsed
from agent.clock import timekeeper
from agent.config import Config, Device
from agent.drivers.driver import Driver
from agent.gatehouse import gatehouse
from agent.intents import Intents
from agent.rollcall import Rollcall
from agent.store_path import INTENTS, STORE, key_file
from agent.surroundings import Surroundings
from agent.vault import Vault
from protocol.mobile import Numbers
from storage.database import Database, Reader
from storage.store import enroll

CONNECT_S: Final = 10.0
"""How long hardware gets to be reached, and to introduce itself."""

DRAIN_S: Final = 5.0
"""How long the event may take to be stored. Whatever it still is then, its intent is on the card."""


async def pulse(config: Config, asked: Device, moves: Device) -> Pulsed:
    """Move a gate because somebody at `asked` says so: the gate itself, or the intercom that opens it.

    The caller owns the state directory. Raises StorageFault, SchemaFault, OSError.
    """
    path = config.state_dir / STORE
    key = config.store.key
    async with Database(path, key_file=key_file(config.state_dir), key=key) as database:
        with (
            closing(Reader(path, key=key)) as reader,
            closing(Intents(config.state_dir / INTENTS, config.store.key_file)) as intents,
        ):
            return await _pulse(config, asked, moves, database, reader, intents)


async def _pulse(
    config: Config, asked: Device, moves: Device, database: Database, reader: Reader, intents: Intents
) -> Pulsed:
    clock, rng = timekeeper(config), Random(secrets.randbits(64))  # noqa: S311 -- jitter, not secrets
    await clock.look()
    epoch = secrets.token_hex(4)
    places = await database.transact(lambda store: enroll(store, epoch, [each.id for each in config.devices]))
    changed = asyncio.Event()
    house = gatehouse(
        config=config,
        devices=[moves],
        places=places,
        rollcall=Rollcall(reader),
        clock=clock,
        vault=Vault(database, reader, {}, clock, rng),
        intents=intents,
        numbers=Numbers(config.default_region),
        rng=rng,
        surroundings=Surroundings(),
        changed=changed.set,
    )
    driver = house.drivers[moves.id]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(part.run()) for part in (driver, house.threshold, house.recorder)]
        await _connected(driver, changed)
        answer = await house.gate.pulse(asked.id, secrets.token_hex(16))
        await house.threshold.close()
        await house.recorder.drain(DRAIN_S)
        for task in running:
            task.cancel()
        return await pulsed(answer)


async def _connected(driver: Driver, changed: asyncio.Event) -> None:
    """Wait until the hardware is reached, but not for ever: the gate itself says so where it is not."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CONNECT_S):
            while not driver.connected:
                changed.clear()
                await changed.wait()
