"""Access as a person writes it (a date, a week of opening hours) into what the wire carries, and back into words."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final

import orjson

from protocol.invites import LAST_INSTANT
from protocol.terms import DAYS, TermsFault, canonical_schedule
from protocol.vocabulary import Permission
from simulator.batching import Offer

_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SPAN: Final = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
_EXAMPLE: Final = "mon-fri 09:00-17:00; sat 08:00-12:00"


def parse_instant(text: str, zone: tzinfo | None, *, ends: bool = False) -> int:
    """Epoch milliseconds of an ISO 8601 date or date and time; without an offset it is meant in `zone`.

    A date alone is its first moment, or with `ends` its last: a guest until Friday may come on Friday. ValueError with
    words for a person.
    """
    try:
        moment = _midnight(date.fromisoformat(text), ends=ends)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text!r} is no date: write 2026-12-24, or 2026-12-24T18:00") from None
    except OverflowError:
        raise ValueError(f"{text!r} is later than any calendar") from None
    if moment.tzinfo is None:
        if zone is None:
            raise ValueError(
                f"{text!r} does not say in which time zone: add --timezone Africa/Johannesburg, or an offset (+02:00)"
            )
        moment = moment.replace(tzinfo=zone)
    milliseconds = round(moment.timestamp() * 1000)
    if not 0 <= milliseconds <= LAST_INSTANT:
        raise ValueError(f"{text!r} is not between 1970 and 9999")
    return milliseconds


def _midnight(day: date, *, ends: bool) -> datetime:
    return datetime.combine(day + timedelta(days=ends), time())


def parse_schedule(text: str) -> list[dict[str, Any]]:
    """The windows of a schedule such as `mon-fri 09:00-17:00; sat 08:00-12:00`, or of the wire's own JSON.

    Several times after the days are several windows; `daily` is every day; 24:00 is midnight. ValueError with words for
    a person.
    """
    try:
        written = orjson.loads(text) if text.lstrip().startswith("[") else list(_windows(text))
    except orjson.JSONDecodeError as broken:
        raise ValueError(f"a schedule that begins with [ is JSON, and this is none: {broken}") from None
    canonical = canonical_schedule(written)
    if not isinstance(canonical, TermsFault):
        checked: list[dict[str, Any]] = orjson.loads(canonical)
        return checked
    raise ValueError(f"{canonical.field}: {canonical.message}")


def _windows(text: str) -> Iterator[dict[str, Any]]:
    plain = re.sub(r"\s*[-–—]\s*", "-", text.lower())
    for clause in filter(None, map(str.strip, plain.split(";"))):
        words = re.split(r"[\s,]+", clause)
        spans = [span for word in words if (span := _SPAN.fullmatch(word))]
        days = [day for word in words if not _SPAN.fullmatch(word) for day in _days(word)]
        if not spans or not days:
            lacks = "no times" if not spans else "no days"
            raise ValueError(f"{clause!r} has {lacks}: write a schedule as {_EXAMPLE!r}")
        for span in spans:
            start, until = (f"{int(hour):02}:{minute}" for hour, minute in (span.groups()[:2], span.groups()[2:]))
            yield {"days": days, "from": start, "until": "00:00" if until == "24:00" else until}


def _days(word: str) -> Sequence[str]:
    if word in {"daily", "everyday"}:
        return DAYS
    first, _, last = word.partition("-")
    start, end = _day(first), _day(last or first)
    if start is None or end is None:
        raise ValueError(f"{word!r} is neither a day nor a time: write a schedule as {_EXAMPLE!r}")
    return [DAYS[day % 7] for day in range(start, (end if end >= start else end + 7) + 1)]


def _day(word: str) -> int | None:
    """A day by its name or its first letters, three at least."""
    found = (number for number, name in enumerate(_DAYS) if len(word) > 2 and name.startswith(word))
    return next(found, None)


def describe(offer: Offer, zone: tzinfo | None) -> str:
    """What is offered, in words: the access type with its dates (in `zone`, or UTC) or its schedule."""
    words = [offer.permission.value] if offer.permission else ["access without a type (intercom)"]
    if offer.permission in {Permission.TEMPORARY, Permission.REPEAT}:
        if offer.schedule and offer.permission is Permission.REPEAT:
            words.append("; ".join(map(_window_words, offer.schedule)))
        if offer.start_date is not None:
            words.append(f"from {_moment(offer.start_date, zone)}")
        if offer.end_date is not None:
            words.append(f"until {_moment(offer.end_date, zone)}")
    if offer.invite_expires_at is not None:
        words.append(f"to be taken up before {_moment(offer.invite_expires_at, zone)}")
    return ", ".join(words)


def _window_words(window: Mapping[str, Any]) -> str:
    return f"{' '.join(window['days'])} {window['from']}-{window['until']}"


def _moment(milliseconds: int, zone: tzinfo | None) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, zone or UTC)
    return f"{moment:%Y-%m-%d %H:%M} {zone or 'UTC'}"
