"""The clock of one program alone, told what time it is in a story, by libfaketime; this machine's own is never touched.

Only the wall clock is told. How long the program has run, and how long it waits, goes on as it is.
"""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from simulator import exits
from simulator.exits import Failure

_PLACES: Final = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
)
_LEFT_BEHIND: Final = ("/dev/shm/faketime_shm_{pid}", "/dev/shm/sem.faketime_sem_{pid}")  # noqa: S108 -- its own names


class NoFaketime(Failure):
    """The library is not installed; the message says how to come by it."""

    exit_code = exits.UNREACHABLE


def find_library() -> Path:
    """libfaketime, as this system has it installed. Raises NoFaketime."""
    found = next((path for place in _PLACES for path in sorted(Path("/").glob(place[1:]))), None)
    if found is None:
        raise NoFaketime(
            "a scenario plays at its own time of day, and libfaketime, which tells the gateway that time, is not"
            " installed: apt-get install faketime"
        )
    return found


class StoryClock:
    """Stands still at `now` until it is set; what runs in its `environment` sees no other time.

    `file` is where it says so. A program that was killed has left something behind: see `forget`.
    """

    def __init__(self, file: Path, library: Path, now: datetime) -> None:
        self._file = file
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # else a thread that waits for the interpreter asks without pause
            "TZ": "UTC",  # in which the library reads the file
        }
        self.now = now
        self.set(now)

    @property
    def now_ms(self) -> int:
        """The same in epoch milliseconds."""
        return int(self.now.timestamp() * 1000)

    def set(self, now: datetime) -> None:
        """It is now this time, to the second. Nobody sees half a word: the file is replaced."""
        self.now = now
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{now.astimezone(UTC):%Y-%m-%d %H:%M:%S}\n", "ascii")
        fresh.replace(self._file)

    @staticmethod
    def forget(pid: int) -> None:
        """Remove the shared memory that the library leaves behind where a program was killed."""
        for place in _LEFT_BEHIND:
            with suppress(OSError):
                Path(place.format(pid=pid)).unlink()
