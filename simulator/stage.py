"""Where a scenario is played: broker, network, devices, cloud and gateway, all on this machine, at the story's time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Final

import orjson

from protocol.vocabulary import Kind, Status
from simulator.address import Address
from simulator.broker import BenchBroker
from simulator.cloud import Cloud, Silence
from simulator.gate import Gate
from simulator.gateway import START_S, Gateway
from simulator.hardware import Hardware
from simulator.keyring import make_pair
from simulator.messages import State
from simulator.panel import Panel
from simulator.scenario import Fixture, Scenario
from simulator.site import Site
from simulator.storyclock import StoryClock, find_library
from simulator.uplink import Net, Uplink
from simulator.wire import HOST

GATEWAY: Final = "gw-story"
SOON_S: Final = 20.0
"""How long anything may take that takes some milliseconds on a good day."""

BACK_S: Final = 60.0
"""How long a gateway may take to come back to a broker: it waits longer after every failure."""

_LOOK_S: Final = 0.1
_ALL: Final = "1000000"


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that a scenario needs, put up. What a method waits for comes, or it raises Failure."""

    address: Address
    """The broker, for whoever is not behind the uplink."""
    clock: StoryClock
    site: Site
    uplink: Uplink
    cloud: Cloud
    gateway: Gateway
    _config: Path
    _state_dir: Path
    _key: Path

    @property
    def connected(self) -> bool:
        """Whether gateway and cloud can talk to each other."""
        return self.gateway.running and self.uplink.net is not Net.DOWN

    async def power_on(self, *, knows_time: bool) -> None:
        """Start the gateway, and wait until it has its devices and, where there is a network, its broker.

        One that does not know the time asks the board's time service, which knows nothing of the story.
        """
        broker = Address(HOST, self.uplink.port, protocol="3.1.1")
        trust = "system" if knows_time else "auto"
        self._config.write_text(
            self.site.configuration(GATEWAY, self._state_dir, broker, self._key, trust=trust), "utf-8"
        )
        if self.uplink.net is Net.DOWN:
            await self.gateway.start_until(self.site.dialled(START_S))
            return
        await self.gateway.start()
        await self.site.dialled(SOON_S)
        await self._devices_known()

    async def power_off(self, events: int) -> None:
        """End the gateway as a power cut does, once it has written down so many events: minutes pass in the story."""
        await self.written(events)
        self.clock.forget(await self.gateway.kill())
        if self.uplink.net is not Net.DOWN:
            await self.cloud.until(self._is_offline, within_s=SOON_S, what="the gateway's last will")

    async def become(self, net: Net, events: int) -> None:
        """Change the network, and wait until it shows: once it is up, the cloud knows all, so many events too."""
        self.uplink.become(net)
        if not self.gateway.running:
            return
        if net is Net.DOWN:
            await self.cloud.until(self._is_offline, within_s=SOON_S, what="the gateway's last will")
        elif net is Net.UP:
            await self.told(events)

    async def told(self, events: int, within_s: float = BACK_S) -> None:
        """Wait until the gateway is online and the cloud has everything, so many events at least."""

        def caught_up() -> bool:
            state, cloud = self.cloud.state, self.cloud
            return state is not None and state.online and len(cloud.events) >= events and not cloud.missing()

        await self.cloud.until(caught_up, within_s=within_s, what=f"the gateway, and {events} events")

    async def leave(self) -> None:
        """End the gateway in order, and wait until the cloud has had its last word, and all that it names."""
        await self.gateway.stop()
        await self.cloud.until(
            lambda: self._is_offline() and not self.cloud.missing(), within_s=SOON_S, what="the gateway's last word"
        )

    async def plug_in(self, device_id: str) -> None:
        """Have a device back, and wait until the gateway has found it."""
        await self.site.plug_in(device_id)
        if self.gateway.running:
            await self.site.dialled(SOON_S)
            await self._devices_known()

    async def unplug(self, device_id: str) -> None:
        """Have a device gone, and wait until the gateway has noticed."""
        await self.site.unplug(device_id)
        await self._devices_known()

    async def is_active(self, mobile: str) -> None:
        """Wait until the gateway itself has somebody as Active, whether the cloud can hear of it or not."""

        async def active() -> bool:
            users = orjson.loads(await self.gateway.read("users", "--format", "json"))
            return any((user["mobile"], user["status"]) == (mobile, Status.ACTIVE) for user in users)

        await _until(active, f"{mobile} to be {Status.ACTIVE}")

    async def written(self, events: int) -> None:
        """Wait until so many events are written down: the cloud has them, or the gateway itself says so."""

        async def written() -> bool:
            return len(orjson.loads(await self.gateway.read("events", "--last", _ALL, "--format", "json"))) >= events

        if self.gateway.running and self.uplink.net is Net.UP:
            await self.told(events, SOON_S)
        else:
            await _until(written, f"{events} events in the gateway's log")

    async def _devices_known(self) -> None:
        """Wait until the gateway has told the cloud which devices are there; without a network, nobody is told."""
        if not self.connected:
            return

        def known() -> bool:
            state = self.cloud.state
            return state is not None and state.online and self._agrees(state)

        await self.cloud.until(known, within_s=BACK_S, what="news of the devices")

    def _agrees(self, state: State) -> bool:
        return all(each.connected == self.site.devices[each.device_id].connected for each in state.devices)

    def _is_offline(self) -> bool:
        return self.cloud.state is not None and not self.cloud.state.online


@asynccontextmanager
async def put_up(scenario: Scenario, home: Path, now: datetime, travel_s: float) -> AsyncIterator[Stage]:
    """The stage of a scenario, in `home`; the gateway does not run yet. Raises NoFaketime.

    `travel_s` is how long gates take from closed to open, in seconds of the audience's own.
    """
    clock = StoryClock(home / "clock", find_library(), now)
    devices = [_hardware(fixture, travel_s) for fixture in scenario.devices]
    opens = {each.device_id: each.opens for each in scenario.devices if each.opens is not None}
    rng = Random(scenario.title)  # noqa: S311 -- the same mishaps every time
    async with BenchBroker() as broker, Uplink(broker.port, rng) as uplink:
        keys = make_pair(home, "cloud-story")
        address = Address(broker.host, broker.port, protocol="3.1.1", key=keys.key)
        config = home / "gateway.toml"
        async with (
            Site(devices, zone=scenario.zone.key, opens=opens) as site,
            Cloud(address, GATEWAY, now_ms=lambda: clock.now_ms) as cloud,
            Gateway(config, home / "gateway.log", address, GATEWAY, clock.environment) as gateway,
        ):
            yield Stage(address, clock, site, uplink, cloud, gateway, config, home / "state", keys.public)


async def _until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Look until it is so. Raises Silence, which names `what`."""
    try:
        async with asyncio.timeout(SOON_S):
            while not await condition():  # noqa: ASYNC110 -- what is looked at rings no bell
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise Silence(f"waited {SOON_S:g} s for {what}") from None


def _hardware(fixture: Fixture, travel_s: float) -> Hardware:
    if fixture.kind is Kind.INTERCOM:
        return Panel(fixture.device_id, name=fixture.name)
    return Gate(fixture.device_id, name=fixture.name, sensor=fixture.sensor, travel_s=travel_s)
