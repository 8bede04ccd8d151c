"""The clock of one program alone, by libfaketime; this machine's own is never touched."""

from pathlib import Path

FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


class Wristwatch:
    """``environment`` makes a program's wall clock say what ``set`` said last; its uptime goes on undisturbed."""

    def __init__(self, home: Path, moment: str) -> None:
        self._file = home / "wristwatch"
        self.set(moment)
        self.environment = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # else a thread that waits for the interpreter asks without pause
        }

    def set(self, moment: str) -> None:
        """Stop it at a moment, or let it run with an offset such as ``+0`` or ``-400d``; see faketime(1)."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(moment)
        fresh.replace(self._file)
