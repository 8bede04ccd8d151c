"""What the end of a scenario is judged by: whether the cloud was told what people at the gates have seen."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from simulator.messages import Event
from simulator.witness import Seen, contradictions

ZONE = ZoneInfo("Africa/Johannesburg")
DAVID_AT_THE_GATE = "2026-12-08 06:45:00, +1 at 1, bluetooth, trigger"
MORNING = int(datetime(2026, 12, 8, 6, 45, tzinfo=ZONE).timestamp() * 1000)


def seen(mobile: str, at_ms: int | None = MORNING, reason: str | None = None, decision: str | None = "") -> Seen:
    decided = decision if decision != "" else "denied" if reason else "allowed"
    return Seen(at_ms, "1", mobile, "bluetooth", "trigger", decided, reason, until=MORNING + 30_000)


def told(mobile: str, at_ms: int = MORNING, reason: str | None = None, number: int = 1) -> Event:
    return Event.model_validate(
        {
            "epoch": "e",
            "eventId": number,
            "at": at_ms,
            "deviceId": "1",
            "mobile": mobile,
            "userName": None,
            "channel": "bluetooth",
            "action": "trigger",
            "decision": "denied" if reason else "allowed",
            "reason": reason,
            "clock": "synced",
        }
    )


@pytest.mark.parametrize(
    ("witnessed", "events"),
    [
        ([], []),
        ([seen("+1"), seen("+2", reason="expired")], [told("+1"), told("+2", reason="expired")]),
        ([seen("+1", at_ms=None)], [told("+1", at_ms=1)]),
        ([seen("+1", decision=None)], []),
        ([seen("+1", decision=None), seen("+2")], [told("+2"), told("+1", MORNING + 29_999, "expired")]),
        ([seen("+1", decision=None), seen("+2")], [told("+1"), told("+2")]),
    ],
)
def test_the_same_story_has_no_contradictions(witnessed: list[Seen], events: list[Event]) -> None:
    assert list(contradictions(witnessed, events, ZONE)) == []


@pytest.mark.parametrize(
    ("witnessed", "events", "words"),
    [
        ([seen("+1")], [], f"seen was {DAVID_AT_THE_GATE}: allowed; the cloud was told nothing"),
        ([], [told("+1")], f"the cloud was told {DAVID_AT_THE_GATE}: allowed; nobody has seen it"),
        ([seen("+1")], [told("+1", at_ms=MORNING + 1)], "the cloud was told 2026-12-08 06:45:00"),
        ([seen("+1")], [told("+1", reason="expired")], "denied (expired)"),
        ([seen("+1", reason="revoked")], [told("+1", reason="expired")], "denied (revoked)"),
        ([seen("+1"), seen("+2")], [told("+2"), told("+1")], "seen was"),
        ([seen("+1")], [told("+1"), told("+1")], "nobody has seen it"),
        ([seen("+1", decision=None)], [told("+1", MORNING + 30_000)], "nobody has seen it"),
        ([seen("+1", decision=None)], [told("+2")], "nobody has seen it"),
    ],
)
def test_another_story_is_put_into_words(witnessed: list[Seen], events: list[Event], words: str) -> None:
    found = list(contradictions(witnessed, events, ZONE))
    assert found
    assert words in found[0]
