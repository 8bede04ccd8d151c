"""One connection of the hardware line, from dialling to its end. What belonged to it is inert afterwards."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from agent.drivers.contact import Lost, Mismatched
from agent.drivers.driver import ACTUATE_S, Actuated, Offline
from protocol.hardware import (
    MAX_LINE,
    Accepted,
    Actuate,
    Asked,
    Did,
    FromGateway,
    Garbled,
    Hello,
    Lines,
    Refuse,
    Stands,
    heard,
)
from protocol.vocabulary import Action, Denial

log: structlog.typing.FilteringBoundLogger = structlog.get_logger()

IN_HAND: Final = 32
"""How many requests may wait for their answers. The surplus is told that the gateway is busy."""

FORGOTTEN_S: Final = 2 * ACTUATE_S
"""After so long nobody will answer a request any more, and its place is free."""

GARBLED: Final = 100
"""So many unreadable lines in a row, and whoever is there does not speak our language."""

_DEVICE_ID: Final = re.compile(r"[0-9]{6}|[0-9]{16}")
_GARBLED_NEWS_S: Final = 60.0
_CHUNK: Final = 16 * 1_024
_UNSENT: Final = 64 * 1_024
CLOSE_S: Final = 1.0
_RATE: Final = 2_000.0
"""Lines (or chunks of a line) a second that are listened to, after as many at once. Hardware says a few a minute; one
that has gone mad waits in its own line and takes no time from the others."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a gateway waits for hardware, in seconds."""

    hello_s: float = 10.0
    actuate_s: float = ACTUATE_S
    write_s: float = 5.0
    """For a peer that does not read: as long as its buffers are full."""


class Talk:
    """What is said on one connection with the device of this id.

    ``met`` is called once, with the right hello. ``said`` gets every request, acceptance and position after it.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        device_id: str,
        *,
        met: Callable[[Hello], None],
        said: Callable[[Asked | Accepted | Stands], None],
        patience: Patience,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._device_id = device_id
        self._met = met
        self._said = said
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(patience.hello_s)
        self._dropped: Lost | None = None
        self._greeted = False
        self._in_hand: dict[str, float] = {}
        self._told: dict[str, asyncio.Future[Actuated]] = {}
        self._unsent: asyncio.TimerHandle | None = None
        self._garbled = 0
        self._garbled_in_a_row = 0
        self._garbled_told_s: float | None = None
        self._owed = 0.0
        self._owed_at = self._loop.time()

    async def run(self) -> None:
        """Listen until the connection ends. Never returns; raises Lost."""
        try:
            async with self._limit:
                await self._listen()
        except OSError as error:  # asyncio's time-out among them
            if self._dropped is None and self._limit.expired():
                raise Lost(self._unmet()) from error
            raise self._dropped or Lost(f"the line broke: {error.strerror or error}") from error
        raise Lost("the hardware hung up")

    def tell(self, message: FromGateway) -> None:
        """Say something; a peer that does not listen is dropped after a while."""
        if self._is_over():
            return
        self._writer.write(message.line())
        unsent = self._writer.transport.get_write_buffer_size()
        if unsent > _UNSENT:
            self._drop(Lost("the hardware does not read what it is told"))
        elif unsent and self._unsent is None:
            self._unsent = self._loop.call_later(self._patience.write_s, self._look_whether_sent)

    def answer(self, message: FromGateway) -> None:
        """Say what became of a request."""
        self._in_hand.pop(message.request_id, None)
        self.tell(message)

    async def actuate(self, request_id: str, action: Action) -> Actuated:
        """Have the gate moved, and say what came back; raises Offline. A device that says nothing is dropped."""
        if self._is_over():
            raise Offline("the line has just broken")
        if request_id in self._told:
            return Actuated(False, "this request is being carried out already")
        answer: asyncio.Future[Actuated] = self._loop.create_future()
        self._told[request_id] = answer
        self.tell(Actuate(request_id=request_id, action=action))
        try:
            async with asyncio.timeout(self._patience.actuate_s):
                return await answer
        except TimeoutError:
            self._drop(Lost(f"it was told to {action} and did not answer within {self._patience.actuate_s:g} s"))
            return Actuated(None, f"no answer from the hardware within {self._patience.actuate_s:g} s")
        finally:
            del self._told[request_id]
            self._in_hand.pop(request_id, None)

    async def close(self) -> None:
        """Hang up, within a second. Whoever waits for an answer of the device hears that none will come."""
        if self._unsent is not None:
            self._unsent.cancel()
        for answer in self._told.values():
            if not answer.done():
                answer.set_result(Actuated(None, "the line broke before the hardware answered"))
        self._writer.transport.abort()
        with suppress(OSError):
            async with asyncio.timeout(CLOSE_S):
                await self._writer.wait_closed()

    async def _listen(self) -> None:
        lines = Lines()
        while chunk := await self._reader.read(_CHUNK):
            ended = lines.cut(chunk)
            for line in ended:
                self._hear(line)
                if self._dropped is not None:
                    raise self._dropped
            await asyncio.sleep(self._pause_s(max(1, chunk.count(b"\n"))))

    def _hear(self, line: bytes | None) -> None:
        if line is None:
            self._pass_over(f"longer than {MAX_LINE} bytes")
            return
        try:
            message = heard(line)
        except Garbled as garbled:
            self._pass_over(str(garbled))
            if garbled.request_id is not None and self._greeted:
                self.tell(Refuse(request_id=garbled.request_id, reason=Denial.MALFORMED))
            return
        self._garbled_in_a_row = 0
        if isinstance(message, Hello):
            self._meet(message)
        elif self._greeted:
            self._take(message)

    def _meet(self, hello: Hello) -> None:
        if hello.device_id != self._device_id:
            self._drop(
                Mismatched(
                    f"{_who(hello)} answers here, not '{self._device_id}': check `driver` and `id` "
                    "of this device in the configuration, and the cable"
                )
            )
        elif not self._greeted:
            self._greeted = True
            self._limit.reschedule(None)
            self._met(hello)

    def _take(self, message: Asked | Accepted | Stands | Did) -> None:
        if isinstance(message, Did):
            answer = self._told.get(message.request_id)
            if answer is None or answer.done():
                log.debug("device.answered_late", device_id=self._device_id)
            else:
                answer.set_result(Actuated(message.ok, message.error))
        elif not isinstance(message, Asked) or self._has_room(message):
            self._said(message)

    def _has_room(self, asked: Asked) -> bool:
        """Whether a request is taken in hand: one that is in hand already is not taken again."""
        now = self._loop.time()
        self._in_hand = {request: since for request, since in self._in_hand.items() if now - since < FORGOTTEN_S}
        if asked.request_id in self._in_hand:
            return False
        if len(self._in_hand) >= IN_HAND:
            self.tell(Refuse(request_id=asked.request_id, reason=Denial.BUSY))
            return False
        self._in_hand[asked.request_id] = now
        return True

    def _pass_over(self, reason: str) -> None:
        self._garbled += 1
        self._garbled_in_a_row += 1
        if self._garbled_in_a_row >= GARBLED:
            self._drop(Lost(f"{GARBLED} unreadable lines in a row, the last: {reason}"))
            return
        now = self._loop.time()
        told = self._garbled_told_s
        if self._greeted and (told is None or now - told >= _GARBLED_NEWS_S):
            log.warning("device.garbled", device_id=self._device_id, lines=self._garbled, reason=reason)
            self._garbled, self._garbled_told_s = 0, now

    def _unmet(self) -> str:
        silence = f"nothing introduced itself within {self._patience.hello_s:g} s"
        return f"{silence}, and what came was unreadable: check the baud rate" if self._garbled else silence

    def _pause_s(self, cost: int) -> float:
        """How long to let the peer wait, once it has said so many more lines."""
        now = self._loop.time()
        self._owed = max(0.0, self._owed - (now - self._owed_at) * _RATE) + cost
        self._owed_at = now
        return max(0.0, self._owed / _RATE - 1.0)

    def _look_whether_sent(self) -> None:
        self._unsent = None
        if self._writer.transport.get_write_buffer_size():
            self._drop(Lost("the hardware does not read what it is told"))

    def _drop(self, why: Lost) -> None:
        """End the connection, from wherever."""
        if self._dropped is None:
            self._dropped = why
            with suppress(RuntimeError):  # it has ended already
                self._limit.reschedule(self._loop.time())

    def _is_over(self) -> bool:
        return self._dropped is not None or self._writer.transport.is_closing()


def _who(hello: Hello) -> str:
    """Who introduces itself, for the log: whatever is no id of a device may say anything."""
    return f"device '{hello.device_id}'" if _DEVICE_ID.fullmatch(hello.device_id) else "something with no device's id"
