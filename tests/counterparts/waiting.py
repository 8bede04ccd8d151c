"""Waiting for a condition, instead of sleeping and hoping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")


class TimedOutError(AssertionError):
    """What a test waited for did not come true."""


@overload
async def until(
    condition: Callable[[], Awaitable[T]], *, within_s: float = 10.0, every_s: float = 0.01, what: str = ""
) -> T: ...


@overload
async def until(condition: Callable[[], T], *, within_s: float = 10.0, every_s: float = 0.01, what: str = "") -> T: ...


async def until(
    condition: Callable[[], T | Awaitable[T]], *, within_s: float = 10.0, every_s: float = 0.01, what: str = ""
) -> T:
    """The first truthy value of ``condition``, plain or awaitable, looked at every ``every_s`` seconds.

    Raises TimedOutError naming ``what`` and the last value seen, after ``within_s`` seconds; an awaitable that
    hangs is cancelled by then.
    """
    value: T | None = None
    try:
        async with asyncio.timeout(within_s):
            while True:
                answer = condition()
                value = await answer if inspect.isawaitable(answer) else answer
                if value:
                    return value
                await asyncio.sleep(every_s)
    except TimeoutError:
        raise _timed_out(condition, within_s, what, value) from None


def wait_until(condition: Callable[[], T], *, within_s: float = 10.0, every_s: float = 0.01, what: str = "") -> T:
    """The same for code without an event loop."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise _timed_out(condition, within_s, what, value)
        time.sleep(every_s)
    return value


def _timed_out(condition: Callable[[], object], within_s: float, what: str, value: object) -> TimedOutError:
    name = what or getattr(condition, "__qualname__", repr(condition))
    return TimedOutError(f"not within {within_s:g} s: {name} (last seen: {value!r})")
