"""The terms of access: what an access type needs beside itself, and how a schedule is written."""

from dataclasses import dataclass
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from protocol.vocabulary import Fault, Permission

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_WINDOWS = 64

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WallTime = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class Window(BaseModel):
    """One weekly window in the device's own zone; `until` not after `from` means until that time next day."""

    model_config = ConfigDict(extra="ignore", strict=True)

    days: Annotated[list[Day], Field(min_length=1)]
    from_: Annotated[WallTime, Field(alias="from")]
    until: WallTime


_windows: TypeAdapter[list[Window]] = TypeAdapter(Annotated[list[Window], Field(min_length=1, max_length=MAX_WINDOWS)])


@dataclass(frozen=True, slots=True)
class Terms:
    """What was agreed with a user: access type, period (epoch ms, half-open) and schedule (canonical JSON)."""

    permission: Permission | None = None
    starts_at: int | None = None
    ends_at: int | None = None
    schedule: str | None = None


@dataclass(frozen=True, slots=True)
class TermsFault:
    """Why terms cannot stand, for one item's error on a Fluss+."""

    code: Fault
    field: str
    message: str


NO_TERMS = Terms()
"""An intercom user has no access type (Fluss's own API omits it for 6-digit ids)."""


def terms_of(permission: object, starts_at: int | None, ends_at: int | None, schedule: object) -> Terms | TermsFault:
    """The terms that permission, dates (epoch ms) and schedule make, or the first reason why they make none.

    Only visitors have dates: required for Temporary, honoured for Repeat, without meaning for permanent residents.
    """
    if permission is None:
        return TermsFault(Fault.MISSING_PERMISSION, "permission", "a Fluss+ needs an access type, such as Always")
    try:
        known = Permission(permission)  # type: ignore[arg-type]  # whatever the sender wrote
    except ValueError:
        return TermsFault(
            Fault.INVALID_PERMISSION, "permission", f"{_quoted(permission)} is not one of {', '.join(Permission)}"
        )
    if known is Permission.TEMPORARY:
        if starts_at is None or ends_at is None:
            missing = "startDate" if starts_at is None else "endDate"
            return TermsFault(Fault.MISSING_DATES, missing, "Temporary access needs startDate and endDate")
        return _period(Terms(known, starts_at, ends_at))
    if known is Permission.REPEAT:
        if schedule is None:
            return TermsFault(Fault.MISSING_SCHEDULE, "schedule", "Repeat access needs a schedule")
        written = canonical_schedule(schedule)
        if isinstance(written, TermsFault):
            return written
        return _period(Terms(known, starts_at, ends_at, written))
    return Terms(known)


def canonical_schedule(schedule: object) -> str | TermsFault:
    """A schedule as canonical JSON (days in week order, once each; windows sorted), or what is wrong with it."""
    try:
        windows = _windows.validate_python(schedule)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        return TermsFault(Fault.INVALID_SCHEDULE, f"schedule{place}", _schedule_words(first["type"]))
    ordered = sorted((sorted(set(window.days), key=DAYS.index), window.from_, window.until) for window in windows)
    return orjson.dumps([{"days": days, "from": start, "until": until} for days, start, until in ordered]).decode()


def schedule_windows(schedule: str) -> list[Window]:
    """The windows of a canonical schedule."""
    return _windows.validate_json(schedule)


def _period(terms: Terms) -> Terms | TermsFault:
    if terms.starts_at is not None and terms.ends_at is not None and terms.starts_at >= terms.ends_at:
        return TermsFault(Fault.DATES_REVERSED, "endDate", "endDate must be after startDate")
    return terms


def _schedule_words(error: str) -> str:
    if error == "string_pattern_mismatch":
        return "a time is written HH:MM, from 00:00 to 23:59"
    if error == "literal_error":
        return f"a day is one of {', '.join(DAYS)}"
    return 'a schedule is a list such as [{"days": ["mon"], "from": "09:00", "until": "17:00"}]'


def _quoted(value: object, most: int = 40) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"
