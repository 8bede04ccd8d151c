"""How far one part of a batch has come: at the broker, answered, and everybody in it accounted for."""

from collections.abc import Iterator

from protocol.vocabulary import Outcome, Verdict
from simulator.batching import Part
from simulator.messages import Complaint, Receipt, Result


class PartProgress:
    """One part on its way. A part is answered once a receipt says what became of it as a whole."""

    def __init__(self, part: Part, device_ids: tuple[str, ...]) -> None:
        self.part = part
        self.at_broker = False
        self.refusal: Complaint | None = None
        """Why nothing of it was applied."""
        self._device_ids = device_ids
        self._verdict: str | None = None
        self._counts: dict[str, int] = {}
        self._results: dict[tuple[str, int], Result] = {}

    @property
    def answered(self) -> bool:
        """The gateway has said what became of the part."""
        return self._verdict is not None

    @property
    def expected(self) -> int:
        """How many results it will have: items × devices."""
        return self.part.items * len(self._device_ids)

    @property
    def known(self) -> int:
        """How many of them are known, be it that the whole part was refused."""
        return self.expected if self.refusal else len(self._results)

    @property
    def outcomes(self) -> Iterator[str]:
        """The outcome of each known result."""
        if self.refusal:
            yield from [Outcome.REJECTED.value] * self.expected
        else:
            yield from (result.outcome for result in self._results.values())

    def judge(self, receipt: Receipt) -> bool:
        """Take the verdict on the part; whether it changes anything. A refusal never outweighs that it was applied."""
        if receipt.outcome == Verdict.REJECTED:
            if self.answered:
                return False
            self.refusal = receipt.error or Complaint(code=receipt.outcome)
            self._verdict = receipt.outcome
            return True
        changed = self.refusal is not None or not self.answered
        self.refusal = None
        self._verdict = receipt.outcome
        self._counts = receipt.counts
        return changed

    def note(self, result: Result) -> bool:
        """Take the result of one person on one device; whether it was missing. Nobody who was not sent is noted."""
        if result.item is None or not 0 <= result.item < self.part.items or result.device_id not in self._device_ids:
            return False
        place = result.device_id, result.item
        missing = place not in self._results
        self._results[place] = result
        return missing

    def results(self) -> Iterator[tuple[int, str, Result | Complaint | None]]:
        """For each person (by place in the batch) and device: their result, why the part was refused, or None."""
        for item in range(self.part.items):
            for device_id in self._device_ids:
                yield self.part.first + item, device_id, self.refusal or self._results.get((device_id, item))

    def unknown(self, parts: int) -> str | None:
        """What is not known of it yet, in words."""
        people = "1 person" if self.part.items == 1 else f"{self.part.items} people"
        name = f"part {self.part.number} of {parts} ({people})"
        if not self.at_broker:
            return f"{name} has not reached the broker"
        if not self.answered:
            return f"{name} has not been answered by the gateway"
        missing = self.expected - self.known
        if missing:
            counts = ", ".join(f"{count} {outcome}" for outcome, count in self._counts.items())
            return f"{name} has arrived ({counts}), but {missing} of its results have not come back"
        return None
