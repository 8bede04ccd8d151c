"""A Fluss+ on the line: a gate that moves, takes its time, and may have a sensor that says where it stands."""

import asyncio
import time
from contextlib import suppress
from random import Random
from typing import Final, Self

from protocol.hardware import FromHardware, Hello, Stands
from protocol.vocabulary import Action, Kind, Position
from simulator.happening import Notice, What
from simulator.hardware import FIRMWARE, Hardware
from simulator.motor import TRAVEL_MS, Motion, Motor

_LOOK_MS: Final = 100
"""How often a flickering sensor is read."""


class Gate(Hardware):
    """A Fluss+ with its motor; closed at first. Without a `sensor` it never says where it stands.

    With `flicker` (where its randomness comes from) the sensor is unsteady while the gate runs.
    """

    kind = Kind.FLUSS

    def __init__(
        self,
        device_id: str,
        *,
        name: str | None = None,
        firmware: str = FIRMWARE,
        sensor: bool = True,
        travel_s: float = TRAVEL_MS / 1_000,
        auto_close_s: float | None = None,
        flicker: Random | None = None,
        notice: Notice | None = None,
    ) -> None:
        super().__init__(device_id, name=name, firmware=firmware, notice=notice)
        self.sensor = sensor
        self._travel_ms = round(travel_s * 1_000)
        self._motor = Motor(
            travel_ms=self._travel_ms, auto_close_ms=None if auto_close_s is None else round(auto_close_s * 1_000)
        )
        self._flicker = flicker
        self._motion = Motion.CLOSED
        self._sensed = Position.CLOSED
        self._moved = asyncio.Event()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._asides.begin(self._follow())
        return self

    @property
    def motion(self) -> Motion:
        """What the leaf does now."""
        return self._motor.motion(_now_ms())

    @property
    def stands(self) -> str:
        """What the leaf does, how far open it is, and what the sensor says of it."""
        now_ms = _now_ms()
        words = str(self._motor.motion(now_ms))
        if self._motor.motion(now_ms) not in {Motion.CLOSED, Motion.OPEN}:
            words += f" {100 * self._motor.opened_ms(now_ms) // self._travel_ms} %"
        return f"{words}, sensor {self._sensed}" if self.sensor else words

    def by_hand(self, action: Action) -> str | None:
        """Somebody moves it without the gateway, with a remote control of the motor; None, or why it does not move."""
        return self._move(action, "by hand", None)

    def _act(self, action: Action, request_id: str) -> str | None:
        return self._move(action, "", request_id)

    def _greeting(self) -> list[FromHardware]:
        hello = Hello(device_id=self.device_id, kind=self.kind, firmware=self._firmware, sensor=self.sensor)
        return [hello, Stands(value=self._sensed)] if self.sensor else [hello]

    def _move(self, action: Action, who: str, request_id: str | None) -> str | None:
        now_ms = _now_ms()
        error = self._motor.told(action, now_ms)
        if error is None:
            self._motion = self._motor.motion(now_ms)
            self._happened(What.MOVED, who, self._motion, request_id)
            self._moved.set()
        return error

    async def _follow(self) -> None:
        """Say what the leaf and the sensor do by themselves, for as long as the gate is there."""
        while True:
            self._moved.clear()
            now_ms = _now_ms()
            if (motion := self._motor.motion(now_ms)) is not self._motion:
                self._motion = motion
                self._happened(What.MOVED, reason=motion)
            if self.sensor and (sensed := self._motor.sensed(now_ms, self._flicker)) is not self._sensed:
                self._sensed = sensed
                self._say(Stands(value=sensed))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._moved.wait()

    def _pause_s(self) -> float | None:
        due_ms = self._motor.due_ms
        if due_ms is None:
            return None
        pause_ms = max(due_ms - _now_ms(), 0)
        unsteady = self._flicker is not None and self._motion in {Motion.OPENING, Motion.CLOSING}
        return (min(pause_ms, _LOOK_MS) if unsteady else pause_ms) / 1_000


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
