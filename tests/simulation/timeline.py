"""Virtual time: a line of events that come one after the other, and an event loop that lives on it."""

import asyncio
import contextlib
import heapq
import math
import warnings
from asyncio import BaseEventLoop
from collections.abc import Callable
from concurrent.futures import Executor
from typing import IO, Any, Final, NoReturn, TypeVar

T = TypeVar("T")

MOST_TURNS: Final = 100_000
"""How often a loop may turn without a moment passing: beyond that it will never get anywhere."""


class Over(BaseException):
    """The loop ends here and now, as its process does; nothing in it hears of that."""


class StuckError(AssertionError):
    """The program turns round and round, or waits for what cannot come."""


class Timeline:
    """Seconds since the beginning, and what is still to happen."""

    def __init__(self) -> None:
        self.now = 0.0
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when: float, happens: Callable[[], None]) -> None:
        """Have something happen at a moment; what is due at the same one happens in the order it was said."""
        self._count += 1
        heapq.heappush(self._coming, (max(when, self.now), self._count, happens))

    def after(self, seconds: float, happens: Callable[[], None]) -> None:
        """Have something happen after a while."""
        self.at(self.now + seconds, happens)

    def step(self, until: float) -> None:
        """Go on to the next event, or to `until` where that is sooner."""
        if self._coming and self._coming[0][0] <= until:
            when, _, happens = heapq.heappop(self._coming)
            self.now = max(self.now, when)
            happens()
        elif until == math.inf:
            raise StuckError("everybody waits for somebody else")
        else:
            self.now = max(self.now, until)

    def go_on(self, until: float) -> None:
        """Let everything happen up to a moment, with no program running."""
        while self.now < until:
            self.step(until)


class Loop(BaseEventLoop):
    """An event loop whose waiting makes time pass, and whose threads are none: their work is done in its turn.

    `thread_s` says how long a piece of work on a thread takes; `on_thread` sees it before it is done, and may raise in
    its place.
    """

    def __init__(
        self, timeline: Timeline, *, thread_s: Callable[[], float], on_thread: Callable[[Callable[..., Any]], None]
    ) -> None:
        super().__init__()
        self._timeline = timeline
        self._thread_s = thread_s
        self._on_thread = on_thread
        self._selector = self
        self._turns = 0
        self._turned_at = -1.0
        self.over = False
        """Set by whoever ends the process."""
        self.faults: list[dict[str, Any]] = []
        """What went wrong and nobody was there to be told; it ends the process."""
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Virtual seconds."""
        return self._timeline.now

    def select(self, timeout: float | None) -> list[object]:
        """Where a loop waits for the world: the world's events happen here, and end it here."""
        now = self._timeline.now
        self._turns = self._turns + 1 if now == self._turned_at else 0
        self._turned_at = now
        if self._turns > MOST_TURNS:
            raise StuckError(f"the loop has turned {MOST_TURNS:,} times without a moment passing")
        if not self.over and timeout != 0:
            self._timeline.step(math.inf if timeout is None else now + timeout)
        if self.over:
            raise Over
        return []

    def run_in_executor(  # type: ignore[override]  # what it gives back can be awaited, as every caller does
        self,
        executor: Executor | None,  # noqa: ARG002 -- asyncio's
        func: Callable[..., T],
        *args: Any,
    ) -> "asyncio.Future[T]":
        """Do the work after a while, in the loop's own thread; it is done whether anybody still waits for it or not."""
        done: asyncio.Future[T] = self.create_future()

        async def work() -> T:
            self._on_thread(func)
            return func(*args)

        def begin() -> None:
            self.create_task(work(), name="thread").add_done_callback(lambda task: _hand_over(task, done))

        self.call_later(self._thread_s(), begin)
        return done

    async def connect_read_pipe(
        self,
        protocol_factory: Callable[[], Any],  # noqa: ARG002 -- asyncio's
        pipe: IO[bytes],
    ) -> NoReturn:
        """No pipes in this world: the installer's bench stays closed."""
        pipe.close()
        raise OSError("no pipes here")

    def abandon(self) -> None:
        """Let go of a process that has ended: its tasks are unwound, and whatever they still try is in vain."""
        self.over = True
        self.set_exception_handler(lambda _, __: None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for task in asyncio.all_tasks(self):
                unwound: Any = task.get_coro()
                # What a task says while it is unwound, it says to nobody.
                with contextlib.suppress(BaseException):
                    unwound.close()
        self.close()

    def _note(self, _: object, context: dict[str, Any]) -> None:
        self.faults.append(context)
        self.over = True

    def _process_events(self, event_list: list[object]) -> None:
        """There are no files to watch."""

    def _write_to_self(self) -> None:
        """There is no other thread to be woken by."""


def _hand_over(task: "asyncio.Task[T]", done: "asyncio.Future[T]") -> None:
    """Tell whoever still waits for it what became of some work."""
    error = task.exception()
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(task.result())
