"""A step of a scenario file, understood: which deed it is, and whether it can be done as the story stands then."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from importlib.resources.abc import Traversable
from typing import Final
from zoneinfo import ZoneInfo

from protocol.mobile import Numbers, Unassigned, Unusable, e164
from protocol.vocabulary import Action, Channel, Command, CommandRefusal, Denial, Kind, Mode, Outcome, Status
from simulator.contacts import ContactsError, read_contacts
from simulator.roster import merged
from simulator.scenario import (
    ALLOWED,
    GIVEN,
    NOBODY,
    UNANSWERED,
    Accept,
    Ask,
    Deed,
    Fixture,
    GiveCode,
    Import,
    Line,
    Look,
    Network,
    Order,
    Person,
    Power,
    Remark,
    Revoke,
    TakeCode,
)
from simulator.scenario_tables import WITH, Mistake, StepTable, closest, one_of
from simulator.uplink import Net

EVERYBODY: Final = "everybody"
EVERYWHERE: Final = "everywhere"

_AT: Final = re.compile(r"(?:(\d{4}-\d\d-\d\d)[ T])?(\d\d:\d\d(?::\d\d)?)")
_ANSWERS: Final = {ALLOWED, UNANSWERED}
_LETTERS: Final = frozenset({"import", "revoke", "give_code", "take_code", "status"})
"""What cannot end while the gateway is not reached."""


@dataclass(slots=True)
class Standing:
    """How things stand as the story goes on, as far as it decides what can be done."""

    network_down_since: str | None = None
    power_off_since: str | None = None
    offline: set[str] = field(default_factory=set)
    coded: set[str] = field(default_factory=set)
    """Who was given a code."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Everything a step may name."""

    devices: Sequence[Fixture]
    people: Sequence[Person]
    numbers: Numbers
    region: str
    folder: Traversable
    """Where the files are that a step names."""

    def device(self, key: str, name: str) -> Fixture:
        """The device of this name or id. Raises Mistake."""
        found = next((each for each in self.devices if name in {each.name, each.device_id}), None)
        if found is None:
            raise Mistake(key, f"there is no device {name!r}{closest(name, (each.name for each in self.devices))}")
        return found

    def person(self, key: str, name: str) -> Person:
        """The person of this name; a number is a stranger. Raises Mistake."""
        found = next((each for each in self.people if name == each.name), None)
        if found is not None:
            return found
        reading = self.numbers.read(name)
        if isinstance(reading, Unusable):
            near = closest(name, (each.name for each in self.people))
            raise Mistake(key, f"there is nobody called {name!r}{near}, and it is no number either")
        digits = reading.e164 if isinstance(reading, Unassigned) else reading
        return next((each for each in self.people if each.mobile == e164(digits)), Person(name, e164(digits), None))


def moment(key: str, text: str, day: date, zone: ZoneInfo) -> datetime:
    """`06:45` on that day, or `2026-12-16 06:45`. Raises Mistake."""
    match = _AT.fullmatch(text)
    try:
        if match:
            on = date.fromisoformat(match[1]) if match[1] else day
            return datetime.combine(on, time.fromisoformat(match[2]), zone)
    except ValueError:
        pass  # the thirtieth of February, or 25 o'clock
    raise Mistake(key, f"{text!r} is no time: write 06:45, or 2026-12-16 06:45 where another day begins")


def deed_of(step: StepTable, cast: Cast, standing: Standing) -> Deed:
    """What a step does; `standing` is brought up to date. Raises Mistake."""
    given = {_key(name) for name, value in step if value is not None} - {"at", "note"}
    verbs = [verb for verb in WITH if verb in given]
    if len(verbs) > 1:
        raise Mistake(verbs[1], f"one step does one thing, and {verbs[0]!r} stands there already")
    if not verbs:
        if given or step.note is None:
            raise Mistake("", f"nothing says what happens: write one of {', '.join(WITH)}, or a note alone")
        return Remark()
    (verb,) = verbs
    if surplus := given - {verb} - WITH[verb]:
        raise Mistake(min(surplus), f"has no meaning beside {verb!r}")
    if verb in _LETTERS and standing.network_down_since:
        raise Mistake(verb, f"needs the network, which has been down since {standing.network_down_since}")
    if verb in _LETTERS and standing.power_off_since:
        raise Mistake(verb, f"needs the gateway, which has had no power since {standing.power_off_since}")
    return _DEEDS[verb](_Table(step, cast), standing)


@dataclass(frozen=True, slots=True)
class _Table:
    """One step's table, and how its keys are read; each way raises Mistake."""

    step: StepTable
    cast: Cast

    def device(self, key: str, name: str | None, kind: Kind | None = None) -> Fixture:
        """The device under a key; where none is named, the first of its kind."""
        if name is not None:
            found = self.cast.device(key, name)
            if kind is not None and found.kind is not kind:
                raise Mistake(key, f"{found.name} is none: this needs a device of the kind {kind}")
            return found
        first = next((each for each in self.cast.devices if kind in {None, each.kind}), None)
        if first is None:
            raise Mistake(key, f"there is no device of the kind {kind}")
        return first

    def devices(self) -> Sequence[Fixture]:
        named = self.step.devices
        return [self.device("devices", name) for name in named] if named else self.cast.devices

    def who(self) -> Person:
        if self.step.who is None:
            raise Mistake("who", "is missing: who is it?")
        return self.cast.person("who", self.step.who)

    def answer(self, known: Collection[str]) -> str | None:
        expect = self.step.expect
        if isinstance(expect, dict):
            raise Mistake("expect", "is one word here, such as allowed or outside_schedule")
        return expect and one_of("expect", expect, {*known, *_ANSWERS}, "allowed, unanswered or outside_schedule")


def _ask(table: _Table, standing: Standing) -> Deed:
    step = table.step
    device = table.device("ask", step.ask)
    who = table.who() if step.who is not None or step.code is None else None
    if step.code is not None:
        if device.kind is not Kind.INTERCOM:
            raise Mistake("code", f"{device.name} has no keypad: an intercom has")
        if step.code == GIVEN and (who is None or who.name not in standing.coded):
            raise Mistake("code", "nobody has given them one before: a step with  give_code  does")
    channel = Channel.KEYPAD if step.code is not None else step.channel
    expect = table.answer(list(Denial))
    return Ask(device, who, channel, step.action or Action.TRIGGER, step.unit, step.code, step.direction, expect)


def _accept(table: _Table, standing: Standing) -> Deed:
    cast, named = table.cast, table.step.accept
    devices = cast.devices if named == EVERYWHERE else [table.device("accept", named)]
    if standing.power_off_since:
        raise Mistake("accept", f"nobody hears of it: the gateway has had no power since {standing.power_off_since}")
    if silent := [each.name for each in devices if each.device_id in standing.offline]:
        raise Mistake("accept", f"nobody hears of it: {silent[0]} is not there")
    return Accept(table.who(), devices)


def _order(table: _Table, _: Standing) -> Deed:
    command = table.step.command
    assert command is not None, "it is the key that brought us here"
    if command not in {Command.TRIGGER, Command.OPEN, Command.CLOSE}:
        raise Mistake("command", f"{str(command)!r} moves no gate: write trigger, open or close")
    device = table.device("device", table.step.device, None if table.step.device else Kind.FLUSS)
    return Order(command, device, table.who(), table.answer([*Denial, *CommandRefusal]))


def _import(table: _Table, _: Standing) -> Deed:
    step, cast = table.step, table.cast
    named, roster, people = step.list_, None, list[Person]()
    if isinstance(named, str) and named != EVERYBODY:
        if step.permission is None and any(each.kind is Kind.FLUSS for each in table.devices()):
            raise Mistake("permission", "is missing: a Fluss+ needs an access type, such as Always")
        title = named
        try:
            contacts = read_contacts(cast.folder.joinpath(named).read_bytes(), source=named, region=cast.region)
        except OSError as why:
            raise Mistake("import", f"{named} cannot be read beside this file: {why.strerror}") from None
        except ContactsError as why:
            raise Mistake("import", str(why)) from None
        roster = merged([contacts]).with_accepted(lambda _: bool(step.accepted))
    else:
        if key := next((key for key in ("permission", "accepted") if getattr(step, key) is not None), None):
            raise Mistake(key, "goes with a file: people of this story have their own")
        names = [each.name for each in cast.people if each.invitee] if isinstance(named, str) else named or []
        people = [cast.person("import", name) for name in names]
        if stranger := next((each.name for each in people if each.invitee is None), None):
            raise Mistake("import", f"{stranger} is not invited in this story")
        title = people[0].name if len(people) == 1 else f"{len(people)} people"
    return Import(title, people, roster, table.devices(), step.mode or Mode.MERGE, step.permission, _counts(table))


def _counts(table: _Table) -> Mapping[str, int] | None:
    expect = table.step.expect
    if isinstance(expect, str):
        raise Mistake("expect", "is how many there are of each outcome, as { added = 12 }")
    for outcome in expect or ():
        if outcome not in set(Outcome):
            raise Mistake("expect", f"{outcome!r} is no outcome{closest(outcome, Outcome)}")
    return expect


def _revoke(table: _Table, _: Standing) -> Deed:
    return Revoke([table.cast.person("revoke", name) for name in table.step.revoke or ()], table.devices())


def _give_code(table: _Table, standing: Standing) -> Deed:
    who = table.cast.person("give_code", table.step.give_code or "")
    standing.coded.add(who.name)
    return GiveCode(who, table.device("device", table.step.device, Kind.INTERCOM))


def _take_code(table: _Table, standing: Standing) -> Deed:
    who = table.cast.person("take_code", table.step.take_code or "")
    if who.name not in standing.coded:
        raise Mistake("take_code", "nobody has given them one before")
    return TakeCode(who, table.device("device", table.step.device, Kind.INTERCOM))


def _look(table: _Table, _: Standing) -> Deed:
    written = one_of("status", table.step.status or "", [*Status, NOBODY], "Active, Expired or none")
    expect = None if written == NOBODY else Status(written)
    return Look(table.who(), table.device("device", table.step.device), expect)


def _network(table: _Table, standing: Standing) -> Deed:
    net = table.step.network or Net.UP
    standing.network_down_since = table.step.at if net is Net.DOWN else None
    return Network(net)


def _power(table: _Table, standing: Standing) -> Deed:
    on = table.step.power == "on"
    if on == (standing.power_off_since is None):
        raise Mistake("power", f"it is {table.step.power} already")
    if not on and table.step.clock is not None:
        raise Mistake("clock", 'says what the gateway knows when it starts: write it beside  power = "on"')
    standing.power_off_since = None if on else table.step.at
    return Power(on, table.step.clock != "unknown")


def _hardware(table: _Table, standing: Standing) -> Deed:
    device, state = table.device("device", table.step.device), table.step.hardware
    assert state is not None, "it is the key that brought us here"
    if (device.device_id in standing.offline) != (state == "online"):
        raise Mistake("hardware", f"{device.name} is {'offline' if state != 'online' else 'online'} already")
    (standing.offline.discard if state == "online" else standing.offline.add)(device.device_id)
    return Line(device, state)


def _key(name: str) -> str:
    return StepTable.model_fields[name].alias or name


_DEEDS: Final[Mapping[str, Callable[[_Table, Standing], Deed]]] = {
    "ask": _ask,
    "accept": _accept,
    "command": _order,
    "import": _import,
    "revoke": _revoke,
    "give_code": _give_code,
    "take_code": _take_code,
    "status": _look,
    "network": _network,
    "power": _power,
    "hardware": _hardware,
}
