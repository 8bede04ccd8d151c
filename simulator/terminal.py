"""What a person at a terminal sees: tables that fit its width, plain tab-separated lines where nobody looks.

What people wrote is shown on one line and without what would move the cursor or change colours.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_STYLES = {
    "added": "green",
    "updated": "green",
    "revoked": "yellow",
    "superseded": "yellow",
    "rejected": "red",
    "unknown": "red",
    "Active": "green",
    "Pending": "cyan",
    "Expired": "dim",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: how much of the width it may take, and what happens to what is longer."""

    heading: str = ""
    style: str = ""
    justify: Literal["left", "right"] = "left"
    least: int | None = None
    most: int | None = None
    folds: bool = False
    """Long text goes on in the next line; else it is cut off with an ellipsis."""


def make_console(*, stderr: bool = False) -> Console:
    """A console that shows text as it is: nothing a person wrote is taken for markup."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def shown(text: str) -> str:
    """The text on one line; what cannot be printed becomes a replacement character."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(text.split()))


def coloured(word: str) -> Text:
    """An outcome or a status in its colour."""
    return Text(word, style=_STYLES.get(word, ""))


def print_table(console: Console, columns: Sequence[Column], rows: Iterable[Sequence[str | Text]]) -> None:
    """A table on a terminal; in a pipe its headings (if it has any) and rows as lines of tab-separated cells."""
    headed = any(column.heading for column in columns)
    if not console.is_terminal:
        lines = [[column.heading for column in columns]] * headed + [[str(cell) for cell in row] for row in rows]
        console.file.writelines("\t".join(map(shown, line)) + "\n" for line in lines)
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, show_header=headed, header_style="dim")
    for column in columns:
        table.add_column(
            column.heading,
            style=column.style,
            justify=column.justify,
            min_width=column.least,
            max_width=column.most,
            no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
        )
    for row in rows:
        table.add_row(*[cell if isinstance(cell, Text) else shown(cell) for cell in row])
    console.print(table)


def print_lines(console: Console, *lines: str | Text) -> None:
    """Sentences, folded at the width of a terminal; in a pipe each on one line."""
    for line in lines:
        console.print(line, soft_wrap=not console.is_terminal)
