"""The figures, for a person as tables and for a program as JSON."""

import json
import os
import platform
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.bench import BROKER
from benchmarks.figure import Figure, Of, Target


@dataclass(frozen=True, slots=True)
class Report:
    """Figures by section, and where they were measured."""

    rounds: int
    full: bool
    """Whether at the sizes that the targets are set for; otherwise nothing is judged."""

    def heading(self, console: Console) -> None:
        """Say what is measured where."""
        machine = self.machine()
        console.print(f"[bold]fluss-gateway, measured[/bold]: medians, rounds in rotated order: {self.rounds}")
        console.print(f"[dim]{machine['cpus']} processors ({machine['machine']}), Python {machine['python']}, ", end="")
        console.print(
            f"[dim]SQLite {machine['sqlite']} with synchronous=FULL, MQTT 5, parts of 400, nothing signed[/dim]"
        )
        console.print(f"[dim]Broker: {BROKER}[/dim]")
        if not self.full:
            console.print("[yellow]Small sizes: a look at whether it runs. Nothing is judged.[/yellow]")

    def section(self, console: Console, title: str, figures: Sequence[Figure]) -> None:
        """One table; least and most are of the ratio, or of the figure itself where that is what is judged."""
        table = Table(
            title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False
        )
        table.add_column("figure", min_width=46)
        table.add_column("median", justify="right", min_width=15)
        table.add_column("ratio", justify="right", min_width=7)
        table.add_column("to", min_width=14)
        table.add_column("least – most", justify="right", min_width=15, style="dim")
        table.add_column("wanted", justify="right", min_width=16)
        for figure in figures:
            spread, times = (figure.ratios, "×") if figure.judged_by_ratio else (figure.samples, "")
            table.add_row(
                figure.what,
                f"{_short(figure.median)} {figure.unit}",
                f"{_short(figure.ratio)}×" if figure.ratio is not None else "",
                figure.beside,
                f"{_short(min(spread))} – {_short(max(spread))}{times}",
                self._verdict(figure),
            )
        console.print()
        console.print(table)

    def document(self, sections: Mapping[str, Sequence[Figure]]) -> str:
        """Everything as JSON, each sample of each round."""
        return json.dumps(
            {
                "rounds": self.rounds,
                "full": self.full,
                "machine": self.machine(),
                "figures": [
                    {
                        "section": section,
                        "figure": figure.what,
                        "unit": figure.unit,
                        "median": figure.median,
                        "samples": list(figure.samples),
                        "beside": figure.beside or None,
                        "ratio": figure.ratio,
                        "ratios": figure.ratios,
                        "wanted": _wanted(figure.target) if figure.target else None,
                        "reached": figure.reached if self.full else None,
                    }
                    for section, figures in sections.items()
                    for figure in figures
                ],
            },
            indent=1,
            ensure_ascii=False,
        )

    @staticmethod
    def machine() -> dict[str, object]:
        """What the figures depend on, beside the program."""
        return {
            "cpus": os.cpu_count(),
            "machine": platform.machine(),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "broker": BROKER,
            "load": Path("/proc/loadavg").read_text().split()[:3],
        }

    def _verdict(self, figure: Figure) -> str:
        if figure.target is None or not self.full:
            return ""
        return f"{_wanted(figure.target)} {'[green]✓[/green]' if figure.reached else '[red]✗[/red]'}"


def _wanted(target: Target) -> str:
    return f"{'≥' if target.at_least else '≤'} {target.bound:g}{'×' if target.of is Of.RATIO else ''}"


def _short(value: float) -> str:
    """Three figures, and no more than a person reads."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
