"""What chronyd says of its clock: the question that `chronyc tracking` puts to its command port, which needs no root.

Version 6 of its command protocol (candm.h), spoken since chrony 2.2.
"""

import asyncio
import secrets
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

PORT: Final = 323
ANSWER_S: Final = 1.0

MOST_OFF_S: Final = 1.0
"""Chrony may take days to correct a large error, and calls itself synchronised meanwhile."""

_VERSION: Final = 6
_REQUEST: Final = 1
_REPLY: Final = 2
_TRACKING: Final = 33
_TRACKING_REPLY: Final = 5
_SUCCESS: Final = 0
_NO_HIGH_SECONDS: Final = 0x7FFFFFFF
_LEAP_UNSYNCHRONISED: Final = 3
_MOST_STRATA: Final = 15

_LOCAL: Final = 0x7F7F0101
"""The reference id where chrony serves the board's own clock for want of a better one (`local stratum`)."""

_QUESTION: Final = struct.Struct("!BBxxHHI8x")
# Version, kind, command, kind of answer, status, sequence; then reference id, stratum, leap, the reference time as
# seconds (high, low) and nanoseconds, the correction still to be made, and eight figures that are not needed here.
_ANSWER: Final = struct.Struct("!BBxxHHH6xI8x I20xHHIIIi32x")


@dataclass(frozen=True, slots=True)
class Tracking:
    """How chronyd follows its time source."""

    reference: int
    """The source's id; 0 for none."""
    stratum: int
    leap: int
    at: int
    """What the board's clock said when it was compared with the source last; epoch milliseconds."""
    correction_s: float
    """How far the board's clock still is behind what chronyd knows to be right."""

    @property
    def synchronised(self) -> bool:
        """Whether a time source other than the board itself vouches for the board's clock as it stands."""
        return (
            self.leap != _LEAP_UNSYNCHRONISED
            and 0 < self.stratum <= _MOST_STRATA
            and self.reference not in {0, _LOCAL}
            and abs(self.correction_s) <= MOST_OFF_S
        )


async def ask(port: int = PORT) -> Tracking | None:
    """What chronyd on this board says now; None where none runs, or none answers within a second."""
    sequence = secrets.randbits(32)
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Tracking | None] = loop.create_future()
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Conversation(sequence, answer), remote_addr=("127.0.0.1", port)
        )
    except OSError:  # a board without any loopback
        return None
    try:
        transport.sendto(question(sequence))
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                return await answer
        return None
    finally:
        transport.close()


def question(sequence: int) -> bytes:
    """The request, as long as its answer: chronyd is no amplifier, and leaves a shorter one unanswered."""
    return _QUESTION.pack(_VERSION, _REQUEST, _TRACKING, 0, sequence).ljust(_ANSWER.size, b"\0")


def decode(datagram: bytes, sequence: int) -> Tracking | None:
    """The answer to the request of that sequence number; None for anything else."""
    if len(datagram) != _ANSWER.size:
        return None
    version, kind, command, reply, status, echo, reference, stratum, leap, high, low, nanoseconds, correction = (
        _ANSWER.unpack(datagram)
    )
    head = (version, kind, command, reply, status, echo)
    if head != (_VERSION, _REPLY, _TRACKING, _TRACKING_REPLY, _SUCCESS, sequence):
        return None
    seconds = low if high == _NO_HIGH_SECONDS else (high << 32) + low
    correction_s = _real(correction)
    at = seconds * 1000 + nanoseconds // 1_000_000 - round(correction_s * 1000)
    return Tracking(reference, stratum, leap, at, correction_s)


def _real(word: int) -> float:
    """A number as chrony packs it: 7 bits of exponent over 25 of coefficient, both signed."""
    coefficient = ((word & 0x1FFFFFF) ^ 0x1000000) - 0x1000000
    return float(coefficient * 2.0 ** ((word >> 25) - 25))


class _Conversation(asyncio.DatagramProtocol):
    def __init__(self, sequence: int, answer: "asyncio.Future[Tracking | None]") -> None:
        self._sequence = sequence
        self._answer = answer

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:  # noqa: ARG002 -- asyncio's
        tracking = decode(data, self._sequence)
        if tracking is not None and not self._answer.done():
            self._answer.set_result(tracking)

    def error_received(self, exc: Exception) -> None:  # noqa: ARG002 -- asyncio's
        """Nobody listens there: the loopback says so at once."""
        if not self._answer.done():
            self._answer.set_result(None)
