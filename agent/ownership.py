"""Who works in a state directory: one process at a time, the daemon or the installer's test."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from agent.store_path import LOCK

LOOKS: Final = 20
LOOK_S: Final = 0.05


class Occupied(Exception):
    """Another agent works in this state directory."""


@contextmanager
def owned(state_dir: Path) -> Iterator[None]:
    """Hold the state directory, made where there is none, for this process alone; raises Occupied, OSError."""
    os.umask(0o077)
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (state_dir / LOCK).open("w") as lock:
        for _ in range(LOOKS):  # `fluss-agent status` may be looking at this moment
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(LOOK_S)
        else:
            raise Occupied
        yield
