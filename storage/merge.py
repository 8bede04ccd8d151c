"""What one part does to one device's list: pure decisions over what one look brought in.

Newer wins; a tombstone outlives the user; an Owner changes only by name; importing the same people again takes nothing
away. The whole part is decided in memory, and every item gets its true outcome from the same pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from protocol.lifecycle import standing
from protocol.terms import NO_TERMS, Terms, TermsFault
from protocol.validate import ItemFault, Person, Roll
from protocol.vocabulary import Caution, Fault, Kind, Mode, Outcome, Permission, Status
from storage.origins import Origin, Origins
from storage.userlist import CONTENT, Glance, User, tombstone


@dataclass(frozen=True, slots=True)
class Device:
    """A configured device, and its number in the store."""

    number: int
    device_id: str
    kind: Kind
    max_users: int


class Result(NamedTuple):
    """What became of one item on one device."""

    outcome: Outcome
    status: Status | None
    fault: ItemFault | None = None
    cautions: tuple[tuple[Caution, str], ...] = ()


@dataclass(slots=True)
class View:
    """One device's list as a group of parts sees it: what was there, and over it what has been decided."""

    device: Device
    revision: int
    replaced: int
    occupied: int
    known: Mapping[int, Glance]
    contents: Mapping[int, User]
    origins: Origins
    named: dict[int, int] = field(default_factory=dict)
    """Users on the list that each replace (by batch number) has named so far."""
    added: dict[int, int] = field(default_factory=dict)
    """Users that each replace (by batch number) has put on the list."""
    written: dict[int, User] = field(default_factory=dict)
    restated: dict[int, int] = field(default_factory=dict)
    """Users named again without a change: the number of the origin that spoke last."""

    def glance(self, mobile: int) -> Glance | User | None:
        """The user as decided so far; None where there is no row."""
        return self.written.get(mobile) or self.known.get(mobile)

    def origin_of(self, mobile: int, row: Glance | User) -> Origin:
        """What last spoke of the user."""
        return self.origins[self.restated.get(mobile, row.origin)]

    def status(self, mobile: int | None) -> Status | None:
        """The user's status as decided so far."""
        row = None if mobile is None else self.glance(mobile)
        return row.status if row else None


_LISTED = (Status.PENDING, Status.ACTIVE)
_CAUTIONED = {Caution.UNASSIGNED_RANGE: "mobile", Caution.OWNER_KEPT: "permission"}
_OWNER_KEPT = ((Caution.OWNER_KEPT, "an Owner is changed only by an item that names the permission itself"),)


def merge(view: View, roll: Roll, origin: Origin, now: int) -> list[Result]:
    """Decide every item of `roll`, for which `origin` stands, on the device of `view`; the results are by item.

    The user limit of a replace is measured against the users it names itself, not against those it is about to remove.
    """
    return _Merge(view, roll, origin, now).results()


class _Merge:
    def __init__(self, view: View, roll: Roll, origin: Origin, now: int) -> None:
        self.view = view
        self.roll = roll
        self.origin = origin
        self.now = now
        self.replacing = roll.part.mode is Mode.REPLACE
        self.counted = view.named.get(origin.batch, 0) if self.replacing else view.occupied
        self.intercom = view.device.kind is Kind.INTERCOM
        self.first: dict[int, int] | None = self._revoked_here() if self._repeats() else None
        self.kept: Origin | None = None

    def results(self) -> list[Result]:
        roll = self.roll
        results: list[Result | None] = [None] * roll.items
        for person in roll.people:
            results[person.item] = self._invited(person)
        for item in roll.revoked:
            results[item] = self._revoked(item)
        if self.replacing:
            self.view.named[self.origin.batch] = self.counted
        for item, fault in roll.faults.items():
            results[item] = self._rejected(item, fault)
        for item, caution in roll.cautions.items():
            result = results[item]
            if result is not None and result.outcome is not Outcome.REJECTED:
                results[item] = result._replace(cautions=(*result.cautions, caution))
        return [result for result in results if result is not None]

    def _repeats(self) -> bool:
        """Whether any number stands twice in the part, which is rare enough to be looked into only then."""
        mobiles = self.roll.mobiles
        return len(set(mobiles)) < len(mobiles)

    def _revoked_here(self) -> dict[int, int]:
        """Revocations stand before invitees, whatever the order: the first item for each of their numbers."""
        first: dict[int, int] = {}
        for item in self.roll.revoked:
            first.setdefault(self._mobile(item), item)
        return first

    def _mobile(self, item: int) -> int:
        mobile = self.roll.mobiles[item]
        assert mobile is not None, "an item without a number is a fault"
        return mobile

    def _invited(self, person: Person) -> Result:
        view, origin, mobile = self.view, self.origin, person.mobile
        terms = NO_TERMS if self.intercom else person.terms
        if isinstance(terms, TermsFault):
            return self._rejected(person.item, ItemFault(terms.code, terms.field, terms.message))
        if self.first is not None and self.first.setdefault(mobile, person.item) != person.item:
            return self._duplicate(person.item, self.first[mobile])
        row = view.written.get(mobile) or view.known.get(mobile)
        before: User | None = None
        if row is not None:
            spoken = view.origin_of(mobile, row)
            if spoken.revision > origin.revision or origin.revision < view.replaced:
                return Result(Outcome.SUPERSEDED, row.status)
            if spoken.batch == origin.batch:
                return self._duplicate(person.item, None)
            if row.status is not None:
                if spoken.body is not None and spoken.body == origin.body:
                    return self._unchanged(mobile, row.status, origin)
                before = row if isinstance(row, User) else view.contents[mobile]
                if before.permission == Permission.OWNER and not person.named_terms:
                    return self._owner_kept(mobile, before)
        elif origin.revision < view.replaced:
            return Result(Outcome.SUPERSEDED, None)
        after = self._agreed(person, terms, before)
        if before is not None and after[CONTENT] == before[CONTENT]:
            return self._unchanged(mobile, after.status, origin)
        occupied = before is not None and before.status in _LISTED
        occupies = after.status in _LISTED
        if occupies and not occupied and self._full():
            fault = ItemFault(Fault.USER_LIMIT, None, f"the device is full: it takes {view.device.max_users:,} users")
            return self._rejected(person.item, fault)
        self.counted += occupies if self.replacing else occupies - occupied
        view.occupied += occupies - occupied
        view.written[mobile] = after
        view.restated.pop(mobile, None)
        return Result(Outcome.ADDED if before is None else Outcome.UPDATED, after.status)

    def _full(self) -> bool:
        return self.counted >= self.view.device.max_users

    def _owner_kept(self, mobile: int, owner: User) -> Result:
        """The batch spoke of the Owner and changed nothing; what it said of the others is no word on the Owner."""
        if self.kept is None:
            origin = self.origin
            self.kept = self.view.origins.new(origin.device, origin.batch, origin.revision, None, origin.invited_by)
        return self._unchanged(mobile, owner.status, self.kept)._replace(cautions=_OWNER_KEPT)

    def _agreed(self, person: Person, terms: Terms, before: User | None) -> User:
        """The user's row after this item; what the item leaves unsaid stays, or takes its default."""
        accepted = person.accepted or (before is not None and before.accepted == 1)
        status, deadline = standing(accepted, terms.ends_at, self.roll.part.invite_expires_at, self.now)
        units = orjson.dumps(person.units).decode() if person.units and self.intercom else None
        if before is None:
            notes = person.notes or None
            wifi = person.wifi is not False
        else:
            notes = before.notes if person.notes is None else person.notes or None
            wifi = bool(before.wifi) if person.wifi is None else person.wifi
            if person.units is None:
                units = before.units
        return User(
            self.view.device.number,
            person.mobile,
            self.origin.number,
            self.now,
            status,
            1 if accepted else 0,
            terms.permission,
            terms.starts_at,
            terms.ends_at,
            terms.schedule,
            person.name,
            notes,
            units,
            1 if wifi else 0,
            deadline,
        )

    def _unchanged(self, mobile: int, status: Status | None, origin: Origin) -> Result:
        decided = self.view.written.get(mobile)
        if decided is None:
            self.view.restated[mobile] = origin.number
        else:
            self.view.written[mobile] = decided._replace(origin=origin.number)
        if self.replacing:
            self.counted += status in _LISTED
        return Result(Outcome.UNCHANGED, status)

    def _revoked(self, item: int) -> Result:
        view, origin, mobile = self.view, self.origin, self._mobile(item)
        if self.first is not None and self.first[mobile] != item:
            return self._duplicate(item, self.first[mobile])
        row = view.glance(mobile)
        if row is not None and view.origin_of(mobile, row).revision > origin.revision:
            return Result(Outcome.SUPERSEDED, row.status)
        if origin.revision < view.replaced:
            return Result(Outcome.SUPERSEDED, row.status if row else None)
        listed = row is not None and row.status is not None
        if row is not None and row.status in _LISTED:
            view.occupied -= 1
            self.counted -= not self.replacing or view.origin_of(mobile, row).batch == origin.batch
        view.written[mobile] = tombstone(view.device.number, mobile, origin.number, self.now)
        view.restated.pop(mobile, None)
        return Result(Outcome.REVOKED if listed else Outcome.ABSENT, None)

    def _duplicate(self, item: int, first: int | None) -> Result:
        where = "an earlier part of this batch" if first is None else f"item {first}"
        if first is not None and first >= len(self.roll.part.invitees):
            where += ", which revokes it"
        return self._rejected(
            item, ItemFault(Fault.DUPLICATE_IN_BATCH, "mobile", f"the number already stands in {where}")
        )

    def _rejected(self, item: int, fault: ItemFault) -> Result:
        return Result(Outcome.REJECTED, self.view.status(self.roll.mobiles[item]), fault)


def unknown_device(roll: Roll, device_id: str) -> list[Result]:
    """The results of a device this gateway does not have: they cost the other devices nothing."""
    fault = ItemFault(Fault.UNKNOWN_DEVICE, "deviceIds", f"this gateway has no device {device_id}")
    return [Result(Outcome.REJECTED, None, fault)] * roll.items


def result_extras(result: Result) -> dict[str, Any]:
    """The parts of a result that only some have, as the wire names them."""
    extras: dict[str, Any] = {}
    if result.fault is not None:
        extras["error"] = {"code": result.fault.code, "field": result.fault.field, "message": result.fault.message}
    if result.cautions:
        extras["warnings"] = [
            {"code": code, "field": _CAUTIONED[code], "message": words} for code, words in result.cautions
        ]
    return extras
