"""What happens at a piece of hardware, one thing at a time: for its history, for a live view, for a line in a pipe."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from protocol.hardware import Asked
from protocol.vocabulary import Action, Denial


class What(StrEnum):
    """What happened."""

    CONNECTED = "connected"
    """A gateway has dialled."""
    GONE = "gone"
    ASKED = "asked"
    """Somebody asked, and the gateway was told."""
    ALLOWED = "allowed"
    DENIED = "denied"
    UNANSWERED = "unanswered"
    TOLD = "told"
    """The gateway had it moved without anybody having asked here: a command, or somebody at a panel."""
    MOVED = "moved"
    """The leaf does something else than before, which is the reason; with a request id where that had it moved."""
    FAILED = "failed"
    """It was told, and did not move."""
    REPEATED = "repeated"
    """It was told again what it had been told before, and did not move again."""
    ACCEPTED = "accepted"
    GARBLED = "garbled"
    """The gateway said something that is none of its messages."""
    BROKEN = "broken"
    """Somebody here put a fault in on purpose, or took it out again."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened: which gate, who asked for what, what became of it, and why."""

    at_ms: int
    """Epoch milliseconds."""
    gate: str
    """Its name."""
    what: What
    request: str = ""
    """Who asked for what, in words."""
    reason: str = ""
    """The reason of a denial as the wire has it, or what there is to say in words."""
    request_id: str | None = None


Notice = Callable[[Happening], None]
"""Who is told of everything that happens, as it does; must return at once."""

_WORDS: Final = MappingProxyType(
    {
        Denial.UNKNOWN_USER: "not on the list",
        Denial.NOT_ACCEPTED: "has not accepted the invitation yet",
        Denial.EXPIRED: "access has ended",
        Denial.REVOKED: "was taken off the list",
        Denial.NOT_YET_VALID: "access has not begun yet",
        Denial.OUTSIDE_SCHEDULE: "outside their hours",
        Denial.WIFI_NOT_ALLOWED: "may not open from afar",
        Denial.CLOCK_UNKNOWN: "the gateway does not know the time for sure",
        Denial.DEVICE_OFFLINE: "the gate cannot be reached",
        Denial.STALE_COMMAND: "asked too long ago",
        Denial.ALREADY_OPEN: "is open already",
        Denial.ALREADY_CLOSED: "is closed already",
        Denial.WRONG_UNIT: "not of that unit",
        Denial.WRONG_CODE: "no such code",
        Denial.CODE_SPENT: "the code has been used",
        Denial.TOO_MANY_TRIES: "too many wrong codes",
        Denial.STORAGE_FAULT: "the gateway could not write it down",
        Denial.UNKNOWN_DEVICE: "not a device of this gateway",
        Denial.MALFORMED: "the request is out of form",
        Denial.BUSY: "the gateway is busy",
    }
)


def in_words(reason: str, *, own: bool = True) -> str:
    """The reason of a denial for a person, with the wire's `own` word behind it; anything else as it is."""
    try:
        words = _WORDS[Denial(reason)]
    except ValueError:
        return reason
    return f"{words} ({reason})" if own else words


def request_words(asked: Asked) -> str:
    """Who asks, which way, and for what unless it is the usual trigger, in a few words."""
    who = asked.mobile or (f"code {asked.code}" if asked.code else "somebody")
    where = [str(asked.channel)]
    if asked.unit:
        where.append(f"unit {asked.unit}")
    if asked.direction:
        where.append(str(asked.direction))
    what = "" if asked.action is Action.TRIGGER else f": {asked.action}"
    return f"{who} ({', '.join(where)}){what}"
