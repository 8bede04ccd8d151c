"""Where the daemon keeps what, below its state directory, and how the commands look at it while it works."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
import structlog

from agent.config import Config
from storage.database import Reader, StorageFault, shipped_schema
from storage.hashing import KEY, KEY_BYTES
from storage.listing import schema_version

log = structlog.get_logger()

STORE: Final = "gateway.db"
NOTE: Final = "status.json"
LOCK: Final = "lock"
INTENTS: Final = "intents"
OPEN: Final = "open"
SNAPSHOTS: Final = "snapshots"
DAMAGED: Final = "damaged"
RESTORED: Final = "restored.json"


def key_file(state_dir: Path) -> Path:
    """Where the key is that hashes of forgotten people are made with: a systemd credential, or beside the store.

    A credential that is no key keeps nobody outside: it is told of, and the key beside the store is used.
    """
    if credentials := os.environ.get("CREDENTIALS_DIRECTORY"):
        credential = Path(credentials) / KEY
        size = credential.stat().st_size if credential.is_file() else 0
        if size == KEY_BYTES:
            return credential
        if size > 1:  # one line break is what our unit gives where there is none
            cure = f"a key has {KEY_BYTES} bytes: encrypt {state_dir / KEY} itself"
            log.error("forget_key.unusable", path=str(credential), bytes=size, cure=cure)
    return state_dir / KEY


@contextmanager
def opened(config: Config) -> Iterator[Reader]:
    """The store to read from; raises click.ClickException (exit 74) where there is none that can be read."""
    path = config.state_dir / STORE
    _require_access(path)
    reader = Reader(path, key=config.store.key)
    try:
        _require_schema(path, schema_version(reader))
        yield reader
    except StorageFault as fault:
        raise click.ClickException(str(fault)) from fault
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


def _require_access(path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except FileNotFoundError as error:
        raise _none_yet(path) from error
    except PermissionError as error:
        cure = "use sudo, or be the user whom the gateway runs as"
        raise click.ClickException(f"{path}: this user (uid {os.geteuid()}) may not read it; {cure}") from error


def _require_schema(path: Path, version: int) -> None:
    ours = len(shipped_schema())
    if version == 0:
        raise _none_yet(path)
    if version < ours:
        raise click.ClickException(f"{path} is from an older version of this program: start the gateway to convert it")
    if version > ours:
        raise click.ClickException(f"{path} is from a newer version of this program: install that one again")


def _none_yet(path: Path) -> click.ClickException:
    return click.ClickException(f"{path}: there is no list yet; start the gateway first (systemctl start fluss-agent)")
