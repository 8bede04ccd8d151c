"""`python -m benchmarks [SECTION…] [--quick] [--json FILE]`: speed and memory, each figure beside its floor."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console

from agent import logs
from benchmarks import card, end_to_end, lag, memory, numbers, opening, stages, startup, wear
from benchmarks.bench import DISK
from benchmarks.figure import Figure, Target
from benchmarks.memory_card import NoCard
from benchmarks.report import Report

ROUNDS: Final = 5
WIDTH: Final = 132
"""Of the tables where there is no terminal."""

MANY, FEW, NAIVE = 100_000, 10_000, 1_000
QUICK_BY: Final = 10
"""How much smaller the lists of a quick run are."""

Section = tuple[str, Callable[[], list[Figure]]]


def sections(home: Path, rounds: int, smaller: int) -> dict[str, Section]:
    """What can be measured, by the name it has on the command line."""
    many, few, naive, part = (size // smaller for size in (MANY, FEW, NAIVE, 400))
    return {
        "large": ("A long list, end to end", partial(end_to_end.large, many, naive, rounds, home)),
        "small": ("A usual list, end to end", partial(end_to_end.small, few, rounds, home)),
        "stages": ("Where the time goes, in one process", partial(stages.measure, many, rounds, home)),
        "numbers": ("Numbers", whole_list),
        "lag": ("The event loop during the import", partial(lag.measure, many, rounds, home)),
        "gate": ("At the gate, during the import", partial(opening.measure, few, rounds, home)),
        "memory": ("Memory", partial(memory.measure, few, many, rounds, home)),
        "startup": ("Start", partial(startup.measure, few, rounds, home)),
        "deciding": ("From the start to the first decision", partial(startup.deciding, many, rounds, home)),
        "card": ("Written to the card", partial(card.measure, part, few, rounds, home)),
        "wear": ("Written to the card on a usual day", partial(wear.measure, few, rounds, home)),
    }


def whole_list() -> list[Figure]:
    """The list that people of the home region wrote in all their ways; `benchmarks.numbers` has many more."""
    for region, form, written in numbers.lists():
        if form == "all of these":
            ratio, cost = numbers.measure(region, written)
            return [Figure("a whole list to E.164", "µs/number", [cost], "phonenumbers", [cost / ratio], Target(0.1))]
    raise LookupError("benchmarks.numbers has no such list any more")


def main(arguments: Sequence[str] | None = None) -> None:
    names = list(sections(Path(), 0, 1))
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("section", nargs="*", metavar="SECTION", help=f"of {', '.join(names)}; all by default")
    options.add_argument("--quick", action="store_true", help="small lists and one round: does it run?")
    options.add_argument("--rounds", type=int, metavar="N", help=f"{ROUNDS} by default")
    options.add_argument("--json", type=Path, metavar="FILE", help="write every sample to a file as well")
    chosen = options.parse_args(arguments)
    for unknown in set(chosen.section).difference(names):
        options.error(f"no section {unknown!r}; there are {', '.join(names)}")

    logs.configure("warning")
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    report = Report(chosen.rounds or (1 if chosen.quick else ROUNDS), full=not chosen.quick)
    report.heading(console)
    measured: dict[str, list[Figure]] = {}
    with TemporaryDirectory(prefix="fluss-bench-", dir=DISK) as home:
        available = sections(Path(home), report.rounds, QUICK_BY if chosen.quick else 1)
        for name in chosen.section or names:
            title, measure = available[name]
            try:
                with console.status(f"{title} …"):
                    measured[name] = measure()
            except NoCard as why:
                console.print(f"\n[bold]{title}[/bold]: [yellow]not measured: {why}[/yellow]")
                continue
            report.section(console, title, measured[name])
    if chosen.json:
        chosen.json.write_text(report.document(measured))


if __name__ == "__main__":
    main()
