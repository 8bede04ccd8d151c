"""Exit codes of `fluss-simulator`, after BSD's sysexits.h: the same cases as the gateway's own commands."""

from typing import Final

OK: Final = 0
"""Done, and everybody is on the list."""
REFUSED: Final = 1
"""Somebody was rejected, or the list itself was, or the person said no."""
USAGE: Final = 64
"""The command line makes no sense."""
UNREACHABLE: Final = 69
"""The broker or the gateway does not answer, so something is not known."""
BUG: Final = 70
"""Ours."""
IO: Final = 74
"""A file cannot be read or written."""
CONFIG: Final = 78
"""The gateway's configuration file has mistakes."""


class Failure(Exception):
    """An ending that a person can do something about: the message names the thing, the place and the cure."""

    exit_code = REFUSED
