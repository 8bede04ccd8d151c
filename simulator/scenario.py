"""A scenario: people, devices, and what happens on a day, as values. Everything in it has been checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal
from zoneinfo import ZoneInfo

from protocol.invites import Invitee
from protocol.vocabulary import Action, Channel, Command, Direction, Kind, Mode, Permission, Status
from simulator.roster import Roster
from simulator.uplink import Net

ALLOWED: Final = "allowed"
DENIED: Final = "denied"
UNANSWERED: Final = "unanswered"
GIVEN: Final = "given"
"""In the place of a code: the one that the person was given."""

NOBODY: Final = "none"
"""In the place of a status: not on the list."""

_OFFICE: Final = "The office"
_WAYS: Final = {Channel.BLUETOOTH: "Bluetooth", Channel.WIFI: "Wi-Fi"}


class TakesUp(StrEnum):
    """When somebody takes up an invitation, where it is no time of day."""

    ALREADY = "already"
    """They have the app, and the office says so."""
    NOW = "now"
    """At the gate, as soon as they are invited."""
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Fixture:
    """A device of the property."""

    device_id: str
    name: str
    kind: Kind
    opens: str | None
    """The id of the Fluss+ that an intercom has moved."""
    sensor: bool


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the story: `invitee` is how the office invites them, None for a stranger."""

    name: str
    mobile: str
    """In E.164, with the plus sign."""
    invitee: Invitee | None
    takes_up: TakesUp = TakesUp.NEVER


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody asks to be let in at a device, by number or by code."""

    device: Fixture
    who: Person | None
    channel: Channel | None
    action: Action
    unit: str | None
    code: str | None
    """Digits, or GIVEN."""
    direction: Direction | None
    expect: str | None
    """ALLOWED, UNANSWERED, or the reason against it."""

    @property
    def actor(self) -> str:
        """Who does it."""
        return self.who.name if self.who else "Somebody"

    @property
    def words(self) -> str:
        """What they do."""
        code = "their code" if self.code == GIVEN else f"code {self.code}" if self.code else None
        way = _WAYS.get(self.channel) or str(self.channel) if self.channel and not self.code else None
        unit = f"unit {self.unit}" if self.unit else None
        action = None if self.action is Action.TRIGGER else f"to {self.action}"
        return ", ".join(filter(None, (self.device.name, way, unit, code, self.direction, action)))


@dataclass(frozen=True, slots=True)
class Order:
    """Somebody has a gate moved from afar, through the cloud."""

    command: Command
    device: Fixture
    who: Person
    expect: str | None
    """ALLOWED, UNANSWERED, or the error code of the reply."""

    @property
    def actor(self) -> str:
        """Who does it."""
        return self.who.name

    @property
    def words(self) -> str:
        """What they do."""
        return f"{self.device.name} from afar, to {self.command}"


@dataclass(frozen=True, slots=True)
class Accept:
    """Somebody takes up their invitation, at these devices."""

    who: Person
    devices: Sequence[Fixture]

    @property
    def actor(self) -> str:
        """Who does it."""
        return self.who.name

    @property
    def words(self) -> str:
        """What they do."""
        return "takes up the invitation"


@dataclass(frozen=True, slots=True)
class Import:
    """The office sends a list: people of the story, or a file of contacts."""

    title: str
    """What the list is, for whoever watches."""
    people: Sequence[Person]
    roster: Roster | None
    devices: Sequence[Fixture]
    mode: Mode
    permission: Permission | None
    expect: Mapping[str, int] | None
    """How many results there are of each outcome: people × devices."""

    @property
    def actor(self) -> str:
        """Who does it."""
        return _OFFICE

    @property
    def words(self) -> str:
        """What they do."""
        return f"imports {self.title}" + (" as the whole list" if self.mode is Mode.REPLACE else "")


@dataclass(frozen=True, slots=True)
class Revoke:
    """The office takes people off the list."""

    people: Sequence[Person]
    devices: Sequence[Fixture]

    @property
    def actor(self) -> str:
        """Who does it."""
        return _OFFICE

    @property
    def words(self) -> str:
        """What they do."""
        return f"takes {', '.join(each.name for each in self.people)} off the list"


@dataclass(frozen=True, slots=True)
class GiveCode:
    """The office gives somebody a one-time code."""

    who: Person
    panel: Fixture

    @property
    def actor(self) -> str:
        """Who does it."""
        return _OFFICE

    @property
    def words(self) -> str:
        """What they do."""
        return f"gives {self.who.name} a code"


@dataclass(frozen=True, slots=True)
class TakeCode:
    """The office takes a one-time code back."""

    who: Person
    panel: Fixture

    @property
    def actor(self) -> str:
        """Who does it."""
        return _OFFICE

    @property
    def words(self) -> str:
        """What they do."""
        return f"takes the code of {self.who.name} back"


@dataclass(frozen=True, slots=True)
class Look:
    """The cloud looks how somebody stands on a list."""

    who: Person
    device: Fixture
    expect: Status | None
    """None: not on the list."""

    @property
    def actor(self) -> str:
        """Who does it."""
        return self.who.name

    @property
    def words(self) -> str:
        """What they do."""
        return f"on the list of {self.device.name}"


@dataclass(frozen=True, slots=True)
class Network:
    """The network between gateway and broker changes."""

    net: Net

    @property
    def actor(self) -> str:
        """Who does it."""
        return "The network"

    @property
    def words(self) -> str:
        """What they do."""
        return {Net.UP: "is back", Net.DOWN: "goes down", Net.FLAPPING: "comes and goes"}[self.net]


@dataclass(frozen=True, slots=True)
class Power:
    """The gateway's power goes or comes back; the devices have batteries."""

    on: bool
    knows_time: bool
    """Whether the gateway, once it runs, knows what time it is: boards have no clock of their own."""

    @property
    def actor(self) -> str:
        """Who does it."""
        return "The gateway"

    @property
    def words(self) -> str:
        """What they do."""
        return "starts again" if self.on else "loses its power"


@dataclass(frozen=True, slots=True)
class Line:
    """A device is unplugged, plugged in again, or says nothing any more on the connection it has."""

    device: Fixture
    state: Literal["offline", "online", "silent"]

    @property
    def actor(self) -> str:
        """Who does it."""
        return self.device.name

    @property
    def words(self) -> str:
        """What they do."""
        return {"offline": "is unplugged", "online": "is plugged in", "silent": "says nothing any more"}[self.state]


@dataclass(frozen=True, slots=True)
class Remark:
    """Nothing happens but what the note says."""

    actor = ""
    words = ""


Deed = Ask | Order | Accept | Import | Revoke | GiveCode | TakeCode | Look | Network | Power | Line | Remark


@dataclass(frozen=True, slots=True)
class Step:
    """What happens at one moment."""

    at: datetime
    deed: Deed
    note: str = ""
    number: int | None = None
    """Its place in the file; None: it comes from what is said of a person."""

    @property
    def name(self) -> str:
        """The step as a message calls it."""
        return f"{self.at:%H:%M}" if self.number is None else f"step {self.number} ({self.at:%H:%M})"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A story with everything that is in it; its steps are in the order of time."""

    source: str
    title: str
    about: str
    zone: ZoneInfo
    devices: Sequence[Fixture]
    people: Sequence[Person]
    steps: Sequence[Step]
