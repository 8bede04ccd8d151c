"""The daemon as it is, but that it hangs in the place that a file in its state directory names: loop, writer, decision.

The file `hung` then has the time of it, by the clock that systemd goes by.
"""

import sys
import time
from asyncio.base_events import BaseEventLoop
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import aiosqlite

from agent import cli
from agent.gate import Gate

P = ParamSpec("P")
T = TypeVar("T")

STATE = Path("/var/lib/fluss-agent")


def hang_where_told(place: str) -> None:
    """Once: what is started next does not find the file any more."""
    file = STATE / f"hang-{place}"
    if file.exists():
        file.unlink()
        (STATE / "hung").write_text(str(time.monotonic()))
        time.sleep(24 * 3600)


def hanging(place: str, whole: Callable[P, T]) -> Callable[P, T]:
    """The same function, but that it may hang first."""

    def hangs(*arguments: P.args, **options: P.kwargs) -> T:
        hang_where_told(place)
        return whole(*arguments, **options)

    return hangs


def hanging_in_its_thread(whole: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    """What hands work to the writer's thread: the work may hang there."""

    def hangs(self: object, work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> Awaitable[object]:
        return whole(self, hanging("writer", work), *arguments, **options)

    return hangs


def put_in(owner: type, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Wrap a method of a class."""
    setattr(owner, name, wrap(getattr(owner, name)))


if __name__ == "__main__":
    put_in(BaseEventLoop, "_run_once", partial(hanging, "loop"))
    put_in(aiosqlite.Connection, "_execute", hanging_in_its_thread)
    put_in(Gate, "rehearse", partial(hanging, "decision"))
    sys.exit(cli.main())
