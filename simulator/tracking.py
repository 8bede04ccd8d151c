"""What became of a batch that was sent: what is known, what is not, and what to do about it.

Delivery on every leg is at least once, and a broker may lose what it has acknowledged. So nothing here waits for a
message that may never come: whatever is not known after a while is asked for, and asking twice does no harm.
Pure: every moment is passed in, in seconds of any monotonic clock; messages come in, what to do comes out.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from math import inf
from random import Random
from typing import Final

from protocol.vocabulary import Reason, Verdict
from simulator.batching import Batch, Part
from simulator.messages import Complaint, Receipt, Result, State, Statuses
from simulator.part_progress import PartProgress
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
        self._parts = self._untouched()
        self._by_sha256 = {part.sha256: part.number for part in batch.parts}
        self._concluded = False
        self._removals = 0
        self._back = False
        self._asked = 0
        self._ask_at = now + self._patience()

    # ── What happened ─────────────────────────────────────────────────────────────────────────────────────────────────

    def sent(self, part: Part, now: float) -> None:
        """The broker has taken a part."""
        progress = self._parts[part.number]
        if not progress.at_broker:
            progress.at_broker = True
            self._moved(now)

    def reconnected(self) -> None:
        """We were away: what the gateway said meanwhile was missed, and is asked for at once.

        Patience with the rest goes on as it was, else a link that breaks often would never let anything be sent again.
        """
        self._back = True

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
            moved = self._parts[number].judge(receipt)
        else:
            moved = receipt.batch_id == self.batch.batch_id and self._conclude(receipt)
        if moved:
            self._moved(now)

    def hear_statuses(self, statuses: Statuses, now: float) -> None:
        """People have their results; those of other batches only count as numbers seen."""
        if not self._is_news(statuses):
            return
        moved = False
        if statuses.batch_id is None:
            for result in statuses.results:
                if result.reason == Reason.NOT_IN_LIST and result.device_id in self.batch.device_ids:
                    self.removed[result.device_id, result.mobile] = result
                    moved = True
        elif statuses.batch_id == self.batch.batch_id and statuses.part in self._parts:
            moved = sum(map(self._parts[statuses.part].note, statuses.results)) > 0
        if moved:
            self._moved(now)

    # ── What to do ────────────────────────────────────────────────────────────────────────────────────────────────────

    def due(self, now: float) -> list[Step]:
        """What to do now: parts the broker does not have are sent; after a while of silence, questions are asked.

        A gateway that is away is asked nothing: the broker keeps the parts for it.
        """
        if self.online is False or self.done:
            return self._unsent()
        if now < self._ask_at:
            steps = self._unsent()
        else:
            steps = [Send(progress.part) for progress in self._parts.values() if not progress.answered]
            steps += self._questions()
            self._asked += 1
            self._ask_at = now + self._patience()
        missed = AskBatch(self.batch.batch_id)
        if self._back and missed not in steps and any(progress.at_broker for progress in self._parts.values()):
            steps.append(missed)
        self._back = False
        return steps

    @property
    def ask_at(self) -> float:
        """The moment at which there will be something to do though nothing happens (`inf`: never)."""
        return inf if self.online is False else self._ask_at

    # ── What is known ─────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def done(self) -> bool:
        """Everybody is accounted for, and so is the batch."""
        return next(self.unknown(), None) is None

    def unknown(self) -> Iterator[str]:
        """What is not known yet, in words."""
        for progress in self._parts.values():
            words = progress.unknown(len(self._parts))
            if words:
                yield words
        if any(progress.refusal or not progress.answered for progress in self._parts.values()):
            return  # such a batch has no end yet, or never will
        if not self._concluded:
            yield "whether the batch is complete"
        elif len(self.removed) < self._removals:
            yield f"who was taken off the list ({len(self.removed)} of {self._removals} known)"

    @property
    def expected(self) -> int:
        """How many results there will be: people × devices."""
        return sum(progress.expected for progress in self._parts.values())

    @property
    def known(self) -> int:
        """How many of them are known."""
        return sum(progress.known for progress in self._parts.values())

    @property
    def outcomes(self) -> Counter[str]:
        """How many results there are of each outcome so far."""
        return Counter(chain.from_iterable(progress.outcomes for progress in self._parts.values()))

    def results(self) -> Iterator[tuple[int, str, Result | Complaint | None]]:
        """For each person of the batch and each device: their result, why their part was refused, or None."""
        for progress in self._parts.values():
            yield from progress.results()

    # ── How ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _is_news(self, report: Receipt | Statuses) -> bool:
        arrival = self._sequence.take(report.epoch, report.report_id)
        if arrival is Arrival.NEW_EPOCH:
            self._start_over()
        return arrival in {Arrival.NEW, Arrival.NEW_EPOCH}

    def _part_of(self, receipt: Receipt) -> int | None:
        """The part a receipt speaks of, by its name or, where none could be read, by its bytes."""
        if receipt.batch_id == self.batch.batch_id and receipt.part in self._parts:
            return receipt.part
        return self._by_sha256.get(receipt.payload_sha256 or "")

    def _conclude(self, receipt: Receipt) -> bool:
        """Take the verdict on the batch; whether it is its first."""
        if receipt.outcome == Verdict.INCOMPLETE:
            for number in receipt.missing_parts:
                if number in self._parts and not self._parts[number].answered:
                    self._parts[number].at_broker = False
        if receipt.outcome not in {Verdict.COMPLETE, Verdict.HELD}:
            return False
        first = not self._concluded
        self._concluded = True
        self.held = receipt.outcome == Verdict.HELD
        self._removals = 0 if self.held else receipt.removals or 0
        return first

    def _questions(self) -> list[Step]:
        """A gap names just what is missing, so it goes first; a loss that left no gap only the whole batch can mend."""
        epoch, gaps = self._sequence.epoch, self._sequence.gaps()
        steps: list[Step] = [] if epoch is None else [AskReports(epoch, first, last) for first, last in gaps]
        answered = [progress for progress in self._parts.values() if progress.answered]
        lacking = len(answered) == len(self._parts) or any(each.known < each.expected for each in answered)
        if lacking and (not gaps or self._asked > 0):
            steps.append(AskBatch(self.batch.batch_id))
        return steps

    def _unsent(self) -> list[Step]:
        return [Send(progress.part) for progress in self._parts.values() if not progress.at_broker]

    def _untouched(self) -> dict[int, PartProgress]:
        return {part.number: PartProgress(part, self.batch.device_ids) for part in self.batch.parts}

    def _start_over(self) -> None:
        """The gateway's store was made anew: what it held of this batch may be gone with the old one."""
        self._parts = self._untouched()
        self._concluded = False
        self.removed.clear()

    def _moved(self, now: float) -> None:
        self.moved_at = now
        self._asked = 0
        self._ask_at = now + self._patience()

    def _patience(self) -> float:
        """How long to wait for news: twice as long after every question, and no two offices in step."""
        longest = min(LONGEST_PATIENCE_S, FIRST_PATIENCE_S * 2.0 ** min(self._asked, 16))
        return longest * self._rng.uniform(0.5, 1.0)
