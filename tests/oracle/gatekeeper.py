"""Who may open, worked out from what the office agreed and the minutes of a calendar: nothing of the gateway's."""

from dataclasses import dataclass, field
from typing import Any

from tests.oracle.calendar import Calendar

MINUTE_MS = 60_000


@dataclass
class Resident:
    """One person at one gate, as the office sees them; times are epoch milliseconds."""

    mobile: str
    permission: str
    accepted: bool
    wifi: bool = True
    starts: int | None = None
    ends: int | None = None
    schedule: list[dict[str, Any]] | None = None
    invite_ends: int | None = None
    lapsed: bool = False
    _open: set[int] | None = field(default=None, repr=False)

    def item(self) -> dict[str, Any]:
        """The row of a batch that says so."""
        row: dict[str, Any] = {"userName": self.mobile[-7:], "mobile": self.mobile, "permission": self.permission}
        row |= {"accepted": self.accepted, "wifi": self.wifi}
        if self.starts is not None:
            row |= {"startDate": self.starts, "endDate": self.ends}
        return row | ({"schedule": self.schedule} if self.schedule else {})

    def times(self, calendar: Calendar) -> set[int]:
        """The minutes at which the schedule is open."""
        if self._open is None:
            self._open = calendar.open(self.schedule or [])
        return self._open

    def take_up(self, now: int) -> bool:
        """Accept the invitation, if it is still open; whether that changed anything."""
        if self.accepted or self.ended(now):
            return False
        self.accepted = True
        return True

    def ended(self, now: int) -> bool:
        """Whether access, or the invitation to it, is over for good."""
        over = self.ends is not None and self.ends <= now
        self.lapsed = self.lapsed or (not self.accepted and self.invite_ends is not None and self.invite_ends <= now)
        return over or self.lapsed


def verdict(who: Resident | None, channel: str, now: int, *, surely: int | None, calendar: Calendar) -> str | None:
    """The reason why somebody stays outside, None where they get in.

    `now` is the true moment. `surely` is a moment the board knows to be past, where it knows no more than that; then
    the lapse of what is not yet over at that moment counts as open.
    """
    if who is None:
        return "unknown_user"
    if who.ended(now if surely is None else surely):
        return "expired"
    if not who.accepted:
        return "not_accepted"
    if channel == "wifi" and not who.wifi:
        return "wifi_not_allowed"
    if who.permission not in ("Temporary", "Repeat"):
        return None
    if surely is not None:
        return "clock_unknown"
    if who.starts is not None and now < who.starts:
        return "not_yet_valid"
    if who.permission == "Repeat" and now // MINUTE_MS not in who.times(calendar):
        return "outside_schedule"
    return None
