"""`python -m tests.fuzz TARGET [-libfuzzer_option=…]`: fuzz one target in this process, in the present folder.

It ends the process itself: exit code 0 where nothing was found in the time it had.
"""

import re
import resource
import sys
import time
from pathlib import Path
from random import Random
from typing import Final

import atheris

with atheris.instrument_imports(include=["agent", "protocol", "simulator", "tests.fuzz"]):
    from tests.fuzz.targets import PLANTED, TARGETS, Target

from tests.fuzz.mutations import mutated

SLOW_S: Final = 0.1
WARM: Final = 100
"""Inputs after which everything is loaded that will be, and memory is compared with what it is then."""

_STATM: Final = Path("/proc/self/statm")
_WORD: Final = re.compile(rb"[A-Za-z0-9_+-]{2,40}")


class TooSlow(Exception):
    """One input took too long, every time."""


class Fuzzed:
    """A target under watch: how long each input takes, on this thread's own clock, and how much memory there is."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._inputs = 0
        self._slowest_s = 0.0
        self._most = 0

    def take(self, data: bytes) -> None:
        """Feed it. Raises TooSlow where an input takes longer than SLOW_S again and again: machines are shared."""
        spent_s = self._spent_s(data)
        if spent_s > SLOW_S:
            spent_s = min(self._spent_s(data) for _ in range(3))
            if spent_s > SLOW_S:
                raise TooSlow(f"{spent_s:.3f} s for {len(data)} bytes")
        if spent_s > self._slowest_s:
            self._slowest_s = spent_s
            sys.stderr.write(f"slowest: {spent_s * 1000:.1f} ms\n")
        self._inputs += 1
        if self._inputs % WARM == 0:
            self._weigh()

    def _weigh(self) -> None:
        """Say how much memory there is, where it is more than ever; `ru_maxrss` would begin with that of our parent."""
        resident = int(_STATM.read_text().split()[1]) * resource.getpagesize() >> 20
        if self._inputs == WARM:
            sys.stderr.write(f"warm: {resident} MB\n")
        if resident > self._most:
            self._most = resident
            sys.stderr.write(f"resident: {resident} MB\n")

    def _spent_s(self, data: bytes) -> float:
        began = time.thread_time()
        self._target.read(data)
        return time.thread_time() - began


def main(name: str, *options: str) -> None:
    """Fuzz until an option says stop, or something is found."""
    target = (TARGETS | PLANTED)[name]
    seeds = list(target.seeds())
    corpus = Path("corpus")
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    found = sorted({word for seed in seeds for word in _WORD.findall(seed)})
    words = [word.decode() for word in found]
    dictionary = Path("words.dict")
    dictionary.write_text("".join(f'"{word}"\n' for word in words))

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = Random(seed)
        changed = mutated(data, rng, words) if rng.random() < 0.5 else None
        if changed is not None and len(changed) <= most:
            return changed
        known: bytes = atheris.Mutate(data, most)
        return known

    arguments = [sys.argv[0], str(corpus), f"-dict={dictionary}", "-max_len=20000", "-print_final_stats=1", *options]
    atheris.Setup(arguments, Fuzzed(target).take, custom_mutator=mutate)
    atheris.Fuzz()


main(*sys.argv[1:])
