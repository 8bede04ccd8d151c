"""What happened in a scenario, as it happens: a line for each step, and in the end what was not as expected."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from simulator.happening import in_words
from simulator.scenario import Remark, Scenario, Step
from simulator.terminal import Column, Fit, fitted, print_lines, shown

_COLUMNS: Final = (
    Column("Time", style="dim"),
    Column("Who", Fit.CUT, most=24),
    Column("What", Fit.FOLDED, most=40),
    Column("Outcome", Fit.FOLDED, most=22),
    Column("Why", Fit.FOLDED, most=44),
    Column(""),
)
_WHY: Final = 36
"""Characters of a usual reason."""

_STYLES: Final = {"allowed": "green", "denied": "red", "unanswered": "yellow"}


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of a step. `right`: whether it was as expected, None where nothing was."""

    step: Step
    outcome: str
    why: str = ""
    right: bool | None = None
    expected: str = ""

    @property
    def verdict(self) -> str:
        """A mark for a person."""
        return {True: "✓", False: "✗", None: ""}[self.right]


@dataclass(slots=True)
class Daybook:
    """Writes a scenario's day on a console: as a table on a terminal, as tab-separated lines in a pipe."""

    console: Console
    scenario: Scenario
    entries: list[Entry] = field(default_factory=list)
    _day: date | None = None

    def begin(self) -> None:
        """The title, and the headings."""
        print_lines(self.console, Text(self.scenario.title, style="bold"))
        if self.scenario.about:
            print_lines(self.console, self.scenario.about)

    def add(self, entry: Entry) -> None:
        """Write down what happened."""
        self.entries.append(entry)
        self._turn_to(entry.step.at)
        if entry.step.note:
            self._note(f"{entry.step.at:%H:%M}", shown(entry.step.note))
        if not isinstance(entry.step.deed, Remark):
            self._write(self._cells(entry))

    @property
    def wrong(self) -> list[Entry]:
        """What was not as expected."""
        return [entry for entry in self.entries if entry.right is False]

    def close(self) -> None:
        """How many steps there were, and which of them were not as expected."""
        judged = sum(entry.right is not None for entry in self.entries)
        self.console.print()
        if not self.wrong:
            print_lines(self.console, Text(f"All {judged} steps that were to be judged ended as expected.", "green"))
            return
        print_lines(self.console, Text(f"Not as expected, of {judged} steps:", style="bold red"))
        for entry in self.wrong:
            deed, why = entry.step.deed, f": {in_words(entry.why)}" if entry.why else ""
            words = (
                f"  {entry.step.name}: {deed.actor}, {deed.words}: expected {entry.expected}, was {entry.outcome}{why}"
            )
            print_lines(self.console, Text(f"  {shown(words)}", style="red"))

    def _turn_to(self, at: datetime) -> None:
        if at.date() == self._day:
            return
        self._day = at.date()
        self.console.print()
        print_lines(self.console, Text(f"{at:%A} {at.day} {at:%B %Y}, {self.scenario.zone}", style="bold"))
        if self.console.is_terminal:
            self.console.print()

    def _note(self, time: str, words: str) -> None:
        if not self.console.is_terminal:
            self.console.file.write(f"{time}  {words}\n")
            return
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_row(Text(time, style="dim"), Text(words, style="italic"))
        self.console.print(table)

    def _cells(self, entry: Entry) -> list[Text]:
        deed, own = entry.step.deed, not self.console.is_terminal
        why = in_words(entry.why, own=own) if entry.why else ""
        if entry.right is False:
            why = f"{why}; expected {entry.expected}" if why else f"expected {entry.expected}"
        return [
            Text(f"{entry.step.at:%H:%M}"),
            Text(shown(deed.actor)),
            Text(shown(deed.words)),
            Text(entry.outcome, style=_STYLES.get(entry.outcome, "")),
            Text(shown(why)),
            Text(entry.verdict, style="green" if entry.right else "bold red"),
        ]

    def _write(self, cells: list[Text]) -> None:
        if not self.console.is_terminal:
            self.console.file.write("\t".join(map(str, cells)) + "\n")
            return
        table = Table.grid(padding=(0, 2, 0, 0))
        for column, width in zip(_COLUMNS, self._widths(), strict=True):
            folded = column.fit is Fit.FOLDED
            table.add_column(
                style=column.style, width=width, no_wrap=not folded, overflow="fold" if folded else "ellipsis"
            )
        table.add_row(*cells)
        self.console.print(table)

    def _widths(self) -> list[int]:
        deeds = [step.deed for step in self.scenario.steps]
        actors, words = (deed.actor for deed in deeds), (deed.words for deed in deeds)
        natural = [len("06:45"), _longest(actors), _longest(words), len("unanswered"), _WHY, 1]
        return fitted(_COLUMNS, natural, self.console.width)


def _longest(texts: Iterable[str]) -> int:
    return max((len(shown(text)) for text in texts), default=0)
