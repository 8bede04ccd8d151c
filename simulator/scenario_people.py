"""People of a scenario file, understood: who they are, and how the office invites them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from protocol.invites import Invitee
from protocol.mobile import Numbers, Unassigned, Unusable, e164
from protocol.terms import TermsFault, terms_of
from simulator.access import parse_instant, parse_schedule
from simulator.scenario import Person, TakesUp
from simulator.scenario_steps import moment
from simulator.scenario_tables import Mistake, PersonTable


@dataclass(frozen=True, slots=True)
class Guest:
    """A person, and when they take up their invitation, where that is a time of day."""

    person: Person
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class GuestBook:
    """How what is written of people is read: dates begin on `day`, on the wall clock of `zone`."""

    day: date
    zone: ZoneInfo
    numbers: Numbers
    typed: bool
    """Whether they need an access type at all: at an intercom nobody does."""

    def read(self, table: PersonTable, others: Iterable[Guest]) -> Guest:
        """Somebody who is none of the others. Raises Mistake."""
        reading = self.numbers.read(table.mobile)
        if isinstance(reading, Unusable):
            raise Mistake("mobile", reading.message)
        mobile = e164(reading.e164 if isinstance(reading, Unassigned) else reading)
        for other in others:
            if other.person.name == table.name:
                raise Mistake("name", "somebody else is called so: tell them apart")
            if other.person.mobile == mobile:
                raise Mistake("mobile", f"{table.mobile} is the number of {other.person.name} already")
        if not table.invited:
            return Guest(Person(table.name, mobile, None))
        takes_up, at = self._takes_up(table.accepts)
        return Guest(Person(table.name, mobile, self._invitee(table, mobile, takes_up), takes_up), at)

    def _takes_up(self, written: str) -> tuple[TakesUp, datetime | None]:
        if written in set(TakesUp):
            return TakesUp(written), None
        try:
            return TakesUp.NEVER, moment("accepts", written, self.day, self.zone)
        except Mistake:
            words = f"{written!r} is none of already, now and never, and no time such as 07:45 either"
            raise Mistake("accepts", words) from None

    def _invitee(self, table: PersonTable, mobile: str, takes_up: TakesUp) -> Invitee:
        start, end = self._instant("from", table.start), self._instant("until", table.until)
        schedule = None
        if table.schedule is not None:
            try:
                schedule = parse_schedule(table.schedule)
            except ValueError as why:
                raise Mistake("schedule", str(why)) from None
        fault = terms_of(table.permission, start, end, schedule) if self.typed else None
        if isinstance(fault, TermsFault):
            raise Mistake({"startDate": "from", "endDate": "until"}.get(fault.field, fault.field), fault.message)
        invitee = Invitee(userName=table.name, mobile=mobile, accepted=takes_up is TakesUp.ALREADY)
        invitee |= {"permission": table.permission, "schedule": schedule, "startDate": start, "endDate": end}
        if table.wifi is not None:
            invitee["wifi"] = table.wifi
        if table.units is not None:
            invitee["units"] = table.units
        if table.notes is not None:
            invitee["notes"] = table.notes
        return invitee

    def _instant(self, key: str, written: str | None) -> int | None:
        """A time of the first day, or a date with or without a time; a last day counts to its end."""
        if written is None:
            return None
        try:
            return int(moment(key, written, self.day, self.zone).timestamp() * 1000)
        except Mistake:
            try:
                return parse_instant(written, self.zone, ends=key == "until")
            except ValueError:
                words = f"{written!r} is no time: write 14:00, 2026-12-24 or 2026-12-24 18:00"
                raise Mistake(key, words) from None
