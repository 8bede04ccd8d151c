"""A list over a mobile line at its worst: slow, far away, and cut in the middle of every third part."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.counterparts.agent import gateway
from tests.counterparts.cloud import Cloud, Document, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.proxy import Proxy
from tests.counterparts.soak import FACTOR
from tests.counterparts.waiting import until

FULL = FACTOR > 1
USERS, PARTS, WITHIN_S = (10_000, 26, 1200) if FULL else (1_600, 5, 45)
HASTE = 1 if FULL else 4
RATE, DELAY_S = HASTE * 256_000 / 8, 0.4 / HASTE
"""A single bar, or a line whose volume is used up: 256 kbit/s and 400 ms; run four times faster where time is short."""


def split() -> list[Document]:
    """The list in its parts, two hundred bytes a person."""
    notes = "Unit 4, North Gate; second car: a grey bakkie with a canopy, comes on Tuesdays"
    return [
        part("b-1", 1, people(range(USERS)[index::PARTS], notes=notes), part=index + 1, parts=PARTS)
        for index in range(PARTS)
    ]


def reported(cloud: Cloud) -> int:
    """The bytes of what the gateway had to say of it, each report once."""
    return sum(len(message.payload) for message in cloud.reports.values())


@pytest.mark.timeout(1800 if FULL else 60)
async def test_list_comes_through_a_line_that_is_cut_all_the_time_and_is_not_sent_twice(
    mosquitto: Mosquitto, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    rng, sent = Random(6), split()
    size = sum(len(json.dumps(each)) for each in sent)
    async with (
        Proxy(mosquitto.port, rate=RATE, delay_s=DELAY_S) as proxy,
        gateway(tmp_path, mosquitto.port, through=proxy.port) as (agent, cloud),
    ):
        await until(lambda: cloud.state["outbox"] == 0)
        proxy.lasts = lambda: rng.uniform(2, 3) * size / PARTS
        delivered, taken = proxy.delivered, proxy.taken
        proxy.cut()
        await cloud.send(*sent)
        await cloud.outcome("b-1", "complete", within_s=WITHIN_S)
        await cloud.settles(*sent, within_s=WITHIN_S)
        assert len(await agent.users()) == USERS
        cuts = proxy.accepted - 2
        assert cuts >= 2
        assert proxy.delivered - delivered <= 1.5 * size
        assert proxy.taken - taken <= 1.5 * reported(cloud)
    record_property("tried:cuts of a slow line", cuts)
