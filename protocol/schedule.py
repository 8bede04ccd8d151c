"""Weekly windows on the wall clock of a zone. Pure functions; instants are epoch milliseconds.

An instant is inside a window when the wall at the device shows a day and a time that the window names. So what a change
of the clocks skips never happens, and what it repeats counts twice. A window over midnight belongs to the day on which
it starts, even a day that the calendar skipped: what is left of its night counts.

A schedule is the canonical JSON that `protocol.terms` makes; one that cannot be read opens never. The calendar reaches
from 1970 to 9999, and outside of it everything is closed.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from protocol.invites import LAST_INSTANT
from protocol.terms import DAYS, Window, schedule_windows

_DAY: Final = 86_400
_WEEK: Final = 7 * _DAY
_CALENDAR: Final = range((LAST_INSTANT + 1) // 1000 - _DAY)
"""Seconds at which every zone has a date; on the last day of 9999 some would be in the year 10000."""

_AHEAD: Final = 370 * _DAY
"""How far is looked ahead. Whatever opens at all does so within weeks; a year is what a person plans."""

_BACK: Final = 16 * _DAY
"""How far is looked back. A week has a closed moment or none, and a change of the clocks may skip it once."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A schedule that is open: a window that covers the instant, and the stretch around it.

    Windows that touch make one stretch. `since` is its first instant, `until` the first one after it; both are None
    where the schedule is open all week.
    """

    window: Window
    since: int | None
    until: int | None


@dataclass(frozen=True, slots=True)
class _Week:
    """A schedule laid out on the seconds of a week, which starts on Monday."""

    windows: tuple[Window, ...]
    flips: tuple[int, ...]
    """Where it opens or closes, in order; an even number of them."""
    late: bool
    """Whether it is open as Sunday ends."""

    def open(self, wall: int | None) -> bool:
        """Whether it is open when the wall shows this second; never where there is no calendar."""
        return wall is not None and self.late != (bisect_right(self.flips, wall) % 2 == 1)

    def rest(self, wall: int | None) -> int:
        """Seconds until the next flip, if the clocks do not change; a day at most."""
        if wall is None or not self.flips:
            return _DAY
        following = self.flips[bisect_right(self.flips, wall) % len(self.flips)]
        return min(_DAY, (following - wall) % _WEEK)


def is_open(schedule: str, zone: ZoneInfo, at: int) -> bool:
    """Whether the schedule is open at an instant."""
    return _week(schedule).open(_wall(zone, at // 1000))


def holds(schedule: str, zone: ZoneInfo, earliest: int, latest: int) -> bool | None:
    """Whether it is open (True) or closed (False) at every instant from `earliest` through `latest`.

    None where it is neither, or where they lie more than a year apart.
    """
    week, first, last = _week(schedule), earliest // 1000, latest // 1000
    if last - first > _AHEAD or next(_turns(week, zone, first, last), None):
        return None
    return week.open(_wall(zone, first))


def open_window(schedule: str, zone: ZoneInfo, at: int) -> Opening | None:
    """What is open at an instant, since when and until when; None where nothing is."""
    week, second = _week(schedule), at // 1000
    wall = _wall(zone, second)
    if wall is None or not week.open(wall):
        return None
    window = next(window for window in week.windows if _covers(window, wall))
    opened = [turn * 1000 for turn, opens in _turns(week, zone, second - _BACK, second) if opens]
    closes = next((turn * 1000 for turn, _ in _turns(week, zone, second, second + _AHEAD)), None)
    return Opening(window, opened[-1] if opened else None, closes)


def next_opening(schedule: str, zone: ZoneInfo, at: int) -> int | None:
    """The first instant after `at` at which the schedule turns from closed to open.

    None where it does not within a year: it is open all week, or never, or the calendar ends.
    """
    second = at // 1000
    turns = _turns(_week(schedule), zone, second, second + _AHEAD)
    return next((turn * 1000 for turn, opens in turns if opens), None)


def local(zone: ZoneInfo, at: int) -> datetime | None:
    """Date and time that the wall shows at an instant, to the second; None outside the calendar."""
    return datetime.fromtimestamp(at // 1000, zone) if at // 1000 in _CALENDAR else None


@lru_cache(maxsize=512)
def _week(schedule: str) -> _Week:
    try:
        windows = schedule_windows(schedule)
    except ValueError:
        windows = []
    changes: Counter[int] = Counter()
    depth = 0  # how many windows are open as the week begins, before any starts in it
    for start, length in (span for window in windows for span in _spans(window)):
        changes[start] += 1
        changes[(start + length) % _WEEK] -= 1
        depth += start + length >= _WEEK
    late, flips = depth > 0, []
    for second in sorted(changes):
        was_open = depth > 0
        depth += changes[second]
        if was_open != (depth > 0):
            flips.append(second)
    return _Week(tuple(windows), tuple(flips), late)


def _spans(window: Window) -> Iterator[tuple[int, int]]:
    """For each of its days: the second of the week at which a window starts, and how many it lasts."""
    start, until = _second_of_day(window.from_), _second_of_day(window.until)
    length = until - start if start < until else until - start + _DAY
    for day in window.days:
        yield DAYS.index(day) * _DAY + start, length


def _covers(window: Window, wall: int) -> bool:
    return any((wall - start) % _WEEK < length for start, length in _spans(window))


def _second_of_day(time: str) -> int:
    return int(time[:2]) * 3600 + int(time[3:]) * 60


def _wall(zone: ZoneInfo, second: int) -> int | None:
    """The second of the week that the wall shows; None outside the calendar."""
    shown = local(zone, second * 1000)
    if shown is None:
        return None
    return shown.weekday() * _DAY + shown.hour * 3600 + shown.minute * 60 + shown.second


def _turns(week: _Week, zone: ZoneInfo, start: int, through: int) -> Iterator[tuple[int, bool]]:
    """Every second after `start`, up to `through`, at which the schedule opens (True) or closes, in order."""
    was, at = week.open(_wall(zone, start)), start
    while at <= through:
        wall = _wall(zone, at)
        if week.open(wall) != was:
            was = not was
            yield at, was
        at = _change_of_clocks(zone, at, at + week.rest(wall))


def _change_of_clocks(zone: ZoneInfo, start: int, end: int) -> int:
    """The first second after `start` at which the wall does not show what has passed; `end` where it does all along.

    They are a day apart at most, so it is enough to compare the two: no zone turned its clocks and turned them back
    within less than a week (tzdata, since 1970).
    """

    def ahead(second: int) -> int | None:
        wall = _wall(zone, second)
        return None if wall is None else (wall - second) % _WEEK

    before = ahead(start)
    if ahead(end) == before:
        return end
    return start + bisect_left(range(start, end), True, key=lambda second: ahead(second) != before)
