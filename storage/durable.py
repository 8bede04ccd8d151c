"""Files that outlast a power cut."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Have a file, or a folder with the names in it, on the card; raises OSError."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def put(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Have a file hold this, or what it held before, whenever the power goes; raises OSError.

    `mode` is that of the new file, less the umask.
    """
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "wb") as file:
        file.write(content)
    sync(fresh)
    fresh.replace(path)
    sync(path.parent)


def take_away(path: Path) -> None:
    """Have a file gone; raises OSError."""
    path.unlink(missing_ok=True)
    sync(path.parent)
