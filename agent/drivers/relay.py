"""A relay on a line of the board's GPIO chip: one pulse is what a push button beside the motor would do."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final

from agent.backoff import Pace
from agent.config_drivers import Gpio
from agent.drivers.contact import PACE, Contact, Lost
from agent.drivers.driver import ACTUATE_S, Actuated, Ears, Offline
from agent.drivers.gpio import Board, Wiring, board
from agent.drivers.stance import Stance
from protocol.vocabulary import Action, Position

REST_S: Final = 0.5
"""The least between two pulses, so that a motor sees two."""

WAITING: Final = 4
"""How many pulses may wait for the one that runs."""

_THERE_ALREADY: Final = {
    (Action.OPEN, Position.OPEN): Actuated(False, "already open"),
    (Action.CLOSE, Position.CLOSED): Actuated(False, "already closed"),
}
_UNSEEN: Final = Actuated(False, "no status input: only trigger is possible")


@dataclass(frozen=True, slots=True)
class _Order:
    action: Action
    answer: asyncio.Future[Actuated]


class Relay:
    """A gate that a relay moves, and a sensor perhaps shows. `run` alone touches the lines, one pulse after the other.

    The relay is off whenever no pulse runs: before the first one, after the last, and however `run` ends. Only a kill
    -9 in the middle of a pulse leaves it to the chip what becomes of the line.
    """

    def __init__(
        self,
        device_id: str,
        gpio: Gpio,
        *,
        ears: Ears,
        rng: Random,
        board: Callable[[], Board] = board,
        pace: Pace = PACE,
    ) -> None:
        self._gpio = gpio
        self._board = board
        self._contact = Contact(device_id, str(gpio), rng=rng, changed=ears.changed, pace=pace)
        self._stance = Stance(ears.changed)
        self._orders = asyncio.Queue[_Order](WAITING)
        self._open = False
        self._looking = False

    @property
    def connected(self) -> bool:
        """Whether the lines of the chip are ours; what is wired to them, nobody can tell."""
        return self._contact.connected

    @property
    def position(self) -> Position | None:
        """Where the gate stands, as its sensor has said for a moment; None without one."""
        return self._stance.position

    async def run(self) -> None:
        """Keep the lines until cancelled; the relay is off when this returns."""
        while True:
            try:
                await self._serve()
            except Lost as why:
                await asyncio.sleep(self._contact.lost(why))

    async def actuate(self, request_id: str, action: Action) -> Actuated:  # noqa: ARG002 -- a relay knows no requests
        """Close the relay for a moment, and say so when it has closed; raises Offline."""
        if not self.connected:
            raise Offline("the relay is not connected")
        order = _Order(action, asyncio.get_running_loop().create_future())
        try:
            self._orders.put_nowait(order)
            async with asyncio.timeout(ACTUATE_S):
                return await order.answer
        except (asyncio.QueueFull, TimeoutError):  # an order that is given up is never carried out
            return Actuated(False, "the relay is busy with earlier pulses")

    def grant(self, request_id: str) -> None:
        """A relay has nobody to tell."""

    def refuse(self, request_id: str, reason: str) -> None:
        """A relay has nobody to tell."""

    async def _serve(self) -> None:
        """Take the lines, and carry out orders until they break. Never returns; raises Lost."""
        board = await asyncio.to_thread(self._board)
        loop = asyncio.get_running_loop()
        with Wiring(board, self._gpio, lambda is_open: self._moved(loop, is_open=is_open)) as wiring:
            try:
                self._contact.made()
                self._read(wiring.is_open())
                while True:
                    await self._carry_out(await self._orders.get(), wiring)
            finally:
                self._stance.forget()
                self._contact.over()
                self._dismiss()

    async def _carry_out(self, order: _Order, wiring: Wiring) -> None:
        if order.answer.done():
            return
        if (hindrance := self._hindrance(order.action)) is not None:
            order.answer.set_result(hindrance)
            return
        try:
            wiring.switch(on=True)
        except Lost as why:
            order.answer.set_result(Actuated(False, str(why)))
            raise
        order.answer.set_result(Actuated(True))
        await asyncio.sleep(self._gpio.pulse_ms / 1000)  # cut short, it ends with the wiring
        wiring.switch(on=False)
        await asyncio.sleep(REST_S)

    def _hindrance(self, action: Action) -> Actuated | None:
        if action is Action.TRIGGER:
            return None
        return _UNSEEN if self.position is None else _THERE_ALREADY.get((action, self.position))

    def _dismiss(self) -> None:
        """Tell those who still wait that nothing of theirs was done."""
        while not self._orders.empty():
            answer = self._orders.get_nowait().answer
            if not answer.done():
                answer.set_exception(Offline("the relay was lost before its turn"))

    def _moved(self, loop: asyncio.AbstractEventLoop, *, is_open: bool) -> None:
        """On gpiozero's thread: have the loop look, once for however many edges came by then."""
        self._open = is_open
        if not self._looking:
            self._looking = True
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        self._looking = False
        if self.connected:
            self._read(self._open)

    def _read(self, is_open: bool | None) -> None:
        if is_open is not None:
            self._stance.read(Position.OPEN if is_open else Position.CLOSED)
