"""What was seen at the gates, and what the cloud was told of it: the two have to be the same story."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from simulator.messages import Event


@dataclass(frozen=True, slots=True)
class Seen:
    """One request and its end, as whoever stood there has it. None: not known, and so not compared."""

    at: int | None
    """When it was, in epoch milliseconds."""
    device_id: str
    mobile: str | None
    channel: str
    action: str
    decision: str | None
    """None: no answer came; perhaps it was decided all the same, but only before `until`."""
    reason: str | None
    until: int = 0
    """Epoch milliseconds."""

    def is_told_by(self, event: Event) -> bool:
        """Whether this is what an event speaks of."""
        asked = (self.device_id, self.channel, self.action) == (event.device_id, event.channel, event.action)
        if not asked or self.mobile not in {None, event.mobile}:
            return False
        if self.decision is None:
            return event.at < self.until
        return self.at in {None, event.at} and (self.decision, self.reason) == (event.decision, event.reason)


def contradictions(seen: Sequence[Seen], told: Sequence[Event], zone: tzinfo) -> Iterator[str]:
    """Where what was told differs from what was seen, in words with the time of that zone. Both are in order."""
    unsure = [each for each in seen if each.decision is None]
    left = list(told)
    for each in seen:
        if each.decision is None:
            continue
        while left and not each.is_told_by(left[0]) and any(one.is_told_by(left[0]) for one in unsure):
            left.pop(0)
        found = left.pop(0) if left else None
        if found is None or not each.is_told_by(found):
            what = "nothing" if found is None else _words(found, zone)
            yield f"seen was {_words(each, zone)}; the cloud was told {what}"
    for event in left:
        if not any(one.is_told_by(event) for one in unsure):
            yield f"the cloud was told {_words(event, zone)}; nobody has seen it"


def _words(each: Seen | Event, zone: tzinfo) -> str:
    at = "" if each.at is None else f"{datetime.fromtimestamp(each.at / 1000, zone):%Y-%m-%d %H:%M:%S}, "
    why = f" ({each.reason})" if each.reason else ""
    who = each.mobile or "somebody"
    return f"{at}{who} at {each.device_id}, {each.channel}, {each.action}: {each.decision}{why}"
