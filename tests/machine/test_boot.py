"""The unit as it ships, on a Debian that boots, installed by the commands of README.md."""

import asyncio

from tests.counterparts.cloud import part, people
from tests.machine.station import ONLINE_S, Station

MOST_EXPOSED = 13
"""Tenths of the score that `systemd-analyze security` gives; lower is better."""


async def test_unit_becomes_ready_and_a_list_lands(station: Station) -> None:
    machine = station.machine
    async with station.line(), station.cloud() as cloud:
        await cloud.sees(online=True, within_s=ONLINE_S)
        batch = part("landing", 1, people(range(20)))
        await cloud.send(batch)
        await cloud.settles(batch, within_s=60)
        assert cloud.outcomes("landing", 1) == ["applied"]
    systemd = await asyncio.to_thread(machine.shows, "Type", "ActiveState", "NRestarts", "Result")
    assert systemd == {"Type": "notify", "ActiveState": "active", "NRestarts": "0", "Result": "success"}
    code, said = await asyncio.to_thread(machine.run, "stat --format=%a /var/lib/fluss-agent/configuration")
    assert (code, said.split()) == (0, ["600"]), "what the configuration said is kept, for the daemon alone"


def test_running_unit_leaves_little_exposed(station: Station) -> None:
    code, said = station.machine.run(f"systemd-analyze security --threshold={MOST_EXPOSED} --no-pager fluss-agent")
    assert "Overall exposure level" in said, said
    assert code == 0, said.splitlines()[-1]
