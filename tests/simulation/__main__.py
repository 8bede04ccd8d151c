"""`python -m tests.simulation --seed 7 --trace`: one world again, told line by line; `--seeds 1-1000` for many."""

import argparse
import sys
import time

from tests.simulation.world import LENGTH_S, live


def main() -> int:
    """The exit code: 1 where a rule was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, help="one world")
    which.add_argument("--seeds", help="several, such as 1-1000")
    parser.add_argument(
        "--seconds", type=float, default=LENGTH_S, help="virtual seconds of faults (default %(default)s)"
    )
    parser.add_argument("--trace", action="store_true", help="tell everything that happened")
    parser.add_argument("--digests", action="store_true", help="the hash of each history: the same for the same seed")
    asked = parser.parse_args()
    first, last = map(int, asked.seeds.split("-")) if asked.seeds else (asked.seed, asked.seed)
    began, broken = time.monotonic(), 0
    for seed in range(first, last + 1):
        outcome = live(seed, asked.seconds, whole=asked.trace)
        if asked.trace:
            sys.stdout.write("\n".join([*outcome.lines, ""]))
        if asked.digests:
            sys.stdout.write(f"{seed} {outcome.digest}\n")
        if outcome.anomaly is not None:
            broken += 1
            sys.stdout.write(f"seed {seed}: {outcome.anomaly}\n")
    sys.stderr.write(f"{last - first + 1} worlds, {broken} broken, {time.monotonic() - began:.1f} s\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
