"""What the contract says of one item, before any list is looked at."""

import re
from dataclasses import dataclass
from typing import Any, TypeAlias
from unicodedata import normalize

Document: TypeAlias = dict[str, Any]

NUMBERS = {
    "082 451 1234": "+27824511234",
    "+27824511234": "+27824511234",
    "0027 (0)82 451 1234": "+27824511234",
    "083 111 2222": "+27831112222",
    "+27 83-111-2222": "+27831112222",
    "+447911123456": "+447911123456",
    "00 44 7911 123456": "+447911123456",
    "+267 71 234 567": "+26771234567",
    "099 999 9999": "+27999999999",
    "+27 99 999 9999": "+27999999999",
}
"""Numbers as people write them in South Africa, and what they mean."""

OURS = re.compile(r"\+2782\d{7}")
"""Ten million that need no table: they are as they are."""

UNASSIGNED = {"+27999999999"}
UNUSABLE = ("082 45", "27824511234.0", "8.2E+10", "", "Unit 4")

PERMISSIONS = {"Owner", "Full", "Tenant", "Always", "Repeat", "Temporary"}
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
TIME = re.compile("([01][0-9]|2[0-3]):[0-5][0-9]")


@dataclass
class Terms:
    """What was agreed; `fault` says why it is nothing to agree on."""

    permission: str | None = None
    starts: int | None = None
    ends: int | None = None
    schedule: Any = None
    fault: str | None = None


@dataclass
class Item:
    """One invitee or revocation as the contract reads it; a field left out is None."""

    number: int
    revocation: bool
    mobile: str | None = None
    fault: str | None = None
    name: str = ""
    notes: str | None = None
    units: list[str] | None = None
    wifi: bool | None = None
    accepted: bool = False
    terms: Terms | None = None
    names_permission: bool = False


def items_of(part: Document) -> list[Item]:
    """Every item of a part: the invitees, then the revocations."""
    invitees, revocations = part.get("invitees") or [], part.get("revocations") or []
    return [
        *(_invitee(part, raw, number) for number, raw in enumerate(invitees)),
        *(_revocation(raw, number) for number, raw in enumerate(revocations, len(invitees))),
    ]


def _revocation(raw: Any, number: int) -> Item:
    item = Item(number, revocation=True)
    if not isinstance(raw, dict):
        item.fault = "schema"
        return item
    item.mobile = _mobile(raw)
    item.fault = None if item.mobile else "invalid_mobile"
    return item


def _invitee(part: Document, raw: Any, number: int) -> Item:
    item = Item(number, revocation=False)
    if not isinstance(raw, dict):
        item.fault = "schema"
        return item
    item.mobile = _mobile(raw)
    item.fault = _fault(raw, item.mobile)
    if item.fault is None:
        item.name = _text(raw["userName"])
        item.notes = None if raw.get("notes") is None else _text(raw["notes"])
        item.units = None if raw.get("units") is None else [unit.strip() for unit in raw["units"]]
        item.wifi = raw.get("wifi")
        item.accepted = raw.get("accepted") is True
        item.names_permission = raw.get("permission") is not None
        item.terms = _terms(
            *(
                part.get(name) if raw.get(name) is None else raw[name]
                for name in ("permission", "startDate", "endDate", "schedule")
            )
        )
    return item


def _mobile(raw: Document) -> str | None:
    written = raw.get("mobile")
    if not isinstance(written, str):
        return None
    return written if OURS.fullmatch(written) else NUMBERS.get(written.strip())


def _fault(raw: Document, mobile: str | None) -> str | None:
    """The first fault, where the contract does not say which comes first: number, name, notes, the rest."""
    name, notes = raw.get("userName"), raw.get("notes")
    if mobile is None:
        return "invalid_mobile"
    if name is None or name == "" or (isinstance(name, str) and not name.strip()):
        return "missing_name"
    if isinstance(name, str) and len(_text(name)) > 100:
        return "name_too_long"
    if not isinstance(name, str):
        return "schema"
    if isinstance(notes, str) and len(_text(notes)) > 400:
        return "notes_too_long"
    shapes = [
        isinstance(notes, str | None),
        isinstance(raw.get("wifi"), bool | None),
        isinstance(raw.get("accepted"), bool | None),
        raw.get("units") is None or all(isinstance(unit, str) for unit in raw["units"]),
        *(raw.get(date) is None or type(raw[date]) is int for date in ("startDate", "endDate")),
    ]
    return None if all(shapes) else "schema"


def _text(written: str) -> str:
    return normalize("NFC", written.strip())


def _terms(permission: Any, starts: int | None, ends: int | None, schedule: Any) -> Terms:
    if permission is None:
        return Terms(fault="missing_permission")
    if not isinstance(permission, str) or permission not in PERMISSIONS:
        return Terms(fault="invalid_permission")
    if permission not in ("Temporary", "Repeat"):
        return Terms(permission)
    if permission == "Temporary":
        schedule = None
        if starts is None or ends is None:
            return Terms(fault="missing_dates")
    elif schedule is None:
        return Terms(fault="missing_schedule")
    elif not _is_schedule(schedule):
        return Terms(fault="invalid_schedule")
    if starts is not None and ends is not None and starts >= ends:
        return Terms(fault="dates_reversed")
    return Terms(permission, starts, ends, _canonical(schedule))


def _is_schedule(schedule: Any) -> bool:
    return (
        isinstance(schedule, list)
        and bool(schedule)
        and all(
            isinstance(window, dict)
            and isinstance(window.get("days"), list)
            and bool(window["days"])
            and all(day in DAYS for day in window["days"])
            and all(isinstance(window.get(at), str) and TIME.fullmatch(window[at]) for at in ("from", "until"))
            for window in schedule
        )
    )


def _canonical(schedule: Any) -> Any:
    """The windows without their order, so that two ways of writing one schedule are one."""
    if schedule is None:
        return None
    return {(frozenset(window["days"]), window["from"], window["until"]) for window in schedule}
