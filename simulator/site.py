"""A property as a gateway finds it: its devices on the hardware line, and the configuration that names them."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from protocol.vocabulary import Action
from simulator import exits
from simulator.address import Address
from simulator.exits import Failure
from simulator.gate import Gate
from simulator.hardware import Hardware
from simulator.motor import Motion
from simulator.wire import HOST, listening

_LOOK_S: Final = 0.01
_CLOSED_S: Final = 60.0
_NOTICED_MS: Final = 500
_SURE_S: Final = 1.5
"""A gateway believes a sensor that has said the same for a second."""


class NotDialled(Failure):
    """No gateway has come for a device."""

    exit_code = exits.BUG


class StuckOpen(Failure):
    """A gate does not close."""

    exit_code = exits.BUG


class Site:
    """Devices that a gateway can dial while the context is open, each at a port of its own.

    `opens` says which Fluss+ an intercom has, ids by id; `zone` is where all of them stand.
    """

    def __init__(self, devices: Sequence[Hardware], *, zone: str, opens: Mapping[str, str]) -> None:
        self.devices = {device.device_id: device for device in devices}
        self._zone = zone
        self._opens = opens
        self._ports: dict[str, int] = {}
        self._wires: dict[str, AsyncExitStack] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for device in self.devices.values():
            await self._stack.enter_async_context(device)
            await self.plug_in(device.device_id)
        return self

    async def __aexit__(self, *_: object) -> None:
        for device_id in list(self._wires):
            await self.unplug(device_id)
        await self._stack.aclose()

    async def plug_in(self, device_id: str) -> None:
        """Have a device answer, on a new connection, where it always does. Raises NoWire."""
        await self.unplug(device_id)
        wire = AsyncExitStack()
        meet = self.devices[device_id].meet
        address = await wire.enter_async_context(listening(meet, port=self._ports.get(device_id, 0)))
        self._ports[device_id] = urlsplit(address).port or 0
        self._wires[device_id] = wire

    async def unplug(self, device_id: str) -> None:
        """Have it gone: nobody reaches it until it is plugged in again."""
        if (wire := self._wires.pop(device_id, None)) is not None:
            await wire.aclose()

    async def dialled(self, within_s: float) -> None:
        """Wait until a gateway is there for every device that is plugged in. Raises NotDialled."""
        try:
            async with asyncio.timeout(within_s):
                while self._waiting():  # noqa: ASYNC110 -- a device rings no bell
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise NotDialled(f"no gateway has dialled {self._waiting()[0]} within {within_s:g} s") from None

    async def close_gates(self) -> None:
        """Have every gate closed, as gates close by themselves, and its gateway sure of it. Raises StuckOpen."""
        gates = [device for device in self.devices.values() if isinstance(device, Gate)]
        noticed = any(map(_stood_open, gates))
        try:
            async with asyncio.timeout(_CLOSED_S):
                while not all(map(_is_closed, gates)):  # noqa: ASYNC110 -- a gate rings no bell
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise StuckOpen(f"a gate has not closed within {_CLOSED_S:g} s") from None
        if noticed:
            await asyncio.sleep(_SURE_S)

    def _waiting(self) -> list[str]:
        """The names of devices that are plugged in, and no gateway is there."""
        return [self.devices[each].name for each in self._wires if not self.devices[each].connected]

    def configuration(
        self, gateway_id: str, state_dir: Path, broker: Address, key: Path, *, trust: str = "system"
    ) -> str:
        """The file of a gateway that keeps these devices, and takes only what is signed with the private half of `key`.

        `trust` is how far it believes its clock.
        """
        tables = [
            _table("mqtt", host=broker.host, port=broker.port, protocol=broker.protocol),
            _table("trust", keys=[str(key)]),
            _table("clock", trust=trust),
        ]
        for device_id, device in self.devices.items():
            opens = self._opens.get(device_id)
            keys = {"id": device_id, "name": device.name, "kind": str(device.kind), "timezone": self._zone}
            keys |= {} if opens is None else {"opens": opens}
            tables.append(_table("[devices]", **keys, driver=f"tcp://{HOST}:{self._ports[device_id]}"))
        head = _keys(gateway_id=gateway_id, state_dir=str(state_dir), default_region="ZA")
        return "\n\n".join([head, *tables]) + "\n"


def _stood_open(gate: Gate) -> bool:
    """Whether it has not been closed for so long that a gateway has noticed."""
    if not gate.sensor or gate.motion is Motion.CLOSED:
        return False
    since = next((each.at_ms for each in reversed(gate.history) if each.reason == Motion.OPENING), 0)
    return time.time_ns() // 1_000_000 - since > _NOTICED_MS


def _is_closed(gate: Gate) -> bool:
    if gate.motion not in {Motion.CLOSED, Motion.CLOSING}:
        gate.by_hand(Action.CLOSE)
    return gate.motion is Motion.CLOSED


def _table(name: str, /, **keys: object) -> str:
    return f"[{name}]\n{_keys(**keys)}"


def _keys(**keys: object) -> str:
    """A string of JSON is one of TOML."""
    return "\n".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items())
