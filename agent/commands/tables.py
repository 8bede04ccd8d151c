"""Facts and lists for a person and for a pipe: aligned columns on a terminal, tab-separated lines elsewhere."""

import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Final
from unicodedata import category

if TYPE_CHECKING:
    from rich.console import Console

_GAP: Final = 2
_HARMLESS: Final = frozenset(
    "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}\N{LEFT-TO-RIGHT MARK}\N{RIGHT-TO-LEFT MARK}"
)
"""What names in many scripts are spelled with, although it cannot be seen."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a list.

    `least` is the width, in cells of a terminal, down to which it may be cut where that is narrow; None is never cut.
    `styles` are the colours of words that mean something.
    """

    heading: str
    least: int | None = None
    right: bool = False
    styles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and what is to be said of it; `style` is the colour a terminal gives it."""

    name: str
    words: str
    style: str = ""


def on_terminal() -> bool:
    """Whether a person looks at what is printed."""
    return sys.stdout.isatty()


def show_facts(facts: Sequence[Fact]) -> None:
    """Names and what is to be said of them: a line each, folded where a terminal is too narrow."""
    if not on_terminal():
        _write_lines(f"{fact.name}\t{one_line(fact.words)}" for fact in facts)
        return
    from rich.table import Table  # noqa: PLC0415 -- only a terminal waits for rich
    from rich.text import Text  # noqa: PLC0415 -- the same

    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(style="bold")
    for fact in facts:
        grid.add_row(fact.name, Text(one_line(fact.words), fact.style))
    _console().print(grid)


def show_rows(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """A list under its headings, one line a row: cut to the width of a terminal, whole in a pipe."""
    headings = [column.heading for column in columns]
    cells = [[one_line(cell) for cell in row] for row in rows]
    if on_terminal():
        _print_rows(columns, headings, cells)
    else:
        _write_lines("\t".join(row) for row in [headings, *cells])


def show_line(words: str, style: str = "") -> None:
    """A sentence; `style` is the colour a terminal gives it."""
    if not on_terminal():
        _write_lines([one_line(words)])
        return
    from rich.text import Text  # noqa: PLC0415 -- only a terminal waits for rich

    _console().print(Text(one_line(words), style))


def fitted(natural: Sequence[int], least: Sequence[int | None], width: int) -> list[int]:
    """How wide each column is on a terminal of `width`: the widest that may be cut gives way first.

    Where all are at their least and it is still too much, the terminal breaks the lines.
    """
    widths = list(natural)
    floors = [wanted if floor is None else floor for wanted, floor in zip(natural, least, strict=True)]
    excess = sum(widths) + _GAP * (len(widths) - 1) - width
    while excess > 0 and (yielding := [place for place, floor in enumerate(floors) if widths[place] > floor]):
        widths[max(yielding, key=widths.__getitem__)] -= 1
        excess -= 1
    return widths


def moment(at: int, zone: tzinfo = UTC) -> str:
    """A moment (epoch ms) as a person writes it; one that no calendar shows, as the number."""
    with suppress(OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(at / 1000, zone).strftime("%Y-%m-%d %H:%M")
    return str(at)


def one_line(text: str) -> str:
    """A text without what would break a line or drive a terminal: names and notes come from elsewhere."""
    flat = " ".join(text.split())
    return flat if flat.isprintable() else "".join(map(_shown, flat))


def utf8_output() -> io.TextIOWrapper:
    """Standard output for what programs read: UTF-8, with line ends as they are given, whatever the locale.

    To be flushed after the last line: otherwise nobody hears of a full disk.
    """
    return _stdout(encoding="utf-8")


def _print_rows(columns: Sequence[Column], headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Laid out here: a table of rich measures every cell in three ways, a minute for 10,000 people on a small board."""
    from rich.cells import cell_len, set_cell_size  # noqa: PLC0415 -- only a terminal waits for rich
    from rich.text import Text  # noqa: PLC0415 -- the same

    def fit(cell: str, width: int, column: Column) -> str:
        spare = width - cell_len(cell)
        if spare < 0:
            return set_cell_size(set_cell_size(cell, width - 1).rstrip() + "…", width)
        return " " * spare + cell if column.right else cell + " " * spare

    console = _console()
    natural = [max(map(cell_len, column)) for column in zip(headings, *cells, strict=True)]
    widths = fitted(natural, [column.least for column in columns], console.width)
    gap = Text(" " * _GAP)
    rule = "─" * (sum(widths) + _GAP * (len(widths) - 1))

    head = gap.join(Text(fit(*each)) for each in zip(headings, widths, columns, strict=True))
    console.print(head, Text(rule), sep="\n", style="dim", soft_wrap=True)
    for row in cells:
        line = gap.join(
            Text(fit(cell, width, column), column.styles.get(cell, ""))
            for cell, width, column in zip(row, widths, columns, strict=True)
        )
        line.rstrip()
        console.print(line, soft_wrap=True)


def _write_lines(lines: Iterable[str]) -> None:
    out = _stdout()
    out.writelines(f"{line}\n" for line in lines)
    out.flush()


def _console() -> "Console":
    from rich.console import Console  # noqa: PLC0415 -- only a terminal waits for rich

    return Console(file=_stdout(), markup=False, emoji=False, highlight=False)


def _stdout(encoding: str | None = None) -> io.TextIOWrapper:
    """Standard output, of which no name is more than it can write; in its own encoding unless another is given."""
    out = sys.stdout
    assert isinstance(out, io.TextIOWrapper), "a command writes to a real stream"
    out.reconfigure(encoding=encoding or out.encoding, errors="replace", newline="")
    return out


def _shown(character: str) -> str:
    if character.isprintable() or character in _HARMLESS:
        return character
    return "" if category(character) == "Cf" else "\N{REPLACEMENT CHARACTER}"
