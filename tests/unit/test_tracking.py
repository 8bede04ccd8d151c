"""What a cloud knows of its batch, and what it asks when it does not know."""

from random import Random

import pytest

from protocol.codec import Limits
from protocol.invites import Invitee
from protocol.vocabulary import Permission
from simulator.batching import Batch, Offer, make_batch
from simulator.messages import Complaint, Receipt, Result, State, Statuses
from simulator.tracking import FIRST_PATIENCE_S, LONGEST_PATIENCE_S, AskBatch, AskReports, Send, Step, Tracker

GATE, PANEL = "1234567890123456", "482913"
EPOCH = "k3f9"
LATER = FIRST_PATIENCE_S
"""After so long a silence something is asked, whatever the jitter."""


def batch_of(people: int, per_part: int = 2, devices: tuple[str, ...] = (GATE, PANEL)) -> Batch:
    return make_batch(
        [Invitee(userName=f"R {number}", mobile=f"+2782{number:07}") for number in range(people)],
        [],
        Offer(devices, Permission.ALWAYS),
        gateway_id="gw-1",
        batch_id="b-1",
        revision=42,
        issued_at=0,
        limits=Limits(part_items=per_part * len(devices)),
    )


class Gateway:
    """Words of a gateway with running numbers, into the ears of a tracker."""

    def __init__(self, tracker: Tracker, number: int = 100, epoch: str = EPOCH) -> None:
        self.tracker = tracker
        self.number = number
        self.epoch = epoch

    def receipt(self, part: int | None, outcome: str = "applied", now: float = 0.0, **fields: object) -> Receipt:
        said = {"batchId": "b-1", "revision": 42, "part": part, "parts": 2, "outcome": outcome, "counts": {"added": 4}}
        receipt = Receipt.model_validate(self.numbered() | said | fields)
        self.tracker.hear_receipt(receipt, now)
        return receipt

    def statuses(self, part: int, items: range, now: float = 0.0) -> Statuses:
        results = [
            Result(item=item, deviceId=device, mobile="+27", outcome="added", status="Pending")
            for device in (GATE, PANEL)
            for item in items
        ]
        return self.said(results, "b-1", part, now)

    def said(self, results: list[Result], batch_id: str | None, part: int | None, now: float = 0.0) -> Statuses:
        said = {"batchId": batch_id, "part": part, "revision": 42, "results": results}
        statuses = Statuses.model_validate(self.numbered() | said)
        self.tracker.hear_statuses(statuses, now)
        return statuses

    def numbered(self) -> dict[str, object]:
        self.number += 1
        return {"epoch": self.epoch, "reportId": self.number, "at": 0}

    def state(self, *, online: bool, newest: int = 100, now: float = 0.0) -> None:
        said = {"online": online, "session": "s", "epoch": self.epoch, "reports": {"oldest": 1, "newest": newest}}
        rest = {"version": "1", "clock": "synced", "storage": "ok", "devices": []}
        self.tracker.hear_state(State.model_validate(said | rest), now)


def started(people: int = 4, *, online: bool = True) -> tuple[Tracker, Gateway]:
    """A tracker whose parts have all reached the broker, and the gateway it hears."""
    tracker = Tracker(batch_of(people), now=0.0, rng=Random(7))
    gateway = Gateway(tracker)
    if online:
        gateway.state(online=True)
    for step in tracker.due(0.0):
        assert isinstance(step, Send)
        tracker.sent(step.part, 0.0)
    return tracker, gateway


def parts_of(steps: list[Step]) -> list[int]:
    return [step.part.number for step in steps if isinstance(step, Send)]


def questions(steps: list[Step]) -> list[Step]:
    return [step for step in steps if not isinstance(step, Send)]


def test_everything_is_sent_once_and_then_there_is_patience() -> None:
    tracker = Tracker(batch_of(4), now=0.0, rng=Random(7))
    steps = tracker.due(0.0)
    assert parts_of(steps) == [1, 2]
    assert parts_of(tracker.due(0.0)) == [1, 2], "until the broker has them"
    for step in steps:
        assert isinstance(step, Send)
        tracker.sent(step.part, 0.0)
    assert tracker.due(0.0) == []
    assert FIRST_PATIENCE_S / 2 <= tracker.ask_at <= FIRST_PATIENCE_S


def test_everybody_accounted_for_ends_it() -> None:
    tracker, gateway = started()
    assert (tracker.expected, tracker.known, tracker.done) == (8, 0, False)
    gateway.receipt(1)
    gateway.statuses(1, range(2))
    gateway.receipt(2)
    gateway.statuses(2, range(2))
    assert (tracker.known, list(tracker.unknown())) == (8, ["whether the batch is complete"])
    gateway.receipt(None, "complete")
    assert tracker.done
    assert tracker.due(1_000.0) == []
    assert tracker.outcomes == {"added": 8}
    places = [(place, device) for place, device, result in tracker.results() if isinstance(result, Result)]
    assert places == [(place, device) for place in range(4) for device in (GATE, PANEL)]


def test_unanswered_parts_are_sent_again_after_longer_and_longer_silences() -> None:
    tracker, gateway = started()
    gateway.receipt(1)
    gateway.statuses(1, range(2))
    now, waits = 0.0, []
    for _ in range(8):
        waits.append(tracker.ask_at - now)
        assert tracker.due(tracker.ask_at - 0.001) == []
        now = tracker.ask_at
        assert parts_of(tracker.due(now)) == [2]
    longest = [min(LONGEST_PATIENCE_S, FIRST_PATIENCE_S * 2**tries) for tries in range(8)]
    assert all(most / 2 <= wait <= most for wait, most in zip(waits, longest, strict=True)), waits
    assert len({wait / most for wait, most in zip(waits, longest, strict=True)}) > 1, "no two offices in step"


def test_progress_makes_patience_short_again() -> None:
    tracker, gateway = started()
    for _ in range(6):
        tracker.due(tracker.ask_at)
    now = tracker.ask_at
    gateway.receipt(1, now=now)
    assert tracker.ask_at - now <= FIRST_PATIENCE_S
    assert tracker.moved_at == now


def test_part_sent_again_is_no_progress() -> None:
    """Else a gateway that never answers would be waited for without end."""
    tracker, _ = started()
    (step, *_) = tracker.due(LATER)
    assert isinstance(step, Send)
    tracker.sent(step.part, LATER)
    assert tracker.moved_at == 0.0


def test_gateway_that_is_away_is_asked_nothing() -> None:
    tracker, gateway = started()
    gateway.state(online=False)
    assert tracker.due(1_000.0) == []
    assert tracker.ask_at == float("inf")
    gateway.state(online=True, now=1_000.0)
    assert tracker.moved_at == 1_000.0
    assert tracker.due(1_000.0) == [], "what the broker kept for it comes first"
    assert parts_of(tracker.due(1_000.0 + LATER)) == [1, 2]


def test_parts_go_to_the_broker_while_the_gateway_is_away() -> None:
    tracker = Tracker(batch_of(4), now=0.0, rng=Random(7))
    Gateway(tracker).state(online=False)
    assert parts_of(tracker.due(0.0)) == [1, 2]


def test_lost_results_are_asked_for_by_their_gap_and_then_by_the_batch() -> None:
    tracker, gateway = started(2)
    gateway.receipt(1)
    gateway.number += 1  # the statuses are lost
    gateway.receipt(None, "complete")
    assert list(tracker.unknown()) == [
        "part 1 of 1 (2 people) has arrived (4 added), but 4 of its results have not come back"
    ]
    assert tracker.due(LATER) == [AskReports(EPOCH, 102, 102)]
    assert tracker.due(tracker.ask_at) == [AskReports(EPOCH, 102, 102), AskBatch("b-1")]


def test_loss_without_a_gap_is_asked_for_by_the_batch() -> None:
    """Nothing came after what was lost."""
    tracker, gateway = started(2)
    gateway.receipt(1)
    assert tracker.due(LATER) == [AskBatch("b-1")]


def test_gap_before_we_listened_is_none() -> None:
    tracker, gateway = started(2, online=False)
    gateway.number = 5_000
    gateway.receipt(1)
    assert tracker.due(LATER) == [AskBatch("b-1")]


def test_reports_sent_again_under_old_numbers_are_taken() -> None:
    """A replay sends the stored results under the numbers they had before this session."""
    tracker, gateway = started(2)
    gateway.receipt(1, "replayed")
    gateway.number = 20
    gateway.statuses(1, range(2))
    gateway.number = 101
    gateway.receipt(None, "complete")
    assert tracker.done


def test_repeated_report_changes_nothing() -> None:
    tracker, gateway = started(2)
    statuses = gateway.statuses(1, range(2))
    tracker.hear_statuses(statuses, 9.0)
    assert (tracker.known, tracker.moved_at) == (4, 0.0)
    receipt = gateway.receipt(1, now=1.0)
    tracker.hear_receipt(receipt, 9.0)
    assert tracker.moved_at == 1.0


def test_replay_without_results_is_no_progress() -> None:
    """Where the stored results are gone, every resent part would bring a new receipt and nothing else."""
    tracker, gateway = started(2)
    gateway.receipt(1)
    gateway.receipt(1, "replayed", now=50.0)
    assert tracker.moved_at == 0.0


def test_rejected_part_accounts_for_everybody_in_it() -> None:
    tracker, gateway = started()
    gateway.receipt(1)
    gateway.statuses(1, range(2))
    gateway.receipt(2, "rejected", error=Complaint(code="expired", message="the part expired"), counts={})
    assert tracker.done, "such a batch is never complete"
    assert tracker.outcomes == {"added": 4, "rejected": 4}
    refused = [result for place, _, result in tracker.results() if place >= 2]
    assert [result.code for result in refused if isinstance(result, Complaint)] == ["expired"] * 4


def test_receipt_for_bytes_nobody_could_read_finds_its_part() -> None:
    tracker, gateway = started()
    sha256 = tracker.batch.parts[1].sha256
    error = Complaint(code="too_large")
    gateway.receipt(None, "rejected", batchId=None, payloadSha256=sha256, error=error, counts={})
    assert parts_of(tracker.due(LATER)) == [1]
    assert tracker.outcomes == {"rejected": 4}


def test_refusal_never_outweighs_that_a_part_was_applied() -> None:
    tracker, gateway = started(2)
    gateway.receipt(1)
    gateway.receipt(1, "rejected", error=Complaint(code="expired"), counts={})
    gateway.statuses(1, range(2))
    assert tracker.outcomes == {"added": 4}


def test_part_applied_after_a_refusal_counts_as_applied() -> None:
    tracker, gateway = started(2)
    gateway.receipt(1, "rejected", error=Complaint(code="unknown_key"), counts={})
    gateway.receipt(1)
    assert tracker.known == 0
    gateway.statuses(1, range(2))
    assert tracker.outcomes == {"added": 4}


def test_missing_parts_of_an_incomplete_batch_are_sent_at_once() -> None:
    tracker, gateway = started()
    gateway.receipt(1)
    gateway.receipt(None, "incomplete", missingParts=[2])
    assert parts_of(tracker.due(0.0)) == [2]


def test_reconnecting_asks_at_once_and_sends_nothing_twice() -> None:
    tracker, _ = started()
    tracker.reconnected()
    assert tracker.due(0.5) == [AskBatch("b-1")]
    assert tracker.due(0.5) == []


def test_reconnecting_sends_what_never_reached_the_broker() -> None:
    tracker = Tracker(batch_of(4), now=0.0, rng=Random(7))
    tracker.sent(tracker.batch.parts[0], 0.0)
    tracker.reconnected()
    steps = tracker.due(0.5)
    assert (parts_of(steps), questions(steps)) == ([2], [AskBatch("b-1")])
    fresh = Tracker(batch_of(4), now=0.0, rng=Random(7))
    fresh.reconnected()
    assert questions(fresh.due(0.5)) == [], "nobody can know of it yet"


@pytest.mark.parametrize("by", ["state", "report"])
def test_store_made_anew_is_told_everything_again(by: str) -> None:
    tracker, gateway = started(2)
    gateway.receipt(1)
    gateway.statuses(1, range(2))
    gateway.receipt(None, "complete")
    old = gateway.receipt(1, "replayed")
    assert tracker.done
    other = Gateway(tracker, number=7, epoch="new")
    if by == "state":
        other.state(online=True, newest=0)
    else:
        other.said([], None, None)
    assert (tracker.known, tracker.done) == (0, False)
    assert parts_of(tracker.due(0.0)) == [1]
    tracker.hear_receipt(old.model_copy(update={"report_id": 900}), 0.0)
    assert tracker.known == 0, "the old epoch has nothing to say any more"


def test_removals_of_a_replace_are_waited_for_and_asked_for() -> None:
    tracker, gateway = started(2)
    gateway.receipt(1)
    gateway.statuses(1, range(2))
    gateway.number += 1  # the removals are lost
    gateway.receipt(None, "complete", removals=1)
    assert list(tracker.unknown()) == ["who was taken off the list (0 of 1 known)"]
    assert tracker.due(LATER) == [AskReports(EPOCH, 103, 103)]
    gateway.number = 102
    gone = Result(item=None, deviceId=GATE, mobile="+27831", outcome="changed", status=None, reason="not_in_list")
    elsewhere = gone.model_copy(update={"device_id": "999999"})
    removals = gateway.said([gone, elsewhere], None, None, now=5.0)
    tracker.hear_statuses(removals, 9.0)
    assert tracker.moved_at == 5.0, "what is repeated is no news"
    assert list(tracker.removed) == [(GATE, "+27831")]
    assert tracker.done


def test_held_batch_is_done_and_says_so() -> None:
    tracker, gateway = started(2)
    gateway.receipt(1)
    gateway.statuses(1, range(2))
    gateway.receipt(None, "held", removals=40)
    assert (tracker.done, tracker.held) == (True, True)


def test_words_about_others_are_left_aside() -> None:
    tracker, gateway = started(2)
    stranger = Result(item=0, deviceId=GATE, mobile=None, outcome="added", status=None)
    gateway.said([stranger], "another batch", 1)
    gateway.said([stranger.model_copy(update={"item": 2})], "b-1", 1)
    gateway.said([stranger.model_copy(update={"item": None})], "b-1", 1)
    gateway.said([stranger.model_copy(update={"device_id": "999999"})], "b-1", 1)
    gateway.said([stranger], "b-1", 9)
    gateway.receipt(1, batchId="another batch")
    assert tracker.known == 0
    assert parts_of(tracker.due(LATER)) == [1]


def test_what_is_unknown_is_said_part_by_part() -> None:
    tracker = Tracker(batch_of(6), now=0.0, rng=Random(7))
    gateway = Gateway(tracker)
    tracker.sent(tracker.batch.parts[0], 0.0)
    tracker.sent(tracker.batch.parts[1], 0.0)
    gateway.receipt(1)
    gateway.statuses(1, range(1))
    assert list(tracker.unknown()) == [
        "part 1 of 3 (2 people) has arrived (4 added), but 2 of its results have not come back",
        "part 2 of 3 (2 people) has not been answered by the gateway",
        "part 3 of 3 (2 people) has not reached the broker",
    ]
