"""The list that an office imports: people out of several files in one order, each with what is known of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from protocol.invites import Invitee
from protocol.vocabulary import Fault
from simulator.columns import NOTES
from simulator.contacts import Contact, Contacts, Problem


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the list: who it names, where it stands, and what is wrong with it (None: nothing)."""

    source: str
    contact: Contact
    problem: Problem | None
    has_notes: bool
    """The file has a column of notes, so an empty one says that there are none."""
    accepted: bool = False
    """The person has taken up the app already."""

    @property
    def sent(self) -> bool:
        """The gateway is asked about this row; a ruined number is not sent, for it would name somebody else."""
        return self.problem is None or not self.problem.ruined

    def invitee(self) -> Invitee:
        """The person as the wire carries them. A number that was understood is sent so that it means the same there."""
        contact = self.contact
        invitee = Invitee(userName=contact.name, mobile=contact.mobile if contact.e164 is None else f"+{contact.e164}")
        if self.has_notes:
            invitee["notes"] = contact.notes
        if self.accepted:
            invitee["accepted"] = True
        return invitee


@dataclass(frozen=True, slots=True)
class Roster:
    """Every row of every file once, in the order they were given."""

    entries: tuple[Entry, ...]
    sources: tuple[str, ...]
    """The names of the files."""

    @property
    def sent(self) -> tuple[Entry, ...]:
        """The rows the gateway is asked about."""
        return tuple(entry for entry in self.entries if entry.sent)

    @property
    def withheld(self) -> tuple[Entry, ...]:
        """The rows that are not sent."""
        return tuple(entry for entry in self.entries if not entry.sent)

    def place(self, entry: Entry) -> str:
        """Where a row stands, as an error names it."""
        return f"{entry.source} row {entry.contact.row}" if len(self.sources) > 1 else f"row {entry.contact.row}"

    def short_place(self, entry: Entry) -> str:
        """The same in a column of its own."""
        return f"{entry.source} {entry.contact.row}" if len(self.sources) > 1 else str(entry.contact.row)

    def with_accepted(self, has_accepted: Callable[[Entry], bool]) -> "Roster":
        """The same list, with those who have taken up the app already marked as such."""
        marked = tuple(replace(entry, accepted=has_accepted(entry)) for entry in self.entries)
        return replace(self, entries=marked)


def merged(lists: Sequence[Contacts]) -> Roster:
    """Several lists as one: of the rows with one number, the first stands, whichever file it is in."""
    entries: list[Entry] = []
    standing: dict[int, Entry] = {}
    for contacts in lists:
        has_notes = NOTES in contacts.columns
        of_file = [Entry(contacts.source, person, None, has_notes) for person in contacts.people]
        of_file += [Entry(contacts.source, problem.contact, problem, has_notes) for problem in contacts.problems]
        for entry in sorted(of_file, key=lambda entry: entry.contact.row):
            first = entry
            if entry.problem is None and entry.contact.e164 is not None:
                first = standing.setdefault(entry.contact.e164, entry)
            entries.append(entry if first is entry else _repeating(first, entry))
    return Roster(tuple(entries), tuple(contacts.source for contacts in lists))


def _repeating(first: Entry, entry: Entry) -> Entry:
    words = f"the same number as {first.source} row {first.contact.row}, {first.contact.name}"
    return replace(entry, problem=Problem(entry.contact, Fault.DUPLICATE_IN_BATCH, words))
