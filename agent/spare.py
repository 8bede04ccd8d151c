"""The spare: what the files of a configuration said when the daemon started last, kept in its state directory.

A memory card that has aged changes files that nobody writes to, and one bit of agent.toml can keep a gate shut until
somebody comes. Where a file says something else than it did, and nobody has written to it, the spare is read instead.
What somebody has written is taken as it is, mistakes included. No secret is read through here.
"""

import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from agent import config_file
from storage import durable

FILE: Final = "configuration"

ROTTEN: Final = (
    "nobody has written to it, and it says something else than it did: this card is dying. What it said counts; "
    "write the file anew, on another card"
)

_SEAL_BYTES: Final = 32


class Mark(NamedTuple):
    """What changes whenever somebody writes to a file, replaces it, or puts an older one in its place; see stat(2)."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int


class Kept(NamedTuple):
    """A file as it was."""

    mark: Mark
    content: bytes


def has_rotted(kept: Kept, found: Kept | None) -> bool:
    """Whether a file has changed that nobody has written to; None: it cannot be read any more."""
    return found is None or (_is_same(kept.mark, found.mark) and found.content != kept.content)


def _is_same(kept: Mark, found: Mark) -> bool:
    """Whether it is the mark that was kept; after a restart, a file system may have whole seconds left of it."""
    return found in (kept, Mark(kept.inode, kept.size, _second(kept.modified_ns), _second(kept.changed_ns)))


def _second(moment_ns: int) -> int:
    return moment_ns // 1_000_000_000 * 1_000_000_000


def is_sick(error: OSError) -> bool:
    """Whether it is the card's, and not somebody's who has moved the file or locked it."""
    return not isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError))


class Spare:
    """Reads files, and knows what they said before; ``folder`` None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.rotten: list[Path] = []
        """Files in whose place the spare was read."""
        self._path = None if folder is None else folder / FILE
        self._kept = _read(self._path)
        self._seen: dict[str, Kept] = {}

    def read(self, path: Path, most: int) -> bytes:
        """As config_file.content; of a file that has rotted, what it said when it was kept."""
        name = str(path.absolute())
        kept = self._kept.get(name)
        try:
            found = Kept(_mark(path), config_file.content(path, most))
        except OSError as error:
            if kept is None or not is_sick(error):
                raise
            found = None
        if kept is not None and has_rotted(kept, found):
            self.rotten.append(path)
            found = kept
        assert found is not None, "what cannot be read has rotted"
        self._seen[name] = found
        return found.content

    def keep(self) -> None:
        """Keep what was read: a daemon can start with it. Raises OSError."""
        if self._path is not None and self._seen != self._kept:
            said = {path: (*kept.mark, kept.content.hex()) for path, kept in self._seen.items()}
            body = orjson.dumps(said)
            durable.put(self._path, _seal(body) + body, mode=0o600)
            self._kept = dict(self._seen)


def _mark(path: Path) -> Mark:
    found = path.stat()
    return Mark(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _read(path: Path | None) -> Mapping[str, Kept]:
    """What is kept; nothing where there is no spare, or it has rotted itself."""
    try:
        stored = b"" if path is None else path.read_bytes()
        seal, body = stored[:_SEAL_BYTES], stored[_SEAL_BYTES:]
        if seal != _seal(body):
            return {}
        return {
            name: Kept(Mark(*mark), bytes.fromhex(content)) for name, (*mark, content) in orjson.loads(body).items()
        }
    except OSError:
        return {}


def _seal(body: bytes) -> bytes:
    return blake2b(body, digest_size=_SEAL_BYTES).digest()


def state_directory(default: Path | None = None) -> Path | None:
    """Where systemd has the daemon write (systemd.exec(5), STATE_DIRECTORY), or elsewhere the default."""
    named = os.environ.get("STATE_DIRECTORY")
    return Path(named.split(":")[0]) if named else default
