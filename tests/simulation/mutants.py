"""Mistakes somebody might make one day, put in on purpose: a simulation that does not notice them is no test."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pytest

from agent.clock import Clock
from agent.gate import Gate
from agent.inbox import Delivery
from agent.intake import Intake
from agent.stream import Outgoing, Stream
from agent.upkeep import Upkeep
from protocol import access
from protocol.codec import Part, Refused
from protocol.moment import exact
from protocol.vocabulary import ClockState, Permission
from storage import events, orders, outbox
from storage.ledger import Admitted, Ledger, Seen
from storage.origins import Origin
from storage.outbox import Desk
from tests.simulation.network import Wire

Mutant = Callable[[pytest.MonkeyPatch], None]


def acknowledged_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    commit = Intake._commit

    async def hasty(self: Intake, group: Any, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            delivery.acknowledge()
        await commit(self, group, deliveries)

    patch.setattr(Intake, "_commit", hasty)


def late_acknowledgement_on_the_next_connection(patch: pytest.MonkeyPatch) -> None:
    """By its packet id, which means another message by then."""
    latest: list[Wire] = []
    start = Wire.start

    def noted(self: Wire) -> None:
        latest[:] = [self]
        start(self)

    def by_number(self: Delivery) -> None:
        if self.packet_id in latest[0]._came:
            latest[0].acknowledges(self.packet_id)

    patch.setattr(Wire, "start", noted)
    patch.setattr(Delivery, "acknowledge", by_number)


def older_revision_wins(patch: pytest.MonkeyPatch) -> None:
    """The latest word counts, whatever its revision."""
    patch.setattr(Origin, "rank", property(lambda _: 1))


def replay_without_its_results(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Desk, "resend", lambda _self, _first, _last: None)


def part_applied_again(patch: pytest.MonkeyPatch) -> None:
    """What comes again is taken for new."""
    admit = Ledger.admit

    def forgetful(self: Ledger, part: Part) -> Admitted | Seen | Refused:
        self._contents.clear()
        return admit(self, part)

    patch.setattr(Ledger, "admit", forgetful)


def request_for_reports_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(outbox, "next_resend", lambda *_: None)
    patch.setattr(events, "next_resend", lambda *_: None)


def counted_as_sent_before_the_broker_has_it(patch: pytest.MonkeyPatch) -> None:
    fresh: Any = Stream.fresh

    def hasty(self: Any) -> Iterator[Outgoing]:
        for outgoing in fresh(self):
            outgoing.taken()
            yield Outgoing(outgoing.topic, outgoing.payload, lambda: None)

    patch.setattr(Stream, "fresh", hasty)


def command_carried_out_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Gate, "_is_repeated", lambda _self, _request: False)
    patch.setattr(orders, "seen", lambda _reader, _command_id: False)


def refused_command_forgotten(patch: pytest.MonkeyPatch) -> None:
    async def forgetful(*_: object) -> None:
        """Nothing is remembered of what was refused."""

    patch.setattr("agent.answers.orders.remember", forgetful)


def moved_without_a_note(patch: pytest.MonkeyPatch) -> None:
    async def boasted(_self: Gate, _intent: object) -> bool:
        return True

    patch.setattr(Gate, "_noted", boasted)


def crash_forgotten(patch: pytest.MonkeyPatch) -> None:
    """What was under way when the process ended is not looked for."""
    patch.setattr("agent.gatehouse.unrecorded", lambda _reader, _intents: [])


def event_stored_twice(patch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> bool:
        return False

    patch.setattr(events, "are_newest", never)


def wall_clock_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Clock, "moment", lambda self: exact(self._wall()))


def residents_asked_for_the_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(access, "VISITORS", frozenset(Permission))


def pruned_by_any_clock(patch: pytest.MonkeyPatch) -> None:
    prune = Upkeep._prune

    async def bold(self: Upkeep) -> None:
        clock = self._vault.clock
        with pytest.MonkeyPatch.context() as trusting:
            trusting.setattr(clock, "certain", clock._wall)
            trusting.setattr(clock, "state", lambda: ClockState.SYNCED)
            await prune(self)

    patch.setattr(Upkeep, "_prune", bold)


MUTANTS: Final[dict[str, Mutant]] = {
    each.__name__: each
    for each in (
        acknowledged_before_the_commit,
        late_acknowledgement_on_the_next_connection,
        older_revision_wins,
        replay_without_its_results,
        part_applied_again,
        request_for_reports_forgotten,
        counted_as_sent_before_the_broker_has_it,
        command_carried_out_twice,
        refused_command_forgotten,
        moved_without_a_note,
        crash_forgotten,
        event_stored_twice,
        wall_clock_believed,
        residents_asked_for_the_time,
        pruned_by_any_clock,
    )
}
