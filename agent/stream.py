"""One numbered sequence of the outbox on its way to the broker: what is new first, then what was asked for again."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from agent.vault import Vault
from storage.database import Reader, StorageFault
from storage.outbox import Resend

READ_AT_ONCE: Final = 64


class Numbered(Protocol):
    """What a sequence consists of."""

    @property
    def number(self) -> int:
        """Its place, from 1 and without gaps."""


N = TypeVar("N", bound=Numbered)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message; `taken` is called when the broker has it."""

    topic: str
    payload: bytes
    taken: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Kind(Generic[N]):
    """How a sequence is read from the store and written for the wire."""

    newest: Callable[[Reader], int]
    read: Callable[[Reader, int, int, int], Sequence[N]]
    """Up to so many between a first and a last number, in order."""
    next_resend: Callable[[Reader, int], Resend | None]
    written: Callable[[N], tuple[str, bytes]]
    """Topic and payload: the same bytes every time."""


class Stream(Generic[N]):
    """Where a sequence stands: `sent` is the last number of which, and of all before it, the broker has word."""

    def __init__(self, kind: Kind[N], vault: Vault, sent: int) -> None:
        self._kind = kind
        self._vault = vault
        self.sent = sent
        self.resent: set[int] = set()
        """Requests that are answered in full, and not yet forgotten by the store."""
        self._newest = sent
        self._underway: deque[int] = deque()
        self._taken: set[int] = set()
        self._last: tuple[Resend, int] | None = None
        self._again: tuple[int, int] | None = None
        """Which request is being answered, and the next number of it."""

    def unsent(self) -> int:
        """How many wait for the broker, as far as can be read."""
        with suppress(StorageFault):
            self._newest = self._kind.newest(self._vault.reader)
        return self._newest - self.sent

    def fresh(self) -> Iterator[Outgoing]:
        """What has not been sent, some messages of it."""
        self._underway.clear()
        self._taken.clear()
        self._newest = self._kind.newest(self._vault.reader)
        for each in self._kind.read(self._vault.reader, self.sent + 1, self._newest, READ_AT_ONCE):
            self._underway.append(each.number)
            yield Outgoing(*self._kind.written(each), partial(self._took, each.number))

    def again(self) -> Iterator[Outgoing]:
        """What was asked for again, some messages of it; `answered` says that the broker has all of them."""
        self._last = None
        resend = self._kind.next_resend(self._vault.reader, max(self.resent, default=0))
        if resend is None or resend.after > self.sent:
            return
        first = self._again[1] if self._again and self._again[0] == resend.number else resend.first
        stored = self._kind.read(self._vault.reader, first, resend.last, READ_AT_ONCE)
        for each in stored:
            yield Outgoing(*self._kind.written(each), lambda: None)
        self._last = (resend, stored[-1].number if stored else resend.last)

    def answered(self) -> bool:
        """The broker has what `again` gave; whether that was an answer at all."""
        if self._last is None:
            return False
        resend, last = self._last
        self._again = (resend.number, last + 1)
        if last >= resend.last:
            self.resent.add(resend.number)
        return True

    def _took(self, number: int) -> None:
        """The broker has this one; what it has without a gap need not be sent again."""
        self._taken.add(number)
        while self._underway and self._underway[0] in self._taken:
            self.sent = self._underway.popleft()
