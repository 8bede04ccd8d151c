"""The list that an office imports: people out of several files in one order, each with what is known of them."""

from collections.abc import Iterable, Sequence
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

    @property
    def sent(self) -> tuple[Entry, ...]:
        """The rows the gateway is asked about."""
        return tuple(entry for entry in self.entries if entry.sent)

    @property
    def withheld(self) -> tuple[Entry, ...]:
        """The rows that are not sent."""
        return tuple(entry for entry in self.entries if not entry.sent)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the files."""
        return tuple(dict.fromkeys(entry.source for entry in self.entries))

    def place(self, entry: Entry) -> str:
        """Where a row stands, as an error names it."""
        return f"{entry.source} row {entry.contact.row}" if len(self.sources) > 1 else f"row {entry.contact.row}"

    def with_accepted(self, accepted: Iterable[Entry]) -> "Roster":
        """The same list, with these people having taken up the app already."""
        chosen = {id(entry) for entry in accepted}
        return Roster(tuple(replace(e, accepted=True) if id(e) in chosen else e for e in self.entries))


def merged(lists: Sequence[Contacts]) -> Roster:
    """Several lists as one: of the rows with one number, the first stands, whichever file it is in."""
    entries: list[Entry] = []
    standing: dict[int, tuple[str, Contact]] = {}
    for contacts in lists:
        has_notes = NOTES in contacts.columns
        rows: list[tuple[Contact, Problem | None]] = [(person, None) for person in contacts.people]
        rows += [(problem.contact, problem) for problem in contacts.problems]
        for contact, problem in sorted(rows, key=lambda row: row[0].row):
            if problem is None and contact.e164 is not None:
                first = standing.setdefault(contact.e164, (contacts.source, contact))
                if first[1] is not contact:
                    words = f"the same number as {first[0]} row {first[1].row}, {first[1].name}"
                    problem = Problem(contact, Fault.DUPLICATE_IN_BATCH, words)
            entries.append(Entry(contacts.source, contact, problem, has_notes))
    return Roster(tuple(entries))
