"""How the interpreter shares its time among threads, and when it looks for garbage (docs/PERFORMANCE.md)."""

import ctypes
import gc
import sys
from typing import Final

_LIBC: Final = ctypes.CDLL(None)

SWITCH_S: Final = 0.0001
"""How long one thread may keep the interpreter from another: the gate is answered while a list is written."""


def collect_rarely() -> None:
    """Have the collector look rarely, from before the imports on: what they make stays, and rows die young."""
    gc.set_threshold(50_000, 20, 100)


def settle() -> None:
    """What is alive now stays: the collector need not look at it again."""
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Let the system have what was freed: glibc keeps it for the thread that had it, 2 MiB after a copy of the store.

    malloc_trim(3) is glibc's own; where the C library is another, nothing is done.
    """
    trim = getattr(_LIBC, "malloc_trim", None)
    if trim is not None:
        trim(0)
