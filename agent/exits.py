"""Exit codes of `fluss-agent`, after BSD's sysexits.h, so that scripts and systemd can tell the cases apart."""

from typing import Final

OK: Final = 0
"""Done."""
REFUSED: Final = 1
"""Something was refused or rejected, and was reported."""
USAGE: Final = 64
"""The command line makes no sense."""
UNREACHABLE: Final = 69
"""A broker or a device does not answer."""
BUG: Final = 70
"""Ours: the traceback is in the log."""
IO: Final = 74
"""A disk, a database or a file fails."""
CONFIG: Final = 78
"""The configuration has mistakes; systemd does not restart on it, for a restart cures none."""
