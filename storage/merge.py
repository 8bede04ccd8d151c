"""What one part does to one device's list: pure decisions over what one look brought in.

Newer wins; a tombstone outlives the user; an Owner changes only by name; importing the same people again takes nothing
away. The whole part is decided in memory, and every item gets its true outcome from the same pass.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from protocol.lifecycle import standing
from protocol.terms import NO_TERMS, Terms, TermsFault
from protocol.validate import ItemFault, Person, Roll
from protocol.vocabulary import Caution, Fault, Kind, Mode, Outcome, Permission, Status
from storage.origins import Origin, Origins
from storage.result import Result
from storage.userlist import CONTENT, Glance, User, tombstone


@dataclass(frozen=True, slots=True)
class Device:
    """A configured device, and its number in the store."""

    number: int
    device_id: str
    kind: Kind
    max_users: int


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
    forgotten: dict[int, int] = field(default_factory=dict)
    """Numbers of which a hash is all that is kept, and the revision that an invite has to be newer than."""
    revoked: dict[int, Origin] = field(default_factory=dict)
    """Those of them that were revoked once more."""
    signer: int | None = None
    """Who spoke of the device last, where that is a part of this group."""
    named: dict[int, int] = field(default_factory=dict)
    """Users on the list that each replace (by batch number) has named so far."""
    added: dict[int, int] = field(default_factory=dict)
    """Users that each replace (by batch number) has put on the list."""
    written: dict[int, User] = field(default_factory=dict)
    restated: dict[int, int] = field(default_factory=dict)
    """Users as they were stored and named again without a change: the number of the origin that spoke last."""

    def row(self, mobile: int) -> Glance | User | None:
        """The user as decided so far; None where there is no row."""
        return self.written.get(mobile) or self.known.get(mobile)

    def hides(self, mobile: int | None) -> bool:
        """Whether no report may repeat this number: it is somebody's who was forgotten, and still is."""
        return mobile in self.forgotten and mobile not in self.written

    def origin_of(self, mobile: int, row: Glance | User) -> Origin:
        """What last spoke of the user."""
        return self.origins[self.restated.get(mobile, row.origin)]

    def status(self, mobile: int | None) -> str | None:
        """The user's status as decided so far."""
        row = None if mobile is None else self.row(mobile)
        return row.status if row else None


_LISTED = (Status.PENDING.value, Status.ACTIVE.value)
_OWNER_KEPT = ((Caution.OWNER_KEPT, "an Owner is changed only by an item that names the permission itself"),)


AT_ONCE: Final = 25
"""How many people are decided in a row: a millisecond or two on a small board."""


def merge(view: View, roll: Roll, origin: Origin, now: int) -> Generator[None, None, list[Result]]:
    """Decide every item of `roll`, for which `origin` stands, on the device of `view`; returns the results by item.

    It yields where others may have the processor for a moment; nothing of the view may change meanwhile. The user limit
    of a replace is measured against the users it names itself, not against those it is about to remove.
    """
    return (yield from _Merge(view, roll, origin, now).results())


class _Merge:
    def __init__(self, view: View, roll: Roll, origin: Origin, now: int) -> None:
        self.view = view
        self.roll = roll
        self.origin = origin
        self.now = now
        self.replacing = roll.part.mode is Mode.REPLACE
        self.counted = view.named.get(origin.batch, 0) if self.replacing else view.occupied
        self.intercom = view.device.kind is Kind.INTERCOM
        self.stands: dict[int, int] = {}
        """The item that stands for each number so far: the first one that was not rejected."""
        self.kept: Origin | None = None
        self.joined: dict[str | None, list[int]] = {}
        self.left: dict[tuple[int, str | None], list[int]] = {}
        self.faults = dict(roll.faults)

    def results(self) -> Generator[None, None, list[Result]]:
        roll = self.roll
        results: list[Result | None] = [None] * roll.items
        for item in roll.revoked:  # before the invitees, whatever the order: a number in both is revoked
            results[item] = self._stand(item, self._mobile(item), self._revoked(item))
        if (terms := self._all_new()) is not None:
            self._add_all(terms, results)
        elif (rows := self._all_again()) is not None:
            self._keep_all(rows, results)
        else:
            for place, person in enumerate(self._in_turn(), 1):
                results[person.item] = self._stand(person.item, person.mobile, self._invited(person))
                if place % AT_ONCE == 0:
                    yield
        self._reckon()
        for item, fault in self.faults.items():
            results[item] = Result(Outcome.REJECTED, self.view.status(roll.mobiles[item]), fault)
        for item, caution in roll.cautions.items():
            result = results[item]
            if result is not None and result.outcome is not Outcome.REJECTED:
                results[item] = result._replace(cautions=(*result.cautions, caution))
        return [result for result in results if result is not None]

    def _in_turn(self) -> Sequence[Person]:
        """A replace first names whom the list has: they keep their places before anyone new takes one."""
        if not self.replacing:
            return self.roll.people
        return sorted(self.roll.people, key=lambda person: self.view.status(person.mobile) not in _LISTED)

    def _stand(self, item: int, mobile: int, result: Result | None) -> Result | None:
        if result is not None:
            self.stands[mobile] = item
        return result

    def _mobile(self, item: int) -> int:
        mobile = self.roll.mobiles[item]
        assert mobile is not None, "an item without a number is a fault"
        return mobile

    def _all_new(self) -> Terms | None:
        """The terms shared by everyone, where nobody has a row yet, nobody is named twice, and there is room for all.

        That is the usual part of a first import; `_invited` would come to the same, person by person.
        """
        view, people = self.view, self.roll.people
        if not people or self.origin.rank < view.replaced or self.stands:
            return None
        terms = people[0].terms
        if any(person.terms is not terms for person in people):
            return None
        mobiles = {person.mobile for person in people}
        if len(mobiles) < len(people):
            return None
        if not all(each.keys().isdisjoint(mobiles) for each in (view.known, view.written, view.forgotten)):
            return None
        if self.counted + len(people) > view.device.max_users:
            return None
        if self.intercom:
            return NO_TERMS
        return None if isinstance(terms, TermsFault) else terms

    def _add_all(self, terms: Terms, results: list[Result | None]) -> None:
        for accepted in (False, True):
            people = [person for person in self.roll.people if person.accepted is accepted]
            if people:
                users = self._fresh(people, terms, accepted)
                status = users[0].status
                result = Result(Outcome.ADDED, status)
                for person in people:
                    results[person.item] = result
                mobiles = [person.mobile for person in people]
                self.view.written.update(zip(mobiles, users, strict=True))
                self.joined.setdefault(status, []).extend(mobiles)
                self._count(len(people) if status in _LISTED else 0, 0)

    def _fresh(self, people: Sequence[Person], terms: Terms, accepted: bool) -> list[User]:
        """The rows of people who have none yet."""
        status, deadline = standing(accepted, terms.ends_at, self.roll.part.invite_expires_at, self.now)
        device, origin, now, plain, took = (
            self.view.device.number,
            self.origin.number,
            self.now,
            str(status),
            int(accepted),
        )
        permission = None if terms.permission is None else str(terms.permission)
        starts_at, ends_at, schedule = terms.starts_at, terms.ends_at, terms.schedule
        return [
            User(
                device,
                person.mobile,
                origin,
                now,
                plain,
                took,
                permission,
                starts_at,
                ends_at,
                schedule,
                person.name,
                person.notes or None,
                self._units(person),
                int(person.wifi is not False),
                deadline,
            )
            for person in people
        ]

    def _all_again(self) -> list[Glance] | None:
        """Everyone's row, where all were put there by a part of this very content, and nothing has happened since.

        That is the usual part of a list that is sent again; `_invited` would come to the same, person by person.
        """
        view, origin = self.view, self.origin
        if origin.body is None or view.written or self.stands or origin.rank < view.replaced:
            return None
        rows = [row for person in self.roll.people if (row := view.known.get(person.mobile)) is not None]
        if len(rows) < len(self.roll.people) or not view.restated.keys().isdisjoint(self.roll.mobiles):
            return None
        if not {row.status for row in rows} <= set(_LISTED):
            return None
        spoken = [view.origins[number] for number in {row.origin for row in rows}]
        return rows if all(each.body == origin.body and each.rank < origin.rank for each in spoken) else None

    def _keep_all(self, rows: Sequence[Glance], results: list[Result | None]) -> None:
        kept = {status: Result(Outcome.UNCHANGED, status) for status in _LISTED}
        for person, row in zip(self.roll.people, rows, strict=True):
            results[person.item] = kept[row.status or ""]
        self.view.restated.update(dict.fromkeys([person.mobile for person in self.roll.people], self.origin.number))
        if self.replacing:
            self._count(len(rows), len(rows))

    def _units(self, person: Person) -> str | None:
        return orjson.dumps(person.units).decode() if person.units and self.intercom else None

    def _invited(self, person: Person) -> Result | None:
        view, origin, mobile = self.view, self.origin, person.mobile
        terms = NO_TERMS if self.intercom else person.terms
        if isinstance(terms, TermsFault):
            return self._reject(person.item, ItemFault(terms.code, terms.field, terms.message))
        if mobile in self.stands:
            return self._duplicate(person.item, self.stands[mobile])
        row = view.row(mobile)
        before: User | None = None
        if row is not None:
            spoken = view.origin_of(mobile, row)
            if spoken.outranks(origin) or origin.rank < view.replaced:
                return Result(Outcome.SUPERSEDED, row.status)
            if spoken.batch == origin.batch:
                return self._duplicate(person.item, None)
            if row.status is not None:
                if spoken.body is not None and spoken.body == origin.body and row.status != Status.EXPIRED:
                    return self._unchanged(mobile, row.status, origin)
                before = row if isinstance(row, User) else view.contents[mobile]
        elif origin.rank < view.replaced or origin.rank <= view.forgotten.get(mobile, 0):
            return Result(Outcome.SUPERSEDED, None)
        after = (
            self._fresh([person], terms, person.accepted)[0] if before is None else self._agreed(person, terms, before)
        )
        if before is not None and after[CONTENT] == before[CONTENT]:
            return self._unchanged(mobile, after.status, origin)
        if before is not None and before.permission == Permission.OWNER and not person.named_terms:
            return self._owner_kept(mobile, before)
        occupied = before is not None and before.status in _LISTED
        occupies = after.status in _LISTED
        if occupies and not occupied and self.counted >= view.device.max_users:
            fault = ItemFault(Fault.USER_LIMIT, None, f"the device is full: it takes {view.device.max_users:,} users")
            return self._reject(person.item, fault)
        self._count(occupies, occupied)
        self._write(after, row)
        return Result(Outcome.ADDED if before is None else Outcome.UPDATED, after.status)

    def _agreed(self, person: Person, terms: Terms, before: User) -> User:
        """The row of somebody listed after this item; what the item leaves unsaid stays."""
        accepted = person.accepted or before.accepted == 1
        after = self._fresh([person], terms, accepted)[0]
        return after._replace(
            notes=before.notes if person.notes is None else after.notes,
            units=before.units if person.units is None else after.units,
            wifi=before.wifi if person.wifi is None else after.wifi,
        )

    def _owner_kept(self, mobile: int, owner: User) -> Result:
        """The batch spoke of the Owner and changed nothing; what it said of the others is no word on the Owner."""
        if self.kept is None:
            origin = self.origin
            self.kept = self.view.origins.new(origin.device, origin.batch, origin.revision, None, origin.invited_by)
        return self._unchanged(mobile, owner.status, self.kept)._replace(cautions=_OWNER_KEPT)

    def _unchanged(self, mobile: int, status: str | None, origin: Origin) -> Result:
        decided = self.view.written.get(mobile)
        if decided is None:
            self.view.restated[mobile] = origin.number
        else:  # written by an earlier part of this group
            self.view.origins[decided.origin].leave(status, [mobile])
            origin.join(status, [mobile])
            self.view.written[mobile] = decided._replace(origin=origin.number)
        if self.replacing:
            self._count(status in _LISTED, status in _LISTED)
        return Result(Outcome.UNCHANGED, status)

    def _revoked(self, item: int) -> Result | None:
        view, origin, mobile = self.view, self.origin, self._mobile(item)
        if mobile in self.stands:
            return self._duplicate(item, self.stands[mobile])
        row = view.row(mobile)
        if origin.rank < view.replaced:
            return Result(Outcome.SUPERSEDED, row.status if row else None)
        if row is not None:
            spoken = view.origin_of(mobile, row)
            if spoken.rank > origin.rank:
                return Result(Outcome.SUPERSEDED, row.status)
            if row.status is None and spoken.batch == origin.batch:
                return self._duplicate(item, None)
        if row is None and mobile in view.forgotten:
            return self._revoked_again(mobile)
        if row is not None and row.status in _LISTED:
            if self.replacing and view.origin_of(mobile, row).batch == origin.batch:
                self.counted -= 1  # an earlier part of this replace named the user
            self._count(0, 1)
        self._write(tombstone(view.device.number, mobile, origin.number, self.now), row)
        return Result(Outcome.REVOKED if row is not None and row.status is not None else Outcome.ABSENT, None)

    def _revoked_again(self, mobile: int) -> Result:
        """Somebody of whom a hash is all that is kept: that it is newer now is noted beside it."""
        view, rank = self.view, self.origin.rank
        if rank < view.forgotten[mobile]:
            return Result(Outcome.SUPERSEDED, None)
        view.forgotten[mobile] = rank
        view.revoked[mobile] = self.origin
        return Result(Outcome.ABSENT, None)

    def _count(self, occupies: int, occupied: int) -> None:
        """Keep the sums that the user limit is measured against."""
        self.view.occupied += occupies - occupied
        self.counted += occupies if self.replacing else occupies - occupied

    def _write(self, user: User, row: Glance | User | None) -> None:
        """The user is this from now on, in place of `row`."""
        if row is not None:
            self.left.setdefault((row.origin, row.status), []).append(user.mobile)
            self.view.restated.pop(user.mobile, None)
        self.joined.setdefault(user.status, []).append(user.mobile)
        self.view.written[user.mobile] = user

    def _reckon(self) -> None:
        """Keep the sums of the origins that users left and joined."""
        for (number, status), mobiles in self.left.items():
            self.view.origins[number].leave(status, mobiles)
        for status, mobiles in self.joined.items():
            self.origin.join(status, mobiles)
        if self.replacing:
            self.view.named[self.origin.batch] = self.counted

    def _duplicate(self, item: int, first: int | None) -> Result | None:
        where = "an earlier part of this batch" if first is None else f"item {first}"
        if first is not None and first >= len(self.roll.part.invitees):
            where += ", which revokes it"
        fault = ItemFault(Fault.DUPLICATE_IN_BATCH, "mobile", f"the number already stands in {where}")
        return self._reject(item, fault)

    def _reject(self, item: int, fault: ItemFault) -> Result | None:
        """No result yet: a rejected item's is told at the end, with the user's status after the whole part."""
        self.faults[item] = fault
        return None
