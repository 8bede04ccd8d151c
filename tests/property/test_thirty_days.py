"""Thirty days without a network: every decision as a plain model has it, and every one of them told in the end."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from protocol.vocabulary import Channel
from tests.counterparts.gatehouse import gatehouse
from tests.oracle.calendar import DAYS, Calendar, zone
from tests.oracle.gatekeeper import Resident, verdict
from tests.oracle.histories import GATE
from tests.oracle.parts import part
from tests.oracle.store import Store

DAY = 86_400_000
HOUR = 3_600_000
LENGTH = 30
REQUESTS = 2_500
STRANGER = "+27829999999"
WHY = {
    "unknown_user",
    "expired",
    "not_accepted",
    "wifi_not_allowed",
    "clock_unknown",
    "not_yet_valid",
    "outside_schedule",
}


def residents(rng: Random, start: int) -> list[Resident]:
    """People of every access type, some of whom have not accepted yet."""
    found = []
    for number in range(80):
        permission = rng.choice(["Full", "Tenant", "Always", "Repeat", "Repeat", "Repeat", "Temporary", "Temporary"])
        who = Resident(f"+2782{number:07}", permission, rng.random() < 0.8, wifi=rng.random() < 0.7)
        if permission == "Temporary" or (permission == "Repeat" and rng.random() < 0.3):
            who.starts = start + rng.randrange(LENGTH * DAY)
            who.ends = who.starts + rng.choice([HOUR, DAY, 9 * DAY])
        if permission == "Repeat":
            who.schedule = [window(rng) for _ in range(rng.randint(1, 3))]
        found.append(who)
    return found


def window(rng: Random) -> dict[str, Any]:
    """Some windows run over midnight, some over the hour at which the clocks change."""
    times = [rng.randrange(24 * 60) for _ in range(2)] if rng.random() < 0.7 else [60, rng.randrange(60, 180)]
    start, until = (f"{time // 60:02}:{time % 60:02}" for time in times)
    return {"days": rng.sample(DAYS, rng.randint(1, 5)), "from": start, "until": until}


def changes(store: Store) -> list[dict[str, Any]]:
    """What was reported beside the batch, in order."""
    return [result for report in store.reports() if report.get("batchId", "") is None for result in report["results"]]


@pytest.mark.parametrize(
    ("seed", "of", "first"), [(1, "Europe/London", date(2026, 10, 10)), (2, "Africa/Casablanca", date(2027, 2, 1))]
)
async def test_thirty_days_offline(tmp_path: Path, seed: int, of: str, first: date) -> None:
    rng = Random(seed)
    calendar = Calendar(zone(of), first - timedelta(days=1), LENGTH + 3)
    start = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp() * 1000)
    people = residents(rng, start)
    invite_ends = start + 10 * DAY
    expected: list[tuple[int, str, str | None]] = []
    accepted: list[str] = []
    async with gatehouse(tmp_path, zone(of)) as house:
        house.clock.at = start
        for each in people:
            each.invite_ends = invite_ends
        rows = [each.item() for each in people]
        await house.store.receive([part("b1", 1, *rows, inviteExpiresAt=invite_ends)], start)

        for at in sorted(start + rng.randrange(LENGTH * DAY) for _ in range(REQUESTS)):
            house.clock.at = at
            if house.clock.known:
                await house.store.expire(at)
            if rng.random() < 0.01:  # a power cut; afterwards the clock is behind until somebody sets it
                await house.stop()
                house.clock.known, house.clock.behind = False, rng.randrange(3 * HOUR)
                await house.start()
            elif not house.clock.known and rng.random() < 0.05:
                house.clock.known, house.clock.behind = True, 0
                await house.store.expire(at)
            who: Resident | None = rng.choice(people) if rng.random() < 0.95 else None
            if who and house.clock.known and rng.random() < 0.05 and who.take_up(at):
                await house.recorder.accept(house.store.devices[GATE].number, int(who.mobile))
                accepted.append(who.mobile)
            channel = rng.choice(["bluetooth", "wifi"])
            surely = None if house.clock.known else at - house.clock.behind
            mobile = who.mobile if who else STRANGER
            answer = await house.ask(mobile, channel=Channel(channel))
            assert answer is not None
            reason = verdict(who, channel, at, surely=surely, calendar=calendar)
            expected.append((at - house.clock.behind if surely is not None else at, mobile, reason))
            assert (answer.reason and answer.reason.value) == reason, f"seed {seed}: {who}, {channel}, {at}, {surely}"

        log = house.log()
        assert [(event.at, f"+{event.mobile}", event.reason and event.reason.value) for event in log] == expected
        assert len(house.gate_motor.told) == sum(reason is None for _, _, reason in expected)
        active = [result["mobile"] for result in changes(house.store) if result["status"] == "Active"]
        assert active == accepted
        await house.store.expire(house.clock.at)
        told_over = {result["mobile"] for result in changes(house.store) if result["status"] == "Expired"}
        assert told_over == {each.mobile for each in people if each.ended(house.clock.at)}
    seen = Counter(reason for _, _, reason in expected)
    assert set(seen) == {None, *WHY}, seen
