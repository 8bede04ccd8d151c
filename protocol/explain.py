"""Why a gate opens or stays shut, in words for whoever manages the property. It asks `decide`, and decides nothing."""

from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from protocol.access import VISITORS, Grant, Ruling, decide
from protocol.moment import Moment, exact
from protocol.schedule import is_open, local, next_opening, open_window
from protocol.terms import DAYS, Terms, Window, schedule_windows
from protocol.vocabulary import Channel, Denial, Permission

_SURE_MS: Final = 60_000
"""A moment known as well as this is shown as one; a wall clock shows no more."""

_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TOO_EARLY: Final = frozenset({Denial.NOT_YET_VALID, Denial.OUTSIDE_SCHEDULE})
_UNTIMELY: Final = _TOO_EARLY | {Denial.EXPIRED, Denial.CLOCK_UNKNOWN}


@dataclass(frozen=True, slots=True)
class Explanation:
    """A ruling and what it rests on. Instants are epoch milliseconds."""

    ruling: Ruling
    sentence: str
    """The rule, the time at the device where it matters, and what follows. English; names nobody."""
    window: str | None = None
    """The weekly window through which a visitor may come in now."""
    opened_at: int | None = None
    """Since when a visitor who may come in has been able to; None where that never began."""
    closes_at: int | None = None
    """The first instant at which a visitor who may come in will not be; None where that never ends."""
    next_opening: int | None = None
    """When a visitor who comes at the wrong time may come in at last; None where that is not within a year."""


def explanation(
    grant: Grant | None, channel: Channel, moment: Moment, zone: ZoneInfo, unit: str | None = None
) -> Explanation:
    """What `decide` rules on the same arguments, and why."""
    ruling = decide(grant, channel, moment, zone, unit)
    if grant is None:
        return Explanation(ruling, "Not on the list of this device")
    if grant.status is None:
        return Explanation(ruling, "Revoked: only a newer invitation opens again")
    visitor = grant.terms.permission in VISITORS
    said = [_rule(grant.terms, zone)]
    if ruling.reason in _UNTIMELY or (visitor and ruling.allowed):
        said.append(_now(moment, zone))
    if ruling.reason is not None:
        opening = _opening(grant, channel, moment, zone, unit) if ruling.reason in _TOO_EARLY else None
        said.append(_objection(ruling.reason, grant, moment, zone, unit, opening))
        return Explanation(ruling, "; ".join(said), next_opening=opening)
    if not visitor:
        return Explanation(ruling, "; ".join(said))
    window, opened_at, closes_at = _stretch(grant, moment, zone)
    said.append("open all week" if closes_at is None else f"open until {_date(closes_at, zone)}")
    return Explanation(ruling, "; ".join(said), window, opened_at, closes_at)


def _stretch(visitor: Grant, moment: Moment, zone: ZoneInfo) -> tuple[str | None, int | None, int | None]:
    """The window through which a visitor may come in at a moment, and the first and the last of it."""
    opening = open_window(_hours(visitor.terms), zone, moment.earliest)
    if opening is None:
        return None, visitor.terms.starts_at, visitor.ends_at
    starts, ends = (visitor.terms.starts_at, opening.since), (visitor.ends_at, opening.until)
    return (
        _window(opening.window),
        max((at for at in starts if at is not None), default=None),
        min((at for at in ends if at is not None), default=None),
    )


def _opening(grant: Grant, channel: Channel, moment: Moment, zone: ZoneInfo, unit: str | None) -> int | None:
    """When a visitor who comes too early may come in, if ever; `decide` is asked about it before it is promised."""
    at, hours = grant.terms.starts_at, _hours(grant.terms)
    if at is None or at <= moment.best:
        at = next_opening(hours, zone, moment.best)
    elif hours and not is_open(hours, zone, at):
        at = next_opening(hours, zone, at)
    return at if at is not None and decide(grant, channel, exact(at), zone, unit).allowed else None


def _hours(terms: Terms) -> str:
    """The schedule where the access type has one; what is empty opens never."""
    return terms.schedule or "" if terms.permission is Permission.REPEAT else ""


def _objection(
    reason: Denial, grant: Grant, moment: Moment, zone: ZoneInfo, unit: str | None, opening: int | None
) -> str:
    match reason:
        case Denial.NOT_YET_VALID | Denial.OUTSIDE_SCHEDULE:
            return "does not open again" if opening is None else f"opens next on {_date(opening, zone)}"
        case Denial.CLOCK_UNKNOWN:
            return "the clock is not sure enough to tell, and until it is the gate stays shut"
        case Denial.EXPIRED:
            return _expiry(grant, moment, zone)
        case Denial.NOT_ACCEPTED:
            return "the invitation has not been accepted yet"
        case Denial.WIFI_NOT_ALLOWED:
            return "opening from afar (Wi-Fi) is switched off for this user"
    return f"unit {unit} was asked for, and this user belongs to {', '.join(grant.units)}"


def _expiry(grant: Grant, moment: Moment, zone: ZoneInfo) -> str:
    if grant.ends_at is None or moment.earliest < grant.ends_at:
        return "expired: the invitation was not accepted in time, or access has ended"
    ended = "access ended" if grant.ends_at == grant.terms.ends_at else "the invitation lapsed"
    return f"{ended} on {_date(grant.ends_at, zone)}"


def _rule(terms: Terms, zone: ZoneInfo) -> str:
    dates = [
        f"{word} {_date(at, zone)}"
        for word, at in (("from", terms.starts_at), ("until", terms.ends_at))
        if at is not None
    ]
    match terms.permission:
        case None:
            return "Intercom: at any time"
        case Permission.TEMPORARY:
            return f"Temporary: {' '.join(dates) if len(dates) == 2 else 'without its dates'}, {zone}"
        case Permission.REPEAT:
            return f"Repeat: {', '.join([_schedule(terms.schedule), *dates])}, {zone}"
    return f"{terms.permission}: at any time"


def _schedule(schedule: str | None) -> str:
    try:
        return " and ".join(map(_window, schedule_windows(schedule or "")))
    except ValueError:
        return "no schedule that can be read"


def _window(window: Window) -> str:
    if window.from_ == window.until == "00:00":
        return f"{_days(window)}, all day"
    over_midnight = " the next day" if window.until <= window.from_ else ""
    return f"{_days(window)} {window.from_}–{window.until}{over_midnight}"


def _days(window: Window) -> str:
    """Days of a week, three or more in a row as a range."""
    if len(window.days) == len(DAYS):
        return "every day"
    runs: list[list[int]] = []
    for day in map(DAYS.index, window.days):
        if runs and day == runs[-1][-1] + 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    named = [[_WEEKDAYS[day][:3] for day in run] for run in runs]
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(run) for run in named)


def _now(moment: Moment, zone: ZoneInfo) -> str:
    if moment.latest is None:
        return f"it is {_date(moment.earliest, zone)} or later there"
    if moment.latest - moment.earliest < _SURE_MS:
        return f"it is {_date(moment.best, zone)} there"
    return f"it is between {_date(moment.earliest, zone)} and {_date(moment.latest, zone)} there"


def _date(at: int, zone: ZoneInfo) -> str:
    shown = local(zone, at)
    return "a day beyond the calendar" if shown is None else f"{_WEEKDAYS[shown.weekday()]} {shown:%Y-%m-%d %H:%M}"
