"""What became of a batch that was sent: what is known, what is not, and what to do about it.

Delivery on every leg is at least once, and a broker may lose what it has acknowledged. So nothing here waits for a
message that may never come: whatever is not known after a while is asked for, and asking twice does no harm.
Pure: every moment is passed in, in seconds of any monotonic clock; messages come in, what to do goes out.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

from protocol.vocabulary import Outcome, Reason, Verdict
from simulator.batching import Batch, Part
from simulator.messages import Complaint, Receipt, Result, State, Statuses
from simulator.sequence import Arrival, Sequence

FIRST_PATIENCE_S: Final = 4.0
LONGEST_PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Send:
    """Publish this part, for the first time or again."""

    part: Part


@dataclass(frozen=True, slots=True)
class AskBatch:
    """Ask for every report of the batch again."""

    batch_id: str


@dataclass(frozen=True, slots=True)
class AskReports:
    """Ask for the reports of a gap, first and last number included."""

    epoch: str
    first: int
    last: int


Step = Send | AskBatch | AskReports


@dataclass(slots=True)
class _Progress:
    """How far one part has come."""

    at_broker: bool = False
    verdict: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    refusal: Complaint | None = None
    results: dict[tuple[str, int], Result] = field(default_factory=dict)


class Tracker:
    """One batch on its way, from the first part sent to the last person accounted for."""

    def __init__(self, batch: Batch, *, now: float, rng: Random) -> None:
        self.batch = batch
        self.online: bool | None = None
        """Whether the gateway is connected; None where it has never said anything."""
        self.held = False
        """The gateway keeps back the removals of a replace until they are confirmed."""
        self.removed: dict[tuple[str, str | None], Result] = {}
        """Whom a replace took off the list, by device and number."""
        self.moved_at = now
        """When the batch came closer to its end, last."""
        self._rng = rng
        self._sequence = Sequence()
        self._parts = {part.number: _Progress() for part in batch.parts}
        self._by_sha256 = {part.sha256: part.number for part in batch.parts}
        self._devices = frozenset(batch.device_ids)
        self._verdict: str | None = None
        self._removals = 0
        self._asked = 0
        self._ask_at = now + self._patience()
        self._missed = False

    # ── What happened ──────────────────────────────────────────────────────────────────────────────────────────────

    def sent(self, part: Part, now: float) -> None:
        """The broker has taken a part."""
        progress = self._parts[part.number]
        if not progress.at_broker:
            progress.at_broker = True
            self._moved(now)

    def reconnected(self, now: float) -> None:
        """What the gateway said meanwhile was missed, and what was on its way to the broker may be lost."""
        self._missed = True
        self._ask_at = now

    def hear_state(self, state: State, now: float) -> None:
        """The gateway came, went, or its lists changed."""
        if state.online:
            if self._sequence.begin(state.epoch, state.reports.newest):
                self._start_over()
            if self.online is not True:
                self._moved(now)
        self.online = state.online

    def hear_receipt(self, receipt: Receipt, now: float) -> None:
        """A part or the batch has a verdict; receipts of other batches only count as numbers seen."""
        if not self._is_news(receipt):
            return
        number = self._part_of(receipt)
        if number is not None:
            moved = self._judge(self._parts[number], receipt)
        else:
            moved = receipt.batch_id == self.batch.batch_id and self._conclude(receipt)
        if moved:
            self._moved(now)

    def hear_statuses(self, statuses: Statuses, now: float) -> None:
        """People have their results; those of other batches only count as numbers seen."""
        if not self._is_news(statuses):
            return
        if statuses.batch_id is None:
            for result in statuses.results:
                if result.reason == Reason.NOT_IN_LIST and result.device_id in self._devices:
                    self.removed[result.device_id, result.mobile] = result
                    self._moved(now)
        elif statuses.batch_id == self.batch.batch_id and statuses.part in self._parts:
            for result in statuses.results:
                self._note(statuses.part, result, now)

    # ── What to do ─────────────────────────────────────────────────────────────────────────────────────────────────

    def due(self, now: float) -> list[Step]:
        """What to do now: parts the broker does not have are sent; after a while of silence, questions are asked.

        A gateway that is away is asked nothing: the broker keeps the parts for it.
        """
        if now < self._ask_at or self.online is False or self.done:
            return self._unsent()
        if self._missed:
            # The parts are at the broker or with the gateway; what was said of them while we were away is not.
            self._missed = False
            steps = self._unsent()
            if len(steps) < len(self.batch.parts):
                steps.append(AskBatch(self.batch.batch_id))
        else:
            steps = [Send(part) for part in self.batch.parts if self._parts[part.number].verdict is None]
            steps += self._questions()
            self._asked += 1
        self._ask_at = now + self._patience()
        return steps

    @property
    def ask_at(self) -> float:
        """The moment at which there may be something to do, though nothing happens."""
        return self._ask_at

    # ── What is known ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def done(self) -> bool:
        """Everybody is accounted for, and so is the batch."""
        return next(self.unknown(), None) is None

    def unknown(self) -> Iterator[str]:
        """What is not known yet, in words."""
        total = len(self.batch.parts)
        for part in self.batch.parts:
            progress = self._parts[part.number]
            name = f"part {part.number} of {total} ({part.items} people)"
            missing = self._expected(part) - len(progress.results)
            if not progress.at_broker:
                yield f"{name} has not reached the broker"
            elif progress.verdict is None:
                yield f"{name} has not been answered by the gateway"
            elif progress.verdict != Verdict.REJECTED and missing:
                counts = ", ".join(f"{count} {outcome}" for outcome, count in progress.counts.items())
                yield f"{name} has arrived ({counts}), but {missing} results one by one have not come back"
        if any(progress.verdict in {None, Verdict.REJECTED} for progress in self._parts.values()):
            return
        if self._verdict is None:
            yield "whether the batch is complete"
        elif len(self.removed) < self._removals:
            yield f"{self._removals - len(self.removed)} of {self._removals} people who were taken off the list"

    @property
    def expected(self) -> int:
        """How many results there will be: people × devices."""
        return self.batch.items * len(self.batch.device_ids)

    @property
    def known(self) -> int:
        """How many of them have an outcome, be it that of their whole part."""
        return sum(
            self._expected(part) if progress.verdict == Verdict.REJECTED else len(progress.results)
            for part, progress in zip(self.batch.parts, self._parts.values(), strict=True)
        )

    @property
    def outcomes(self) -> Counter[str]:
        """How many results there are of each outcome so far."""
        counts: Counter[str] = Counter()
        for part in self.batch.parts:
            progress = self._parts[part.number]
            if progress.verdict == Verdict.REJECTED:
                counts[Outcome.REJECTED] += self._expected(part)
            counts.update(result.outcome for result in progress.results.values())
        return counts

    def results(self) -> Iterator[tuple[int, str, Result | Complaint | None]]:
        """For each person of the batch and each device: their result, why their part was refused, or None."""
        for part in self.batch.parts:
            progress = self._parts[part.number]
            for item in range(part.items):
                for device_id in self.batch.device_ids:
                    result = progress.results.get((device_id, item))
                    yield part.first + item, device_id, result or progress.refusal

    # ── How ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _is_news(self, report: Receipt | Statuses) -> bool:
        arrival = self._sequence.take(report.epoch, report.report_id)
        if arrival is Arrival.NEW_EPOCH:
            self._start_over()
        return arrival in {Arrival.NEW, Arrival.NEW_EPOCH}

    def _part_of(self, receipt: Receipt) -> int | None:
        """The part a receipt speaks of, by its name or, where it was too broken to have one, by its bytes."""
        if receipt.batch_id == self.batch.batch_id and receipt.part in self._parts:
            return receipt.part
        return self._by_sha256.get(receipt.payload_sha256 or "")

    def _questions(self) -> list[Step]:
        """A gap names exactly what is missing, so it is asked for first; what never made a gap only the batch can tell."""
        epoch, gaps = self._sequence.epoch, self._sequence.gaps()
        steps: list[Step] = [] if epoch is None else [AskReports(epoch, first, last) for first, last in gaps]
        lacking = any(
            progress.verdict not in {None, Verdict.REJECTED} and len(progress.results) < self._expected(part)
            for part, progress in zip(self.batch.parts, self._parts.values(), strict=True)
        )
        unanswered = any(progress.verdict is None for progress in self._parts.values())
        if (lacking or not unanswered) and (not gaps or self._asked > 0):
            steps.append(AskBatch(self.batch.batch_id))
        return steps

    def _judge(self, progress: _Progress, receipt: Receipt) -> bool:
        """Take the verdict on a part; whether it is one. A refusal never outweighs that it was applied."""
        if receipt.outcome == Verdict.REJECTED:
            if progress.verdict is not None:
                return False
            progress.refusal = receipt.error or Complaint(code="rejected")
            progress.verdict = receipt.outcome
            return True
        moved = progress.verdict in {None, Verdict.REJECTED}
        progress.refusal = None
        progress.verdict = receipt.outcome
        progress.counts = receipt.counts
        return moved

    def _conclude(self, receipt: Receipt) -> bool:
        """Take the verdict on the batch; whether it is a new one."""
        if receipt.outcome == Verdict.INCOMPLETE:
            for number in receipt.missing_parts:
                if number in self._parts and self._parts[number].verdict is None:
                    self._parts[number].at_broker = False
        if receipt.outcome not in {Verdict.COMPLETE, Verdict.HELD}:
            return False
        moved = self._verdict != receipt.outcome
        self._verdict = receipt.outcome
        self.held = receipt.outcome == Verdict.HELD
        self._removals = 0 if self.held else receipt.removals or 0
        return moved

    def _note(self, number: int, result: Result, now: float) -> None:
        """Take the result of one person; what was not asked is not noted."""
        results, items = self._parts[number].results, self.batch.parts[number - 1].items
        if result.item is None or not 0 <= result.item < items or result.device_id not in self._devices:
            return
        if (result.device_id, result.item) not in results:
            self._moved(now)
        results[result.device_id, result.item] = result

    def _expected(self, part: Part) -> int:
        return part.items * len(self.batch.device_ids)

    def _start_over(self) -> None:
        """The gateway's store was made anew: what it held of this batch may be gone with the old one."""
        self._parts = {part.number: _Progress() for part in self.batch.parts}
        self._verdict = None
        self.removed.clear()

    def _unsent(self) -> list[Step]:
        return [Send(part) for part in self.batch.parts if not self._parts[part.number].at_broker]

    def _moved(self, now: float) -> None:
        self.moved_at = now
        self._asked = 0
        self._ask_at = now + self._patience()

    def _patience(self) -> float:
        """How long to wait for news: twice as long after every question, and no two offices in step."""
        longest = min(LONGEST_PATIENCE_S, FIRST_PATIENCE_S * 2.0 ** min(self._asked, 16))
        return longest * self._rng.uniform(0.5, 1.0)
