"""Moments as people write them: ISO 8601, or how long ago. Instants are epoch milliseconds."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS: Final = range(1970, 9999)
_UNITS: Final = {"s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
_AGO: Final = re.compile(rf"([0-9]{{1,6}}) ?({'|'.join(_UNITS)})")


def instant(written: str, zone: ZoneInfo | None) -> int:
    """An instant in ISO 8601; without an offset it is read on the wall clock of `zone`. Raises ValueError with a cure.

    What a fold repeats is meant the first time; what a gap skips never was. `zone` None: the offset must be there.
    """
    try:
        moment = datetime.fromisoformat(written.strip())
    except ValueError:
        raise ValueError(f"'{written}' is no time; write 2026-11-22T17:30, or 2026-11-22T17:30+02:00") from None
    if moment.year not in _YEARS:
        raise ValueError(f"'{written}' is not between 1970 and 9998")
    if moment.tzinfo is None:
        if zone is None:
            raise ValueError(f"'{written}' needs an offset, such as +02:00: these devices are in different time zones")
        wall, moment = moment, moment.replace(tzinfo=zone)
        if moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall:
            raise ValueError(f"'{written}' never was in {zone.key}: the clocks skipped it")
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def since(written: str, zone: ZoneInfo | None, now: int) -> int:
    """The same, or how long before `now`: 90s, 15min, 2h, 3d, 1w."""
    if ago := _AGO.fullmatch(written.strip()):
        return max(0, now - int(ago[1]) * _UNITS[ago[2]])
    try:
        return instant(written, zone)
    except ValueError as error:
        if re.match(r"\s*\d{4}-", written):
            raise
        raise ValueError(f"{error}, or how long ago, such as 15min, 2h or 3d") from None


def local(at: int, zone: ZoneInfo) -> datetime | None:
    """What the wall clock of a zone shows at an instant; None where no calendar goes that far."""
    try:
        return datetime.fromtimestamp(at / 1000, zone)
    except (OverflowError, ValueError, OSError):
        return None
