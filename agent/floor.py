"""The floor under the clock: a moment known to be past, kept on the card so that no power cut takes it away."""

import asyncio
import re
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from storage import durable

log = structlog.get_logger()

RELEASED: Final = 1_767_225_600_000
"""2026-01-01T00:00Z (epoch ms), before this program was written: no board that runs it lives earlier."""

DRIFT: Final = 100e-6
"""How fast or slow the oscillator of a cheap board may run on its own."""

FILE: Final = "clock"
KEEP_EVERY_MS: Final = 15 * 60_000
LEAVE_S: Final = 1.0
_MOST_BYTES: Final = 256
_FORM: Final = re.compile(rb"past (\d{1,16}) uptime (\d{1,16}) crc32 ([0-9a-f]{8})\n")


class FloorFault(Exception):
    """What is on the card cannot be believed, or not be read."""


@dataclass(frozen=True, slots=True)
class Floor:
    """It was later than `at` (epoch ms) when the board had been up for `uptime` (ms)."""

    at: int
    uptime: int

    def now(self, uptime: int) -> int:
        """It is later than this at that uptime since the same start of the board, however fast its oscillator is."""
        return self.at + int((uptime - self.uptime) * (1 - DRIFT))

    def carried(self, uptime: int) -> "Floor":
        """The floor of an earlier run, as it counts on a board that has been up for `uptime` now.

        Nothing tells one start of the board from another here. Up for less than then: it has started since, and was up
        no sooner than the floor. Up for longer: perhaps it is the same start, which brings less.
        """
        return self if self.uptime <= uptime else Floor(self.at, 0)


class Ratchet:
    """The floor's own small file: it only moves forward, seldom, and never half."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / FILE
        self._kept = 0
        self._due = 0
        self._failing = False
        self._one_at_a_time = threading.Lock()

    def read(self) -> Floor | None:
        """What is kept, as it was written; None where nothing is. Raises FloorFault."""
        try:
            with self.path.open("rb") as file:
                content = file.read(_MOST_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FloorFault(f"{self.path}: cannot be read: {error.strerror}") from error
        if not (match := _FORM.fullmatch(content)) or content != _packed(floor := Floor(int(match[1]), int(match[2]))):
            raise FloorFault(f"{self.path}: is damaged, so the clock starts without it; it is written anew")
        self._kept, self._due = floor.at, floor.at + KEEP_EVERY_MS
        return floor

    async def keep(self, floor: Floor) -> None:
        """Write it down if what is kept is a quarter of an hour older. A card that fails is told of once."""
        if floor.at >= self._due:
            self._due = floor.at + KEEP_EVERY_MS
            await asyncio.to_thread(self._try, floor)

    async def settle(self, floor: Floor) -> None:
        """Write it down now, if it is newer than what is kept; a card that hangs does not hold us up."""
        try:
            async with asyncio.timeout(LEAVE_S):
                await asyncio.to_thread(self._try, floor)
        except TimeoutError:
            log.warning("clock.not_kept", path=str(self.path), error=f"no answer from the disk within {LEAVE_S:g} s")

    def write(self, floor: Floor) -> None:
        """Have it on the card, unless a later one is there already. Raises OSError."""
        with self._one_at_a_time:
            if floor.at <= self._kept:
                return
            durable.put(self.path, _packed(floor))
            self._kept = floor.at

    def _try(self, floor: Floor) -> None:
        try:
            self.write(floor)
        except OSError as error:
            if not self._failing:
                log.warning("clock.not_kept", path=str(self.path), error=str(error))
            self._failing = True
        else:
            self._failing = False


def _packed(floor: Floor) -> bytes:
    body = b"past %d uptime %d" % (floor.at, floor.uptime)
    return b"%b crc32 %08x\n" % (body, zlib.crc32(body))
