"""The demonstration's guests: whenever it is shown, their time is now, or surely is not."""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from protocol.mobile import Numbers
from protocol.schedule import is_open
from protocol.terms import canonical_schedule
from protocol.vocabulary import Permission
from simulator.doorstep import CLEANER_LATER, CLEANER_NOW, GUEST_NOW, GUEST_TOMORROW, ZONE, guests

SHOWN_FOR = [timedelta(minutes=minute) for minute in range(0, 60, 5)]

moments = st.datetimes(datetime(2026, 1, 1), datetime(2032, 12, 31), timezones=st.just(ZONE))  # noqa: DTZ001 -- gets its zone


def open_at(person: Any, moment: datetime) -> bool:  # noqa: ANN401 -- as the wire carries it
    written = canonical_schedule(person["schedule"])
    assert isinstance(written, str)
    return is_open(written, ZONE, int(moment.timestamp() * 1000))


@given(moments)
@example(datetime(2026, 11, 29, 23, 59, tzinfo=ZONE))  # a Sunday
@example(datetime(2026, 11, 30, 0, 0, tzinfo=ZONE))
@example(datetime(2026, 12, 31, 23, 59, 59, tzinfo=ZONE))
@example(datetime(2028, 2, 28, 22, 30, tzinfo=ZONE))
def test_guests_come_at_the_right_time_or_surely_at_the_wrong_one(now: datetime) -> None:
    people = {person["mobile"]: person for person in guests(now)}
    for shown in (now + later for later in SHOWN_FOR):
        at = int(shown.timestamp() * 1000)
        assert open_at(people[CLEANER_NOW], shown)
        assert not open_at(people[CLEANER_LATER], shown)
        assert people[GUEST_NOW]["startDate"] <= at < people[GUEST_NOW]["endDate"]  # type: ignore[operator]  # they have dates
        assert at < people[GUEST_TOMORROW]["startDate"] < people[GUEST_TOMORROW]["endDate"]  # type: ignore[operator]  # the same
    tomorrow = datetime.fromtimestamp((people[GUEST_TOMORROW]["startDate"] or 0) / 1000, ZONE)
    assert tomorrow.date() == now.date() + timedelta(days=1)


def test_guests_are_people_every_gateway_takes() -> None:
    people = guests(datetime(2026, 11, 22, 21, 0, tzinfo=ZONE))
    readings = Numbers("ZA").read_many([person["mobile"] for person in people])
    assert [f"+{reading}" for reading in readings] == [person["mobile"] for person in people]
    assert all(person["accepted"] for person in people)
    assert {person["permission"] for person in people} == {Permission.REPEAT, Permission.TEMPORARY, Permission.ALWAYS}
