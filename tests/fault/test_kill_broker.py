"""The broker killed under a stream of parts, with all it had acknowledged: a cloud that asks again loses nothing."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import aiomqtt
import pytest

from tests.counterparts.agent import gateway
from tests.counterparts.mosquitto import Mosquitto
from tests.fault import history

KILLS = 3


@pytest.mark.parametrize("persistent", [True, False], ids=["writes a store", "writes nothing"])
async def test_broker_killed_at_random_moments(
    mosquitto_installed: None, tmp_path: Path, record_property: Callable[[str, object], None], persistent: bool
) -> None:
    rng = Random(3)
    sent = history.stream(rng, 60)
    async with (
        Mosquitto(tmp_path / "broker", persistent=persistent) as broker,
        gateway(tmp_path, broker.port) as (agent, cloud),
    ):
        share = len(sent) // KILLS
        for first in range(0, len(sent), share):
            sending = asyncio.create_task(cloud.send(*sent[first : first + share], within_s=1))
            await asyncio.sleep(rng.uniform(0.01, 0.1))
            await asyncio.to_thread(broker.kill9)
            with suppress(aiomqtt.MqttError, TimeoutError):
                await sending
            await asyncio.to_thread(broker.start)
        assert await cloud.reconcile(*sent, within_s=45), "the broker lost something"
        await history.check(agent, cloud, sent)
    record_property("tried:kills with signal 9", -(-len(sent) // share))
