"""The daemon as it is, but that it hangs in the place that a file in its state directory names: loop, writer, decision.

The file `hung` then has the time of it, by the clock that systemd goes by.
"""

import sys
import time
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiosqlite

from agent import cli
from agent.gate import Gate

STATE = Path("/var/lib/fluss-agent")


def hang_where_told(place: str) -> None:
    """Once: what is started next does not find the file any more."""
    file = STATE / f"hang-{place}"
    if file.exists():
        file.unlink()
        (STATE / "hung").write_text(str(time.monotonic()))
        time.sleep(24 * 3600)


def hanging(place: str, whole: Callable[..., Any]) -> Callable[..., Any]:
    def hangs(*arguments: Any, **options: Any) -> Any:
        hang_where_told(place)
        return whole(*arguments, **options)

    return hangs


def hanging_in_its_thread(whole: Callable[..., Any]) -> Callable[..., Any]:
    def hangs(self: object, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return whole(self, hanging("writer", work), *arguments, **options)

    return hangs


if __name__ == "__main__":
    setattr(BaseEventLoop, "_run_once", hanging("loop", getattr(BaseEventLoop, "_run_once")))
    setattr(aiosqlite.Connection, "_execute", hanging_in_its_thread(getattr(aiosqlite.Connection, "_execute")))
    setattr(Gate, "rehearse", hanging("decision", Gate.rehearse))
    sys.exit(cli.main())
