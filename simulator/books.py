"""A truth kept while a batch is on its way: what is wanted is written down before anything is sent."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Self

from protocol.invites import Invitee
from simulator.batching import Batch, Offer
from simulator.messages import Message, Receipt, Result, State, Statuses
from simulator.roster import Roster
from simulator.tracking import Tracker
from simulator.truth import Truth

if TYPE_CHECKING:
    from simulator.truth import Intent


class Books:
    """One batch in a truth; `named` are the numbers (E.164) of its people in order, None for whom nobody can be meant.

    `others` are numbers in rows that are not sent: a replace does not leave them out.
    """

    def __init__(
        self,
        truth: Truth,
        offer: Offer,
        invitees: Mapping[str, Invitee],
        revoked: Collection[str],
        named: Sequence[str | None],
        others: Collection[str] = (),
    ) -> None:
        self._truth = truth
        self._offer = offer
        self._invitees = invitees
        self._revoked = revoked
        self._named = named
        self._others = others
        self._intent: Intent | None = None

    @classmethod
    def of_roster(cls, truth: Truth, offer: Offer, roster: Roster, *, revoking: bool) -> Self:
        """The books of an import; a row that the gateway has to refuse is not wanted."""
        sound = [entry if entry.problem is None and entry.contact.e164 is not None else None for entry in roster.sent]
        named = [None if entry is None else f"+{entry.contact.e164}" for entry in sound]
        invitees = {f"+{entry.contact.e164}": entry.invitee() for entry in sound if entry is not None}
        others = {f"+{entry.contact.e164}" for entry in roster.entries if entry.contact.e164 is not None}
        if revoking:
            return cls(truth, offer, {}, list(invitees), named, others)
        return cls(truth, offer, invitees, (), named, others)

    def newest(self, state: State | None) -> int:
        """The newest revision that either side knows of: a truth may have been put back, and a gateway too."""
        return max(self._truth.revision, state.revision if state else 0)

    def enter(self, batch: Batch) -> None:
        """The batch is about to be sent. Raises OSError."""
        self._intent = self._truth.intend(
            batch, self._offer, self._invitees, revoked=self._revoked, others=self._others
        )
        self._truth.save()

    def overhear(self, message: Message) -> None:
        """Something the gateway says meanwhile."""
        match message:
            case State(online=True):
                self._truth.meet(message)
            case Receipt() | Statuses():
                self._truth.hear(message)

    def close(self, tracker: Tracker) -> None:
        """What became of everybody is known, or as much as will be. Raises OSError."""
        assert self._intent is not None, "a batch is entered before it is sent"
        results = [
            (mobile, device_id, result if isinstance(result, Result) else None)
            for place, device_id, result in tracker.results()
            if result is not None and (mobile := self._named[place]) is not None
        ]
        self._truth.settle(self._intent, results, held=tracker.held)
        self._truth.save()
