"""Decide: may this person open this gate now? Pure functions of the user, the channel and the moment."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from protocol.moment import Moment
from protocol.terms import Terms
from protocol.vocabulary import Channel, Denial, Status


@dataclass(frozen=True, slots=True)
class Grant:
    """What the list of a device says of a person."""

    status: Status | None
    """None: revoked, only the tombstone is left."""
    terms: Terms
    wifi: bool
    units: tuple[str, ...]
    deadline: int | None
    """When the status ends by itself; epoch milliseconds."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What was decided: allowed where there is no reason against it."""

    reason: Denial | None

    @property
    def allowed(self) -> bool:
        """Whether the gate opens."""
        return self.reason is None


def decide(grant: Grant | None, channel: Channel, moment: Moment, zone: ZoneInfo, unit: str | None = None) -> Ruling:
    """Whether the person may open; `zone` is the device's own, `unit` the flat a panel was asked for, if any."""
    raise NotImplementedError
