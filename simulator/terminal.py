"""What a person at a terminal sees: tables that fit its width, plain tab-separated lines where nobody looks.

What people wrote is shown on one line and without what would move the cursor or change colours.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_GAP = 2
_LEAST = 8
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


class Fit(Enum):
    """What happens to a column whose table is wider than the terminal."""

    WHOLE = auto()
    CUT = auto()
    """Its cells end in an ellipsis."""
    FOLDED = auto()
    """Its cells go on in the next line."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    heading: str = ""
    fit: Fit = Fit.WHOLE
    style: str = ""
    justify: Literal["left", "right"] = "left"
    most: int = 1_000
    """Characters it may have, however wide the terminal is."""


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
    headings = [[Text(column.heading) for column in columns]] * headed
    cells = [[cell if isinstance(cell, Text) else Text(shown(cell)) for cell in row] for row in rows]
    if not console.is_terminal:
        console.file.writelines("\t".join(map(str, row)) + "\n" for row in headings + cells)
        return
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        show_header=headed,
        header_style="dim",
    )
    natural = [max(cell.cell_len for cell in column) for column in zip(*headings, *cells, strict=True)]
    for column, width in zip(columns, fitted(columns, natural, console.width), strict=True):
        table.add_column(
            column.heading,
            style=column.style,
            justify=column.justify,
            width=width,
            no_wrap=column.fit is not Fit.FOLDED,
            overflow="fold" if column.fit is Fit.FOLDED else "ellipsis",
        )
    for row in cells:
        table.add_row(*row)
    console.print(table)


def fitted(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    """How wide each column gets in a terminal of `width`: whoever may shrink does, the widest first."""
    widths = [min(column.most, wanted) for column, wanted in zip(columns, natural, strict=True)]
    shrinking = [place for place, column in enumerate(columns) if column.fit is not Fit.WHOLE]
    excess = sum(widths) + _GAP * (len(widths) - 1) - width
    while excess > 0 and (wide := [place for place in shrinking if widths[place] > _LEAST]):
        widths[max(wide, key=widths.__getitem__)] -= 1
        excess -= 1
    return widths


def print_lines(console: Console, *lines: str | Text) -> None:
    """Sentences, folded at the width of a terminal; in a pipe each on one line."""
    for line in lines:
        console.print(line, soft_wrap=not console.is_terminal)
