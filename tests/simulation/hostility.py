"""How hostile one world is: which faults it knows, how many of them, and how narrow the program's own bounds are."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Literal

from agent import answers, clock, intake, presence, recorder, reporter, stream, upkeep
from storage import database, outbox

_LONG_S: Final = 3_600.0

Overflow = Literal["newest", "oldest"]
Persistence = Literal["none", "snapshot", "whole"]
Wakes = Literal["right", "late", "1970", "ahead"]

_BOUNDS: dict[tuple[Any, str], list[Any]] = {
    (intake, "GROUP_PARTS"): [1, 2, 5, 40],
    (intake, "GROUP_ITEMS"): [3, 20, 16_000],
    (answers, "TAKE_AT_ONCE"): [1, 3, 40],
    (answers, "IN_HAND"): [1, 64],
    (answers, "IN_LINE"): [1, 1_000],
    (stream, "READ_AT_ONCE"): [1, 3, 64],
    (outbox, "MOST_RESENDS"): [4, 64],
    (reporter, "SAVE_EVERY_S"): [2.0, 30.0, 300.0],
    (upkeep, "PRUNE_EVERY_S"): [60.0, 3600.0],
    (upkeep, "PRUNE_AFTER"): [5, 1_000],
    (upkeep, "LOOK_EVERY_S"): [10.0, 30.0],
    (recorder, "MOST_WAITING"): [50, 1_000],
    (presence, "NOTE_EVERY_S"): [10.0, 30.0],
    (clock, "LOOK_EVERY_S"): [4.0, 10.0],
    (database, "CHECKPOINT_BYTES"): [20_000, 500_000],
}
"""Constants of the program, each with values under which it must be right too."""


@dataclass(frozen=True, slots=True)
class Hostility:
    """What one seed has in store. Rates are means between two of a kind, in seconds; None: there are none."""

    length_s: float
    """How long there are faults."""
    outages: float | None
    broker_crashes: float | None
    persistence: Persistence
    """What a broker that crashed still knows of its sessions: nothing, what it knew a while ago, or all."""
    overflow: Overflow
    queue: int
    """How many messages a broker keeps for a gateway that is away."""
    window: int
    """How many messages may be on their way to a gateway unacknowledged."""
    lowest_ids: bool
    """A packet id is used again as soon as it is free."""
    latency_s: float
    half_open: float
    """The share of broken connections of which nobody is told."""
    lost: float
    """The share of messages that a broker acknowledges and loses, while it forgets others."""
    doubled: float
    shuffled: float
    """The share of messages that overtake those of other topics."""
    marked: float
    """The share of queued messages that come marked as retained."""
    resends_live: bool
    disk_faults: float | None
    disk_slow_s: float
    storms: float | None
    """Minutes in which everything is bad at once."""
    crashes: float | None
    leaves: float
    """The share of ends of a process that it is asked for."""
    off_s: float
    wakes: Wakes
    """What a board's clock says when it gets its power back."""
    unsynchronised_s: float
    """How long the time service takes to find its servers after a start of the board."""
    steps: float | None
    """Jumps of the wall clock that nobody vouches for."""
    hardware_faults: float | None
    mute: float
    """The share of movements that hardware never confirms."""
    signed: bool
    """The gateway believes one key alone."""
    poison: float
    """The share of messages that nobody can use."""
    asks: float
    orders: float | None
    batches: float
    bounds: dict[tuple[Any, str], Any] = field(default_factory=dict)

    @classmethod
    def of(cls, rng: Random, length_s: float) -> "Hostility":
        """Each fault is there in some worlds alone: what is always there hides what the others would show.

        In a world of hours there are all that come and go.
        """
        long = length_s >= _LONG_S

        def rate(share: float, low: float, high: float) -> float | None:
            return length_s / rng.uniform(low, high) if rng.random() < share or long else None

        def often(share: float, most: float) -> float:
            return rng.uniform(0, most) if rng.random() < share else 0.0

        hours = max(1.0, length_s / 3600)
        return cls(
            length_s=length_s,
            outages=rate(0.7, 1, 5 * hours),
            broker_crashes=rate(0.5, 1, 2 * hours),
            persistence=rng.choice(["none", "snapshot", "whole"]),
            overflow=rng.choice(["newest", "oldest"]),
            queue=rng.choice([3, 8, 20, 1_000]),
            window=rng.choice([1, 2, 5, 20]),
            lowest_ids=rng.random() < 0.5,
            latency_s=rng.choice([0.002, 0.02, 0.2, 1.0]),
            half_open=rng.choice([0.0, 0.5, 1.0]),
            lost=often(0.3, 0.3),
            doubled=often(0.5, 0.4),
            shuffled=often(0.5, 0.5),
            marked=often(0.3, 1.0),
            resends_live=rng.random() < 0.3,
            disk_faults=rate(0.5, 1, 3 * hours),
            disk_slow_s=rng.choice([0.0, 0.001, 0.02, 0.3]),
            storms=rate(0.5, 1, 4 * hours),
            crashes=rate(0.7, 1, 3 * hours),
            leaves=rng.choice([0.0, 0.3]),
            off_s=rng.choice([1.0, 1.0, 30.0, 30.0, 100.0, 100.0 if long else 90_000.0]),
            wakes=rng.choice(["right", "late", "1970", "ahead"]),
            unsynchronised_s=rng.choice([20.0, 120.0, 900.0]),
            steps=rate(0.3, 1, 2 * hours),
            hardware_faults=rate(0.5, 1, 4 * hours),
            mute=often(0.3, 0.2),
            signed=rng.random() < 0.5,
            poison=often(0.4, 0.3),
            asks=length_s / rng.uniform(6, 15) / hours,
            orders=None if rng.random() < 0.3 else length_s / rng.uniform(3, 8) / hours,
            batches=length_s / rng.uniform(3, 6) / hours,
            bounds={where: rng.choice(values) for where, values in _BOUNDS.items()},
        )

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """The program with these bounds."""
        before = {(module, name): getattr(module, name) for module, name in self.bounds}
        try:
            for (module, name), value in self.bounds.items():
                setattr(module, name, value)
            yield
        finally:
            for (module, name), value in before.items():
                setattr(module, name, value)
