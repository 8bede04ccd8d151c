"""docs/RELIABILITY.md, from the bars in bars.toml and from what runs have told.

ci.json says what a test run has tried, soak.json a long one and machine.json one on a booted machine if
there were any, mutants.json which mutants were killed.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RUNS = {
    "ci.json": "every CI run",
    "soak.json": "a long run (`make soak`)",
    "machine.json": "a booted machine (`make machine`)",
}
STATES = {"met": "met", "partly": "**partly**", "missed": "**missed**", "open": "**not shown**"}

Run = Mapping[str, Any]


def rendered() -> str:
    """The whole document. Raises KeyError where a bar names a count that no run has told, unless it takes a machine."""
    book = tomllib.loads((HERE / "bars.toml").read_text(encoding="utf-8"))
    runs = {words: json.loads((HERE / name).read_text()) for name, words in RUNS.items() if (HERE / name).exists()}
    machine = runs.get(RUNS["machine.json"], {"tried": {}})
    figures = {"tried": next(iter(runs.values()))["tried"], "mutants": _mutants(), "machine": machine["tried"]}
    lines = ["# What reliable means here, and how far it was shown", "", book["opening"].strip(), ""]
    lines += ["## What was tried", "", *_tried(runs), ""]
    for section in book["sections"]:
        lines += [f"## {section['title']}", "", *_bars(section["bars"], figures), ""]
    return "\n".join([*lines, book["closing"].strip(), ""])


def _tried(runs: Mapping[str, Run]) -> Iterator[str]:
    yield f"| | {' | '.join(runs)} |"
    yield f"|---|{'---:|' * len(runs)}"
    for what in sorted({what for run in runs.values() for what in run["tried"]}):
        counts = [f"{run['tried'][what]:,}" if what in run["tried"] else "" for run in runs.values()]
        yield f"| {what} | {' | '.join(counts)} |"
    yield ""
    for words, run in runs.items():
        yield (
            f"{words[0].upper()}{words[1:]}: {run['day']}, {run['passed']:,} tests passed and {run['failed']} failed "
            f"in {run['seconds'] // 60} min {run['seconds'] % 60} s; Python {run['python']}, SQLite {run['sqlite']}, "
            f"{run['machine']}."
        )
        yield ""


def _mutants() -> dict[str, Any]:
    book = json.loads((HERE / "mutants.json").read_text())
    shares = {name: 100 * each["killed"] / each["mutants"] for name, each in book["modules"].items()}
    lowest = min(shares, key=lambda name: shares[name])
    share = 100 * book["killed"] / book["mutants"]
    return {**book, "modules": len(shares), "percent": share, "lowest": lowest, "lowest_percent": shares[lowest]}


def _bars(bars: list[dict[str, str]], figures: Mapping[str, Any]) -> Iterator[str]:
    yield "| | must hold | reached | | shown by |"
    yield "|---|---|---|---|---|"
    for bar in bars:
        reached, state = _reached(bar, figures)
        shown = ", ".join(f"`{each}`" for each in bar["shown"].split())
        yield f"| {bar['id']} | {bar['must']} | {reached} | {STATES[state]} | {shown} |"


def _reached(bar: Mapping[str, str], figures: Mapping[str, Any]) -> tuple[str, str]:
    """What was reached, and the state of the bar: open, where it takes a machine and none has told."""
    try:
        return bar["reached"].format_map(figures), bar["state"]
    except KeyError:
        if "{machine[" not in bar["reached"]:
            raise
        return f"not tried yet: {RUNS['machine.json']}", "open"
