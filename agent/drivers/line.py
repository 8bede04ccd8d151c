"""The hardware line to one device, over any stream of bytes: dialled, and dialled again."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from agent.backoff import Pace
from agent.drivers.contact import PACE, Contact, Lost
from agent.drivers.driver import Actuated, Ears, Offline
from agent.drivers.stance import Stance
from agent.drivers.talk import Patience, Talk
from protocol.hardware import Accepted, Asked, FromGateway, Granted, Hello, Refuse, Stands
from protocol.vocabulary import Action, Position

_VERSION: Final = re.compile(r"[vV]?[0-9][\w.+-]*")
"""What is logged of what a device says of itself; any other words may say anything."""

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]

Dial = Callable[[], Awaitable[Wire]]
"""Reaches the other end, within a time limit of its own; raises Lost."""


class Line:
    """A device at the other end of a hardware line. ``place`` is its address, for the log."""

    def __init__(
        self,
        device_id: str,
        place: str,
        dial: Dial,
        *,
        ears: Ears,
        rng: Random,
        patience: Patience | None = None,
        pace: Pace = PACE,
    ) -> None:
        self._device_id = device_id
        self._dial = dial
        self._ears = ears
        self._patience = patience or Patience()
        self._contact = Contact(device_id, place, rng=rng, changed=ears.changed, pace=pace)
        self._stance = Stance(ears.changed)
        self._talk: Talk | None = None

    @property
    def connected(self) -> bool:
        """Whether the right device has introduced itself, and is still there as far as anybody can see."""
        return self._contact.connected

    @property
    def position(self) -> Position | None:
        """Where the gate stands, as its sensor has said for a moment."""
        return self._stance.position

    async def run(self) -> None:
        """Keep in touch with the device until cancelled."""
        while True:
            try:
                await self._converse()
            except Lost as why:
                await asyncio.sleep(self._contact.lost(why))

    async def actuate(self, request_id: str, action: Action) -> Actuated:
        """Move the gate, and say what came back within ACTUATE_S; raises Offline."""
        if self._talk is None or not self.connected:
            raise Offline("the device is not connected")
        return await self._talk.actuate(request_id, action)

    def grant(self, request_id: str) -> None:
        """Tell a panel that its request was granted."""
        self._answer(Granted(request_id=request_id))

    def refuse(self, request_id: str, reason: str) -> None:
        """Tell the device that its request was refused, and why."""
        self._answer(Refuse(request_id=request_id, reason=reason))

    def _answer(self, message: FromGateway) -> None:
        if self._talk is not None:
            self._talk.answer(message)

    async def _converse(self) -> None:
        """Dial, and talk until the connection ends. Raises Lost."""
        reader, writer = await self._dial()
        talk = Talk(reader, writer, self._device_id, met=self._met, said=self._said, patience=self._patience)
        self._talk = talk  # until the next one; once over, it says nothing any more
        try:
            await talk.run()
        finally:
            self._stance.forget()
            self._contact.over()
            await talk.close()

    def _met(self, hello: Hello) -> None:
        firmware = hello.firmware if hello.firmware and _VERSION.fullmatch(hello.firmware) else None
        self._contact.made(firmware=firmware, sensor=hello.sensor)

    def _said(self, message: Asked | Accepted | Stands) -> None:
        match message:
            case Asked():
                self._ears.asked(message)
            case Accepted():
                self._ears.accepted(message.mobile)
            case Stands():
                self._stance.read(message.value)
