"""What lies around the program: clocks, chance, the card, the network and the hardware.

The daemon's parts get all of it through here, so that a simulated world can take the place of the real one as a whole.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random, SystemRandom

from agent.clock import Clock, timekeeper, wall_ms
from agent.config import Config, Device
from agent.drivers.driver import Driver, Ears
from agent.drivers.made import driver_for
from agent.link import Connect, Connection, board_uptime_s
from storage.database import Database


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The real ones, unless others are given."""

    clock: Callable[[Config], Clock] = timekeeper
    wall: Callable[[], int] = wall_ms
    """What the board's clock says, in epoch milliseconds, where nobody knows more yet."""
    uptime_s: Callable[[], float] = board_uptime_s
    """Seconds since the board booted, those it slept included."""
    monotonic: Callable[[], float] = time.monotonic
    chance: Random = field(default_factory=SystemRandom)
    """Draws names, codes and waiting times."""
    database: Callable[..., Database] = Database
    """Makes the writer of the store."""
    connect: Connect = Connection
    """Makes a connection to the broker."""
    driver: Callable[[Device, Ears, Random], Driver] = driver_for
