"""Where the daemon keeps what, below its state directory, and how the commands look at it while it works."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from agent.config import Config
from storage.database import Reader

STORE: Final = "gateway.db"
NOTE: Final = "status.json"
LOCK: Final = "lock"


@contextmanager
def opened(config: Config) -> Iterator[Reader]:
    """The store to read from; raises click.ClickException (exit 74) where there is none yet."""
    path = config.state_dir / STORE
    if not path.exists():
        raise click.ClickException(f"{path}: there is no list yet; has the agent run with this configuration?")
    reader = Reader(path)
    try:
        yield reader
    finally:
        reader.close()


def is_running(state_dir: Path) -> bool:
    """Whether a daemon holds this state directory."""
    try:
        with (state_dir / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
