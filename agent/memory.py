"""How the interpreter shares its time among threads, and when it looks for garbage (docs/PERFORMANCE.md)."""

import gc
import sys
from typing import Final

SWITCH_S: Final = 0.0001
"""How long one thread may keep the interpreter from another: the gate is answered while a list is written."""


def settle() -> None:
    """What is alive now stays: the collector need not look at it again, and rows die young."""
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
