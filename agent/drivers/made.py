"""The driver that a device's configuration asks for."""

import asyncio
from functools import partial
from random import Random
from typing import assert_never

from agent.config import Device
from agent.config_drivers import Gpio, Serial, Tcp
from agent.drivers import tcp
from agent.drivers.driver import Actuated, Driver, Ears, Offline
from agent.drivers.line import Line
from agent.drivers.relay import Relay
from protocol.vocabulary import Action, Position


class Nothing:
    """No hardware at all: the list is kept, and nothing moves."""

    @property
    def connected(self) -> bool:
        """Never."""
        return False

    @property
    def position(self) -> Position | None:
        """Nobody knows."""
        return None

    async def run(self) -> None:
        """Wait to be cancelled."""
        await asyncio.Event().wait()

    async def actuate(self, request_id: str, action: Action) -> Actuated:  # noqa: ARG002 -- as every driver's
        """Raise Offline."""
        raise Offline("this device has no driver")

    def grant(self, request_id: str) -> None:
        """Nobody is there to be told."""

    def refuse(self, request_id: str, reason: str) -> None:
        """Nobody is there to be told."""


def driver_for(device: Device, ears: Ears, rng: Random) -> Driver:
    """The driver of this device, still to be run."""
    match device.driver:
        case None:
            return Nothing()
        case Tcp() as address:
            return Line(device.id, str(address), partial(tcp.dial, address), ears=ears, rng=rng)
        case Serial() as port:
            from agent.drivers import serial  # noqa: PLC0415 -- only a gateway with a port waits for its library

            return Line(device.id, str(port), partial(serial.dial, port), ears=ears, rng=rng)
        case Gpio() as gpio:
            return Relay(device.id, gpio, ears=ears, rng=rng)
        case _:
            assert_never(device.driver)
