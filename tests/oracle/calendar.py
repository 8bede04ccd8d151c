"""When a schedule is open, counted out minute by minute, from what the wall shows to the instants at which it does.

The other way round from the gateway's, and nothing of `protocol`. It holds from 1972 on, when every zone had come to
stand off by whole minutes.
"""

import zoneinfo
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

# As the configuration does: zones of the pinned tzdata package, whatever this machine has.
zoneinfo.reset_tzpath(to=())

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES = 24 * 60
MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- what a wall shows has no zone


def zone(name: str) -> ZoneInfo:
    """A zone of the tzdata package, even where another one of that name was loaded before."""
    return ZoneInfo.no_cache(name)


def changes(of: ZoneInfo, first: int, last: int) -> Iterator[date]:
    """Days of these years (in UTC) on which the clocks were changed."""
    moment = datetime(first, 1, 1, tzinfo=UTC)
    before = moment.astimezone(of).utcoffset()
    while moment.year <= last:
        moment += timedelta(days=1)
        offset = moment.astimezone(of).utcoffset()
        if offset != before:
            yield (moment - timedelta(days=1)).date()
        before = offset


class Calendar:
    """Some days of a zone: for every minute that a wall can show, when it shows it.

    `begin` and `end` are the epoch minutes from and until which everything is known.
    """

    def __init__(self, of: ZoneInfo, first: date, days: int) -> None:
        self._first = first - timedelta(days=1)  # its nights reach into the first day
        midnight = datetime.combine(self._first, datetime.min.time())
        self._shown = [_instants(of, midnight + timedelta(minutes=minute)) for minute in range((days + 1) * MINUTES)]
        known = [instant for instants in self._shown[MINUTES:] for instant in instants]
        self.begin, self.end = min(known), max(known) + 1

    def open(self, windows: Sequence[dict[str, Any]]) -> set[int]:
        """The epoch minutes at which a schedule, as the wire has it, is open."""
        minutes: set[int] = set()
        for day in range(len(self._shown) // MINUTES):
            name = DAYS[(self._first + timedelta(days=day)).weekday()]
            for span in (_span(window) for window in windows if name in window["days"]):
                shown = self._shown[day * MINUTES + span.start : day * MINUTES + span.stop]
                minutes.update(instant for instants in shown for instant in instants)
        return minutes


def _span(window: dict[str, Any]) -> range:
    """Minutes of a window, counted from the midnight before it."""
    start, until = (int(time[:2]) * 60 + int(time[3:]) for time in (window["from"], window["until"]))
    return range(start, until if until > start else until + MINUTES)


def _instants(of: ZoneInfo, shown: datetime) -> list[int]:
    """Epoch minutes at which the wall shows this: none in a gap, two in a fold (PEP 495)."""
    early, late = of.utcoffset(shown), of.utcoffset(shown.replace(fold=1))
    assert early is not None
    assert late is not None
    since = shown - EPOCH
    if early == late:
        return [(since - early) // MINUTE]
    return [(since - early) // MINUTE, (since - late) // MINUTE] if early > late else []
