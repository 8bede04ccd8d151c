"""People at a gate: who they are, whether they ever take up their invitation, and how they ask to be let in."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from protocol.vocabulary import Action, Channel
from simulator.hardware import Answer, Hardware

NOW: Final = 0.0
NEVER: Final = None

Sleep = Callable[[float], Awaitable[object]]
"""Waits for so many seconds; a scenario may have its own that is faster."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who was invited, or was not."""

    name: str
    mobile: str
    takes_up_s: float | None = NOW
    """How long after the invitation they accept it at the gate, in seconds; None: never."""

    async def take_up(self, hardware: Hardware, *, sleep: Sleep = asyncio.sleep) -> bool:
        """Accept the invitation at this device when it is time; whether its gateway was told."""
        if self.takes_up_s is None:
            return False
        await sleep(self.takes_up_s)
        return await hardware.accept(self.mobile)

    async def walk_up(
        self,
        hardware: Hardware,
        channel: Channel | None = None,
        *,
        action: Action = Action.TRIGGER,
        unit: str | None = None,
        note: str | None = None,
    ) -> Answer:
        """Ask to be let in, over the channel a device of its kind usually has where none is given."""
        return await hardware.ask(self.mobile, channel=channel, action=action, unit=unit, note=note)


def invited(
    names: Iterable[tuple[str, str]], rng: Random, *, now: float = 0.6, later: float = 0.3, within_s: float = 60.0
) -> Iterator[Person]:
    """People by name and number: a share takes up the invitation `now`, another `later` but `within_s`, the rest never.

    The same `rng` makes the same people.
    """
    for name, mobile in names:
        share, delay_s = rng.random(), rng.uniform(0, within_s)
        yield Person(name, mobile, NOW if share < now else delay_s if share < now + later else NEVER)
