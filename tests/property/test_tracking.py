"""Whatever a link loses, repeats or holds back, everybody is accounted for in the end, with what the gateway said."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import Limits
from protocol.invites import Invitee
from protocol.vocabulary import Permission
from simulator.batching import Batch, Offer, Part, make_batch
from simulator.messages import Complaint, Receipt, Statuses
from simulator.sequence import Arrival, Sequence
from simulator.tracking import AskBatch, AskReports, Send, Tracker

DEVICES = ("1234567890123456", "482913")
OUTCOMES = ("added", "updated", "unchanged", "rejected", "superseded")
Report = Receipt | Statuses
R = TypeVar("R", Receipt, Statuses)


def batch_of(people: int, per_part: int) -> Batch:
    return make_batch(
        [Invitee(userName="R", mobile=f"+2782{number:07}") for number in range(people)],
        [],
        Offer(DEVICES, Permission.ALWAYS),
        gateway_id="gw-1",
        batch_id="b-1",
        revision=42,
        issued_at=0,
        limits=Limits(part_items=per_part * len(DEVICES)),
    )


@dataclass
class Gateway:
    """The contract's gateway in a few lines: it keeps what it said, and says it again when asked."""

    batch: Batch
    newest: int
    said: dict[int, Report] = field(default_factory=dict)
    applied: set[int] = field(default_factory=set)

    def take(self, part: Part) -> Iterator[Report]:
        if part.number in self.applied:
            yield self._receipt(part.number, "replayed")
            yield from [each for each in self.said.values() if isinstance(each, Statuses) and each.part == part.number]
            return
        self.applied.add(part.number)
        yield self._receipt(part.number, "applied")
        for device_id in DEVICES:
            yield self._statuses(part, device_id)
        if len(self.applied) == len(self.batch.parts):
            yield self._receipt(None, "complete")

    def again(self, numbers: Iterable[int]) -> Iterator[Report]:
        yield from [self.said[number] for number in numbers if number in self.said]

    def _receipt(self, part: int | None, outcome: str) -> Receipt:
        return self._kept(
            Receipt.model_validate(self._head(part) | {"parts": len(self.batch.parts), "outcome": outcome})
        )

    def _statuses(self, part: Part, device_id: str) -> Statuses:
        results = [
            {"item": item, "deviceId": device_id, "mobile": None, "outcome": truth(part.first + item, device_id)}
            for item in range(part.items)
        ]
        said = {"results": [result | {"status": None} for result in results]}
        return self._kept(Statuses.model_validate(self._head(part.number) | said))

    def _head(self, part: int | None) -> dict[str, object]:
        self.newest += 1
        return {"epoch": "e", "reportId": self.newest, "at": 0, "batchId": "b-1", "revision": 42, "part": part}

    def _kept(self, report: R) -> R:
        self.said[report.report_id] = report
        return report


def truth(place: int, device_id: str) -> str:
    """What becomes of a person, known without the tracker."""
    return OUTCOMES[(place * 7 + len(device_id)) % len(OUTCOMES)]


class Weather:
    """What a link does to each message: 0 delivers, 1 loses, 2 repeats, 3 holds back. In the end it is fair."""

    def __init__(self, moods: list[int]) -> None:
        self._moods = moods
        self._held: list[Report] = []

    @property
    def fair(self) -> bool:
        return not self._moods

    def carries(self) -> bool:
        return not self._moods or self._moods.pop() != 1

    def through(self, reports: Iterable[Report]) -> Iterator[Report]:
        for report in reports:
            mood = self._moods.pop() if self._moods else 0
            if mood == 3:
                self._held.append(report)
            elif mood != 1:
                yield from [report] * (2 if mood == 2 else 1)
        if self.fair:
            late, self._held = self._held, []
            yield from late


@given(
    st.integers(1, 9),
    st.integers(1, 4),
    st.lists(st.integers(0, 3), max_size=60),
    st.sets(st.integers(0, 12)),
    st.integers(0, 50),
    st.integers(),
)
def test_everybody_is_accounted_for_whatever_the_link_does(
    people: int, per_part: int, moods: list[int], reconnects: set[int], newest: int, seed: int
) -> None:
    batch = batch_of(people, per_part)
    tracker = Tracker(batch, now=0.0, rng=Random(seed))
    gateway, weather = Gateway(batch, newest), Weather(moods)
    now, fair_rounds = 0.0, 0
    for turn in range(500):
        if tracker.done:
            break
        assert fair_rounds < 12, f"a fair link, and still unknown: {list(tracker.unknown())}"
        if turn in reconnects:
            tracker.reconnected()
        for step in tracker.due(now):
            carried = weather.carries()
            answers: Iterable[Report] = ()
            match step:
                case Send(part):
                    tracker.sent(part, now)  # a broker may lose what it has acknowledged
                    answers = gateway.take(part) if carried else ()
                case AskBatch():
                    answers = gateway.again(sorted(gateway.said)) if carried else ()
                case AskReports(epoch, first, last):
                    assert epoch == "e"
                    answers = gateway.again(range(first, last + 1)) if carried else ()
            for report in weather.through(list(answers)):
                hear(tracker, report, now)
        now = max(now, tracker.ask_at)
        fair_rounds += weather.fair
    assert tracker.done
    expected = [(place, device, truth(place, device)) for place in range(people) for device in DEVICES]
    assert sorted(reported(tracker)) == sorted(expected)
    assert tracker.known == tracker.expected == len(expected)


def hear(tracker: Tracker, report: Report, now: float) -> None:
    if isinstance(report, Receipt):
        tracker.hear_receipt(report, now)
    else:
        tracker.hear_statuses(report, now)


def reported(tracker: Tracker) -> Iterator[tuple[int, str, str]]:
    for place, device_id, result in tracker.results():
        assert result is not None
        assert not isinstance(result, Complaint)
        yield place, device_id, result.outcome


@given(st.integers(0, 20), st.lists(st.integers(1, 40), max_size=80))
def test_sequence_knows_each_number_once_and_every_gap(newest: int, numbers: list[int]) -> None:
    sequence = Sequence()
    sequence.begin("e", newest)
    seen: set[int] = set()
    for number in numbers:
        assert sequence.take("e", number) is (Arrival.REPEATED if number in seen else Arrival.NEW)
        seen.add(number)
    missing = set(range(newest + 1, max(seen, default=0))) - seen
    gaps = sequence.gaps()
    assert all(first <= last for first, last in gaps)
    assert [number for first, last in gaps for number in range(first, last + 1)] == sorted(missing)
    assert all(after[0] > before[1] + 1 for before, after in pairwise(gaps)), "gaps are whole"


@given(st.permutations(range(1, 60)))
def test_sequence_without_gaps_remembers_no_more_than_where_it_is(numbers: list[int]) -> None:
    """A watch may last for months."""
    sequence = Sequence()
    sequence.begin("e", 0)
    for number in numbers:
        sequence.take("e", number)
    assert not sequence._beyond
    assert not sequence._before


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), max_size=30))
def test_epoch_that_has_ended_never_comes_back(reports: list[tuple[str, int]]) -> None:
    sequence = Sequence()
    order: list[str] = []
    for epoch, number in reports:
        arrival = sequence.take(epoch, number)
        if epoch not in order:
            assert arrival is (Arrival.NEW_EPOCH if order else Arrival.NEW)
            order.append(epoch)
        elif epoch != order[-1]:
            assert arrival is Arrival.STALE
        else:
            assert arrival in {Arrival.NEW, Arrival.REPEATED}
        assert sequence.epoch == order[-1]
