"""The clock as a command beside the daemon sees it, and in words."""

import asyncio
import math
from dataclasses import dataclass, replace
from typing import Final

from agent.clock import ClockFacts, timekeeper
from agent.config import Config
from agent.floor import DRIFT
from agent.timekeeping import HOLDOVER_MS
from protocol.moment import Moment, exact
from protocol.vocabulary import ClockState

_STRAYED_MS: Final = math.ceil(HOLDOVER_MS * DRIFT)
"""How far a clock in holdover may be off at most."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The moment that a decision would be made at, and how the clock stands."""

    moment: Moment
    facts: ClockFacts


def seen(config: Config, noted: ClockState | None) -> Seen:
    """The clock as the daemon would see it: `noted` is what a running one says of it, None where none does.

    A daemon that has run for long knows more than a command that has just looked: it remembers a word of the time
    service that is not there any more, and doubts a clock that jumped. Its word counts.
    """
    clock = timekeeper(config)
    asyncio.run(clock.look())
    facts, moment = clock.facts(), clock.moment()
    if noted is None or noted is facts.state or facts.floor is None:
        return Seen(moment, facts)
    if noted is ClockState.UNKNOWN:
        told = Moment(facts.floor, None, noted)
    elif noted is ClockState.HOLDOVER:
        told = Moment(facts.now - _STRAYED_MS, facts.now + _STRAYED_MS, noted)
    else:
        told = exact(facts.now)
    return Seen(told, replace(facts, state=noted, service=None, marked_s=None))


def lasting(seconds: float) -> str:
    """How long something has lasted, as a person says it."""
    whole = max(0, int(seconds))
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if whole >= 2 * size:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def in_words(state: ClockState, facts: ClockFacts | None = None) -> str:
    """How the clock stands. `facts`, if they are of the same clock in the same state, tell whose word that is."""
    word = ""
    if facts is not None and facts.service is not None and facts.marked_s is not None:
        word = f"{facts.service} confirmed it {lasting(facts.marked_s)} ago"
    match state:
        case ClockState.SYNCED:
            return f"synced: {word}" if word else "synced"
        case ClockState.HOLDOVER:
            return f"holdover: {word or 'right when a time server confirmed it last'}, within a week"
    why = facts.concern if facts is not None else None
    return f"unknown: {why or 'no time server has confirmed it since the gateway started'}"
