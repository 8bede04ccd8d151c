"""Validate: each person of a part on its own, so that one bad row costs that row.

The whole list is judged at once by pydantic's core, which leaves a hole where a row is bad; only holes are looked at
one by one, to be mended (a name that only needed normalising) or explained.
"""

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple
from unicodedata import is_normalized, normalize

from pydantic import GetPydanticSchema, TypeAdapter, ValidationError
from pydantic_core import core_schema

from protocol.codec import Part
from protocol.invites import MAX_NAME, MAX_NOTES, TERM_FIELDS, Invitee, Revocation
from protocol.mobile import Numbers, Unassigned
from protocol.terms import Terms, TermsFault, terms_of
from protocol.vocabulary import Caution, Fault

_hole = GetPydanticSchema(
    lambda kind, build: core_schema.with_default_schema(build(kind), default=None, on_error="default")
)
_invitee = TypeAdapter(Invitee)
_invitees: TypeAdapter[list[Invitee | None]] = TypeAdapter(list[Annotated[Invitee | None, _hole]])
_revocations: TypeAdapter[list[Revocation | None]] = TypeAdapter(list[Annotated[Revocation | None, _hole]])


class Person(NamedTuple):
    """A valid invitee. None means: not said, so what the user already has stays."""

    item: int
    mobile: int
    name: str
    notes: str | None
    units: list[str] | None
    wifi: bool | None
    accepted: bool
    terms: Terms | TermsFault
    named_terms: bool
    """The item names its own permission: only such an item changes an Owner."""


@dataclass(frozen=True, slots=True)
class ItemFault:
    """Why an item is rejected, in words for the person who sent it."""

    code: Fault
    field: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Roll:
    """A part with every item judged: in `people`, in `revoked` or in `faults`, by item number."""

    part: Part
    mobiles: list[int | None]
    """E.164 digits by item; None where an item names nobody."""
    people: list[Person]
    revoked: list[int]
    faults: dict[int, ItemFault]
    cautions: dict[int, tuple[Caution, str]]

    @property
    def items(self) -> int:
        """How many items the part has."""
        return len(self.mobiles)


def validate(part: Part, numbers: Numbers) -> Roll:
    """Judge every item of `part`; never raises for what a sender wrote."""
    faults: dict[int, ItemFault] = {}
    rows: list[Invitee | None] = _invitees.validate_python(part.invitees)
    composed = is_normalized("NFC", "\n".join([f"{row['userName']}{row.get('notes')}" for row in rows if row]))
    for item, row in enumerate(rows):
        if row is None or not (composed or _is_composed(row)):
            rows[item] = _mended(part.invitees[item], item, faults)
    written = [row["mobile"] if row else _mobile_text(raw) for row, raw in zip(rows, part.invitees, strict=True)]

    first = len(rows)
    for item, revocation in enumerate(_revocations.validate_python(part.revocations), first):
        raw = part.revocations[item - first]
        if revocation is None:
            faults[item] = _mobile_fault(raw) if isinstance(raw, dict) else _NOT_AN_OBJECT
        written.append(_mobile_text(raw))

    mobiles: list[int | None] = []
    cautions: dict[int, tuple[Caution, str]] = {}
    for item, reading in enumerate(numbers.read_many(written)):
        if isinstance(reading, int):
            mobiles.append(reading)
        elif isinstance(reading, Unassigned):
            mobiles.append(reading.e164)
            cautions[item] = (Caution.UNASSIGNED_RANGE, reading.message)
        else:
            mobiles.append(None)
            if _blames_mobile(faults.get(item)):
                faults[item] = ItemFault(Fault.INVALID_MOBILE, "mobile", reading.message)

    people = _people(part, rows, mobiles, faults)
    revoked = [item for item in range(first, len(mobiles)) if item not in faults]
    return Roll(part, mobiles, people, revoked, faults, {i: c for i, c in cautions.items() if i not in faults})


def _people(
    part: Part, rows: list[Invitee | None], mobiles: list[int | None], faults: dict[int, ItemFault]
) -> list[Person]:
    default = terms_of(part.permission, part.start_date, part.end_date, part.schedule)
    some_own = not TERM_FIELDS.isdisjoint(set().union(*[row for row in rows if row]))
    people = []
    for item, (row, mobile) in enumerate(zip(rows, mobiles, strict=False)):
        if row is None or mobile is None or item in faults:
            continue
        own = some_own and not TERM_FIELDS.isdisjoint(row)
        people.append(
            Person(
                item,
                mobile,
                row["userName"],
                row.get("notes"),
                row.get("units"),
                row.get("wifi"),
                row.get("accepted") is True,
                _own_terms(part, row) if own else default,
                own and row.get("permission") is not None,
            )
        )
    return people


def _own_terms(part: Part, row: Invitee) -> Terms | TermsFault:
    """The item's own words first, the batch's where it is silent."""
    permission, schedule = row.get("permission"), row.get("schedule")
    starts_at, ends_at = row.get("startDate"), row.get("endDate")
    return terms_of(
        part.permission if permission is None else permission,
        part.start_date if starts_at is None else starts_at,
        part.end_date if ends_at is None else ends_at,
        part.schedule if schedule is None else schedule,
    )


def _is_composed(row: Invitee) -> bool:
    return is_normalized("NFC", row["userName"]) and is_normalized("NFC", row.get("notes") or "")


_NOT_AN_OBJECT = ItemFault(Fault.SCHEMA, None, "an item is a JSON object")


def _mended(raw: object, item: int, faults: dict[int, ItemFault]) -> Invitee | None:
    """The row after normalising its texts, or None with its fault noted."""
    if not isinstance(raw, dict):
        faults[item] = _NOT_AN_OBJECT
        return None
    texts = {name: normalize("NFC", value) for name, value in raw.items() if isinstance(value, str)}
    try:
        return _invitee.validate_python(raw | texts)
    except ValidationError as invalid:
        faults[item] = _explained(raw, invalid)
        return None


def _explained(raw: dict[str, Any], invalid: ValidationError) -> ItemFault:
    """The fault the office should mend first: the number, then the name, then the rest."""
    errors = {str(error["loc"][0]): error for error in invalid.errors(include_url=False, include_input=False)}
    if "mobile" in errors:
        return _mobile_fault(raw)
    if "userName" in errors:
        if errors["userName"]["type"] == "string_too_long":
            return ItemFault(Fault.NAME_TOO_LONG, "userName", f"a name has at most {MAX_NAME} characters")
        if errors["userName"]["type"] == "string_type" and raw["userName"] is not None:
            return ItemFault(Fault.SCHEMA, "userName", "a name is text")
        return ItemFault(Fault.MISSING_NAME, "userName", "the name is missing")
    if "notes" in errors and errors["notes"]["type"] == "string_too_long":
        return ItemFault(Fault.NOTES_TOO_LONG, "notes", f"notes have at most {MAX_NOTES} characters")
    field, error = next(iter(errors.items()))
    return ItemFault(Fault.SCHEMA, field, error["msg"])


def _mobile_fault(raw: dict[str, Any]) -> ItemFault:
    missing = raw.get("mobile") is None
    return ItemFault(
        Fault.INVALID_MOBILE, "mobile", "the number is missing" if missing else "a number is written as text"
    )


def _mobile_text(raw: object) -> str:
    """The number as written, so that also a rejected row says whom it names; empty where it names nobody."""
    mobile = raw.get("mobile") if isinstance(raw, dict) else None
    return mobile if isinstance(mobile, str) else ""


def _blames_mobile(fault: ItemFault | None) -> bool:
    """Whether an unusable number is the fault to report: it comes first, unless the item has no number at all."""
    return fault is None or not (fault.code is Fault.INVALID_MOBILE or fault is _NOT_AN_OBJECT)
