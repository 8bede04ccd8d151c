"""One-time codes of an intercom: four digits that open once on the way in and once on the way out."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from random import Random
from typing import Final

from protocol.moment import Moment
from protocol.vocabulary import CommandRefusal, Denial, Direction

DIGITS: Final = 4
"""How long a code is; fixed by Fluss."""

_ALL: Final = range(10**DIGITS)


@dataclass(frozen=True, slots=True)
class OneTimeCode:
    """A code as it was given out: settings changed since do not change it. Times are epoch milliseconds."""

    number: int
    """Its own in the store; digits are given out again one day."""
    device_id: str
    digits: str
    name: str
    mobile: int
    """E.164 digits of the person it was given to."""
    made_at: int
    expires_at: int
    entry: str
    """The Fluss+ that opens on the way in."""
    exit: str
    entered_at: int | None = None
    left_at: int | None = None

    @property
    def spent(self) -> bool:
        """Whether both uses are behind it."""
        return self.entered_at is not None and self.left_at is not None

    def expired(self, moment: Moment) -> bool:
        """Whether its time is certainly over."""
        return self.expires_at <= moment.earliest


@dataclass(frozen=True, slots=True)
class Use:
    """One of the two uses of a code, and the Fluss+ it opens."""

    code: OneTimeCode
    direction: Direction
    opens: str


def judge(codes: Iterable[OneTimeCode], digits: str, direction: Direction | None, moment: Moment) -> Use | Denial:
    """What these digits open now, of the codes of one panel that were not revoked.

    `direction` None is a panel with one keypad: first the way in, then out. Each use stands for itself, so whoever came
    in on another's heels still gets out: a use never made is no reason to lock a guest in. Where digits were given out
    twice, the newest code that opens counts; where none does, the newest says why. Only `wrong_code` is a guess.
    """
    meant = sorted((code for code in codes if code.digits == digits), key=lambda code: code.number, reverse=True)
    judged = [_judge(code, direction, moment) for code in meant]
    uses = (one for one in judged if isinstance(one, Use))
    return next(uses, judged[0] if judged else Denial.WRONG_CODE)


def _judge(code: OneTimeCode, direction: Direction | None, moment: Moment) -> Use | Denial:
    if code.expired(moment):
        return Denial.EXPIRED
    ways = (
        Use(code, Direction.ENTRY, code.entry) if code.entered_at is None else None,
        Use(code, Direction.EXIT, code.exit) if code.left_at is None else None,
    )
    use = next((way for way in ways if way and direction in {None, way.direction}), None)
    if use is None:
        return Denial.CODE_SPENT
    if moment.latest is None or code.expires_at <= moment.latest:
        return Denial.CLOCK_UNKNOWN
    return use


def issue(
    codes: Collection[OneTimeCode], digits: str | None, limit: int, moment: Moment, rng: Random
) -> str | CommandRefusal:
    """The digits of a new code, or why there is none; `digits` None has them drawn (by a `SystemRandom`, in earnest).

    `codes` are those of the panel that were not revoked. A code takes up one of `limit` places until it is spent or has
    certainly expired. Its digits stay taken until it has expired, spent or not: who once held them may try them again.
    """
    if digits is not None and not re.fullmatch(rf"[0-9]{{{DIGITS}}}", digits):
        return CommandRefusal.SCHEMA
    alive = [code for code in codes if not code.expired(moment)]
    taken = {code.digits for code in alive}
    if sum(not code.spent for code in alive) >= limit or len(taken) == len(_ALL):
        return CommandRefusal.CODE_LIMIT
    if digits is None:
        return drawn(rng, taken)
    return CommandRefusal.CODE_TAKEN if digits in taken else digits


def drawn(rng: Random, taken: Collection[str]) -> str:
    """Four digits that are not taken, each as likely as another; IndexError where all are."""
    return rng.choice([digits for digits in (f"{number:0{DIGITS}}" for number in _ALL) if digits not in taken])
