"""What hardware says, made into requests at the gate; and the gate's answer, told to whoever asked."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from agent.budget import Budget
from agent.drivers.driver import Driver, Ears
from agent.gate import Gate
from agent.recorder import Recorder
from agent.request import Door, Request
from protocol.hardware import Asked
from protocol.mobile import Numbers, usable
from protocol.vocabulary import Denial

log = structlog.get_logger()

AT_ONCE: Final = 64
"""Requests of one device that may be under way; whoever asks beyond that is told so."""

DENIALS: Final = 1_000
DENIALS_PER_S: Final = 1.0
"""How many denied requests of one device are written down at once, and a second in the long run: one that has gone mad
is told `busy` beyond that, and does not push everybody else out of the access log."""

CLOSE_S: Final = 1.0
"""How long an opening that is under way may keep the daemon from leaving; its intent is on the card."""


class Threshold:
    """Hears the hardware of every device, and never makes it wait."""

    def __init__(
        self,
        *,
        doors: Mapping[str, Door],
        drivers: Mapping[str, Driver],
        gate: Gate,
        recorder: Recorder,
        numbers: Numbers,
        changed: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._doors = doors
        self._drivers = drivers
        self._gate = gate
        self._recorder = recorder
        self._numbers = numbers
        self._changed = changed
        self._monotonic = monotonic
        self._denials = {device_id: Budget(DENIALS, DENIALS_PER_S) for device_id in doors}
        self._tasks: asyncio.TaskGroup | None = None
        self._serving: dict[str, set[asyncio.Task[None]]] = {device_id: set() for device_id in doors}

    async def run(self) -> None:
        """Serve whoever asks, until cancelled; a bug in one request comes up here."""
        async with asyncio.TaskGroup() as self._tasks:
            await asyncio.Event().wait()

    def ears(self, device_id: str) -> Ears:
        """Who hears what one device says."""
        return Ears(
            asked=lambda asked: self._asked(device_id, asked),
            accepted=lambda mobile: self._accepted(device_id, mobile),
            changed=self._changed,
        )

    async def close(self) -> None:
        """Hear nobody any more, and let what is under way come to its end, for a while."""
        self._tasks = None
        serving = [task for tasks in self._serving.values() for task in tasks]
        if serving:
            await asyncio.wait(serving, timeout=CLOSE_S)

    def _asked(self, device_id: str, asked: Asked) -> None:
        serving = self._serving[device_id]
        if self._tasks is None or len(serving) >= AT_ONCE or self._denials[device_id].exhausted(self._monotonic()):
            self._drivers[device_id].refuse(asked.request_id, Denial.BUSY)
            return
        task = self._tasks.create_task(self._serve(device_id, asked), name="request")
        serving.add(task)
        task.add_done_callback(serving.discard)

    async def _serve(self, device_id: str, asked: Asked) -> None:
        driver = self._drivers[device_id]
        request = Request(
            device_id=device_id,
            request=asked.request_id,
            channel=asked.channel,
            action=asked.action,
            mobile=self._mobile(asked.mobile),
            code=asked.code,
            direction=asked.direction,
            unit=asked.unit,
            note=asked.note,
            age_ms=asked.age_ms,
        )

        def granted() -> None:
            if self._doors[device_id].opens != device_id:
                driver.grant(asked.request_id)

        if asked.device_id not in {None, device_id}:
            answer = self._gate.turn_away(request, Denial.UNKNOWN_DEVICE)
        elif (decided := await self._gate.request(request, granted=granted)) is not None:
            answer = decided
        else:
            return
        if answer.reason is not None:
            self._denials[device_id].spend(self._monotonic())
            driver.refuse(asked.request_id, answer.reason)

    def _accepted(self, device_id: str, written: str) -> None:
        mobile = self._mobile(written)
        if mobile is None:
            log.warning("acceptance.unreadable", device_id=device_id)
            return
        self._gate.accepted(device_id, mobile, self._recorder.accept(self._doors[device_id].device, mobile))

    def _mobile(self, written: str | None) -> int | None:
        return None if written is None else usable(self._numbers.read(written))
