"""Decide: may this person open this gate now? Pure functions of the user, the channel and the moment.

The moment is an interval, because a board's clock may be wrong. An answer that depends on the time is given where it is
the same at every instant of the interval; otherwise it is `clock_unknown`, and the gate stays shut. Permanent residents
and users of an intercom are not asked for the time at all, so a lost clock locks nobody out of their home.
"""

from dataclasses import dataclass
from typing import Final
from unicodedata import normalize
from zoneinfo import ZoneInfo

from protocol.moment import Moment
from protocol.schedule import holds
from protocol.terms import Terms
from protocol.vocabulary import Channel, Denial, Permission, Status

VISITORS: Final = frozenset({Permission.TEMPORARY, Permission.REPEAT})
"""Access types that depend on the time."""


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

    @property
    def ends_at(self) -> int | None:
        """When access certainly ends: with the status, or for a visitor with the period; epoch milliseconds."""
        period = self.terms.ends_at if self.terms.permission in VISITORS else None
        return min((end for end in (self.deadline, period) if end is not None), default=None)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What was decided: allowed where there is no reason against it."""

    reason: Denial | None

    @property
    def allowed(self) -> bool:
        """Whether the gate opens."""
        return self.reason is None


def decide(grant: Grant | None, channel: Channel, moment: Moment, zone: ZoneInfo, unit: str | None = None) -> Ruling:
    """Whether the person may open; `zone` is the device's own, `unit` the flat a panel was asked for, if any.

    Where there are several reasons against it, the first in the order below is given: what the person is, then what
    they asked for, then when. Terms that lack what their type needs open nothing. An installer's pulse (channel
    `local`) asks for nobody, and is not decided here.
    """
    return Ruling(_objection(grant, channel, moment, zone, unit))


def _objection(
    grant: Grant | None, channel: Channel, moment: Moment, zone: ZoneInfo, unit: str | None
) -> Denial | None:
    if grant is None:
        return Denial.UNKNOWN_USER
    if grant.status is None:
        return Denial.REVOKED
    if grant.status is Status.EXPIRED or (grant.ends_at is not None and grant.ends_at <= moment.earliest):
        return Denial.EXPIRED
    if grant.status is Status.PENDING:
        return Denial.NOT_ACCEPTED
    if channel is Channel.WIFI and not grant.wifi:
        return Denial.WIFI_NOT_ALLOWED
    if unit is not None and grant.units and _folded(unit) not in map(_folded, grant.units):
        return Denial.WRONG_UNIT
    return _untimely(grant, moment, zone) if grant.terms.permission in VISITORS else None


def _untimely(visitor: Grant, moment: Moment, zone: ZoneInfo) -> Denial | None:
    """Why it is not the visitor's time; None where it is at every instant that now may be."""
    terms, ends_at = visitor.terms, visitor.ends_at
    if terms.permission is Permission.TEMPORARY and (terms.starts_at is None or terms.ends_at is None):
        return Denial.NOT_YET_VALID
    if moment.latest is None:
        return Denial.CLOCK_UNKNOWN
    if terms.starts_at is not None and moment.latest < terms.starts_at:
        return Denial.NOT_YET_VALID
    if terms.starts_at is not None and moment.earliest < terms.starts_at:
        return Denial.CLOCK_UNKNOWN
    if ends_at is not None and ends_at <= moment.latest:
        return Denial.CLOCK_UNKNOWN
    if terms.permission is Permission.TEMPORARY:
        return None
    inside = holds(terms.schedule or "", zone, moment.earliest, moment.latest)
    if inside is None:
        return Denial.CLOCK_UNKNOWN
    return None if inside else Denial.OUTSIDE_SCHEDULE


def _folded(unit: str) -> str:
    """A unit as people mean it, however they type it."""
    return " ".join(normalize("NFC", unit).casefold().split())
