"""What systemd does with a daemon that hangs, and that it does nothing to one that has lost its broker."""

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from tests.counterparts import soak
from tests.counterparts.cloud import part, people
from tests.counterparts.waiting import wait_until
from tests.machine.station import ONLINE_S, Station

WATCHDOG_S = 30.0
"""`WatchdogSec=` of the unit."""

LATE_S = 3.0
OUTAGE_S = 150.0
"""Long enough for five words that systemd would miss."""

STATE = "/var/lib/private/fluss-agent"
HANGING = (
    "ExecStart=",
    "ExecStart=/opt/fluss-gateway/bin/python /opt/fluss-gateway/hang.py run --config /etc/fluss-agent/agent.toml",
)


@pytest.fixture(scope="module")
def able_to_hang(station: Station) -> Iterator[Station]:
    """The daemon as it is, but that it hangs where it is told to."""
    station.change(*HANGING)
    yield station
    station.change()


@pytest.mark.parametrize("place", ["loop", "writer", "decision"])
def test_what_hangs_is_started_again(
    able_to_hang: Station, place: str, record_property: Callable[[str, object], None]
) -> None:
    machine = able_to_hang.machine
    machine.ready()
    before = machine.shows("MainPID", "NRestarts")
    machine.sh(f"touch {STATE}/hang-{place}")
    wait_until(
        lambda: int(machine.shows("NRestarts")["NRestarts"]) > int(before["NRestarts"]),
        within_s=WATCHDOG_S * 3,
        every_s=1,
        what=f"a restart after the {place} hangs",
    )
    machine.ready()
    hung_s = float(machine.sh(f"cat {STATE}/hung"))
    after = machine.shows("MainPID", "NRestarts", "ExecMainStartTimestampMonotonic")
    restarted_s = int(after["ExecMainStartTimestampMonotonic"]) / 1e6
    assert int(after["NRestarts"]) == int(before["NRestarts"]) + 1
    assert after["MainPID"] != before["MainPID"]
    assert 0 < restarted_s - hung_s <= WATCHDOG_S + LATE_S
    assert "Watchdog timeout" in machine.log()
    record_property("tried:hung daemons restarted", 1)


async def test_outage_of_the_broker_restarts_nothing(
    station: Station, record_property: Callable[[str, object], None]
) -> None:
    machine = station.machine
    async with station.line() as line, station.cloud() as cloud:
        await asyncio.to_thread(machine.ready)
        await cloud.sees(online=True, within_s=ONLINE_S)
        before = machine.shows("MainPID", "NRestarts")
        line.cut(refuse=True)
        began = time.monotonic()
        await cloud.sees(online=False, within_s=180)
        await asyncio.sleep(OUTAGE_S * soak.FACTOR - (time.monotonic() - began))
        assert await asyncio.to_thread(machine.shows, "MainPID", "NRestarts") == before
        line.mend()
        batch = part("after-the-outage", 2, people(range(3)))
        await cloud.send(batch)
        await cloud.settles(batch, within_s=ONLINE_S)
        assert await asyncio.to_thread(machine.shows, "MainPID", "NRestarts") == before
    record_property("tried:seconds without a broker on a booted machine", round(time.monotonic() - began))
