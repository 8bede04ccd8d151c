"""What somebody types to play people and mishaps at a piece of hardware: one line, one order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from protocol.mobile import Numbers, Unassigned, Unusable, e164
from protocol.vocabulary import Action, Channel, Direction

HELP: Final = (
    "ask 082 451 1234            somebody asks to be let in",
    "ask 082 451 1234 wifi open  over bluetooth, wifi, intercom, keypad or local; trigger, open or close",
    "ask 082 451 1234 unit 4     at a panel, for a unit",
    "code 4821                   somebody types a one-time code; entry or exit behind it if it matters",
    "accept 082 451 1234         somebody takes up the invitation",
    "trigger, open, close        the gate is moved by hand, without the gateway",
    "drop                        the connection is cut",
    "silent                      the connection stays, and nothing comes or goes on it any more",
    "deaf, mute, well            it ignores what it is told; does it and never says so; neither",
    "garbage                     nonsense on the line",
    "use 482913                  what is typed from now on is for this device, by id or name",
    "quit                        the end, like Ctrl-C",
)

_MOST_DIGITS: Final = 16
_MOST_LETTERS: Final = 64


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody asks to be let in."""

    mobile: str | None = None
    code: str | None = None
    channel: Channel | None = None
    action: Action = Action.TRIGGER
    unit: str | None = None
    direction: Direction | None = None


@dataclass(frozen=True, slots=True)
class Accept:
    """Somebody takes up their invitation."""

    mobile: str


@dataclass(frozen=True, slots=True)
class ByHand:
    """The gate is moved without the gateway."""

    action: Action


@dataclass(frozen=True, slots=True)
class Use:
    """What follows is for another device."""

    device: str


Mishap = Literal["drop", "silent", "deaf", "mute", "well", "garbage"]
Plain = Literal["help", "quit"]
Order = Ask | Accept | ByHand | Use | Mishap | Plain


class NoOrder(Exception):
    """A line that is none; the message says what is wrong with it."""


def understood(line: str, numbers: Numbers) -> Order:
    """The order in a line that is not empty. Raises NoOrder."""
    match line.split():
        case ["ask", *rest]:
            return _ask(rest, numbers)
        case ["code", code, *rest] if len(code) <= _MOST_DIGITS and len(rest) <= 1 and set(rest) <= set(Direction):
            return Ask(code=code, direction=Direction(rest[0]) if rest else None)
        case ["code", *_]:
            raise NoOrder("code: the digits, then entry or exit if it matters, as in  code 4821 entry")
        case ["accept", *rest]:
            return Accept(_number(rest, numbers))
        case ["trigger" | "open" | "close" as action]:
            return ByHand(Action(action))
        case ["use", *rest] if rest:
            return Use(" ".join(rest))
        case ["drop" | "silent" | "deaf" | "mute" | "well" | "garbage" | "help" | "quit" as plain]:
            return plain
    raise NoOrder(f"{line.strip()!r} is nothing to play here: help says what is")


def _ask(words: Sequence[str], numbers: Numbers) -> Ask:
    """The number first, however it is written; a unit takes the words up to the next that means something here."""
    number: list[str] = []
    unit: list[str] | None = None
    channel, action = None, Action.TRIGGER
    for word in words:
        if word in set(Channel):
            channel = Channel(word)
        elif word in set(Action):
            action = Action(word)
        elif word == "unit":
            unit = []
        elif unit is not None:
            unit.append(word)
        else:
            number.append(word)
    name = None if unit is None else " ".join(unit)
    if name is not None and not 0 < len(name) <= _MOST_LETTERS:
        raise NoOrder(f"ask: which unit? In up to {_MOST_LETTERS} letters, as in  ask 082 451 1234 unit Flat 4")
    return Ask(_number(number, numbers), None, channel, action, name)


def _number(words: Sequence[str], numbers: Numbers) -> str:
    if not words:
        raise NoOrder("whose number? As in  ask 082 451 1234")
    reading = numbers.read(" ".join(words))
    match reading:
        case Unusable():
            raise NoOrder(reading.message)
        case Unassigned():
            return e164(reading.e164)
        case _:
            return e164(reading)
