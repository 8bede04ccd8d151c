"""How long a test that could go on for ever goes on: some seconds in CI, hours where somebody asks for them."""

import os
from typing import Final

FACTOR: Final = float(os.environ.get("SOAK", "1"))
"""1 in every ordinary run; `make soak` has more time."""


def scaled(tries: int) -> int:
    """So many tries of an ordinary run, as many as this run has the time for; at least one."""
    return max(1, round(tries * FACTOR))
