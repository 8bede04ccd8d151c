"""A memory card to measure: ext4 on a loop device of its own, whose sectors the kernel counts, the journal's too.

Nothing else is on it, so nothing else is counted. It takes root, to mount it.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

BYTES: Final = 256 << 20
_SECTOR: Final = 512
_WRITTEN: Final = 6
"""The place of "sectors written" in /sys/block/DEVICE/stat (Linux, Documentation/block/stat.rst)."""

_PATH: Final = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


class NoCard(Exception):
    """None can be made here; the message says why."""


class MemoryCard:
    """A mounted one; `path` is its folder."""

    def __init__(self, path: Path, device: str) -> None:
        self.path = path
        self._stat = Path("/sys/block", Path(device).name, "stat")

    def written(self) -> int:
        """Bytes written to it since it was made, what still waits included: that is written now."""
        os.sync()
        return int(self._stat.read_text().split()[_WRITTEN]) * _SECTOR


@contextmanager
def memory_card(home: Path) -> Iterator[MemoryCard]:
    """A new one, as an installer's image would have it: `noatime`, all else as it comes. Raises NoCard."""
    if os.geteuid() != 0:
        raise NoCard("what is written to the card is counted on a loop device: run this section as root")
    with TemporaryDirectory(dir=home) as place:
        image, mounted = Path(place) / "card.img", Path(place) / "card"
        mounted.mkdir()
        with image.open("wb") as file:
            file.truncate(BYTES)
        _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
        device = _run("losetup", "--find", "--show", image)
        try:
            _run("mount", "-o", "noatime", device, mounted)
            try:
                yield MemoryCard(mounted, device)
            finally:
                _run("umount", mounted)
        finally:
            _run("losetup", "--detach", device)


def _run(program: str, *words: str | Path) -> str:
    found = shutil.which(program, path=_PATH)
    if found is None:
        raise NoCard(f"{program} is not on this machine")
    done = subprocess.run([found, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoCard(f"{program}: {done.stderr.strip()}")
    return done.stdout.strip()
